"""Many inputs measured, two models compared, a policy checked: the commands, called from Python.

```python
import saliency_cli as sal

found = sal.evaluate("model.keras", ["photos/"], ["flip-radius-linf", "gini"])
found.metrics["gradient"]["gini"].median
sal.compare("old.keras", "new.keras", ["photos/"]).metrics["pearson"].median
sal.check("saliency.toml").passed
```
"""

from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saliency_cli.records import CompareRecord, ItemRecord, RunRecord
from saliency_cli.runs.listening import Silent
from saliency_cli.runs.request import ComputeRequest

if TYPE_CHECKING:
    from saliency_cli.verdicts import CheckRecord

__all__ = ["check", "compare", "evaluate"]


def evaluate(
    model: "str | PathLike[str]",
    inputs: "str | PathLike[str] | Iterable[str | PathLike[str]]",
    metrics: str | Sequence[str] = ("grad-l2", "gini"),
    *,
    method: str = "gradient",
    **fields: Any,
) -> RunRecord:
    """Measure every map of a model's inputs.

    Args:
        model: a saved model of any format the command opens.
        inputs: files, folders or globs, one or several.
        metrics: names of `saliency metrics`, with options as `name:key=value,…`.
        method: a name of `saliency methods`.
        fields: any other field of `saliency_cli.runs.request.ComputeRequest`: `options`, `target`, `labels`,
            `masks`, `reference`, `preprocess`, `out` (a run folder), ….

    Returns:
        The run's record: statistics by method and metric in `metrics`, every input in `items`.

    Raises:
        UsageError, ModelError, OutputError: the run can't begin or go on. One bad input is an item with an error.
    """
    from saliency_cli.runs.compute import compute

    heard = _Items()
    request = ComputeRequest(fspath(model), _several(inputs), metrics=_several(metrics), methods=(method,), **fields)
    run = compute(request, heard).run
    run.items = heard.items
    return run


def compare(
    before: "str | PathLike[str]",
    after: "str | PathLike[str]",
    inputs: "str | PathLike[str] | Iterable[str | PathLike[str]]",
    metrics: str | Sequence[str] | None = None,
    *,
    method: str = "gradient",
    before_method: str | None = None,
    **fields: Any,
) -> CompareRecord:
    """Compare two models' maps of the same inputs, those that changed most first.

    Args and errors as for `evaluate`; `before_method` where the first model's maps are made otherwise.
    """
    from saliency_cli.runs.compare import DEFAULT_METRICS
    from saliency_cli.runs.compare import compare as run_compare

    request = ComputeRequest(
        fspath(after),
        _several(inputs),
        reference=fspath(before),
        reference_method=before_method,
        metrics=DEFAULT_METRICS if metrics is None else _several(metrics),
        methods=(method,),
        **fields,
    )
    return run_compare(request, Silent()).record


def check(policy: "str | PathLike[str]" = "saliency.toml", **overrides: Any) -> "CheckRecord":
    """Check a policy and return the verdicts; `passed` is the answer.

    `overrides` are the fields of `saliency_cli.runs.check.request.CheckRequest`: `model`, `inputs`, `select`, ….

    Raises:
        UsageError: the policy or the baseline can't be used. ModelError: the model can't.
    """
    from saliency_cli.runs.check.check import check as run_check
    from saliency_cli.runs.check.request import CheckRequest

    return run_check(CheckRequest(Path(policy), **overrides), Silent()).record


def _several(given: "str | PathLike[str] | Iterable[str | PathLike[str]]") -> tuple[str, ...]:
    """Return one or several names as a tuple: a text is one name, not its letters."""
    return (fspath(given),) if isinstance(given, (str, PathLike)) else tuple(fspath(each) for each in given)


class _Items(Silent):
    """Keeps every record."""

    def __init__(self) -> None:
        self.items: list[ItemRecord] = []

    def item(self, record: ItemRecord) -> None:
        """Keep one."""
        self.items.append(record)

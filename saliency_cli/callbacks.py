"""Watching training: maps and metrics of a few inputs after each epoch.

```python
from saliency_cli.callbacks import SaliencyCallback

model.fit(x, y, epochs=10, callbacks=[SaliencyCallback(x[:8], "watched", metrics=["gini", "pearson"])])
```
"""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np

from saliency_cli.api import Attribution, SaliencyModel, wrap
from saliency_cli.errors import SaliencyError, UsageError
from saliency_cli.runs.destination import WRITERS, write_whole
from saliency_cli.runs.needs import build_metrics

__all__ = ["SaliencyCallback"]


class SaliencyCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes maps and metrics of the same inputs after every epoch.

    Args:
        inputs: what to watch: arrays of the model's input shape `(n, …)`, or a sequence of files,
            arrays or mappings of input name to array.
        out: a folder: `epoch-001/000.overlay.png` …, and a line an epoch in `epochs.jsonl`.
        metrics: names of `saliency metrics`; those that compare two maps are given the map of the epoch
            watched before, so they begin with the second.
        labels: the true class of each input, for `target="label"` and metrics that know the truth.
        every: how many epochs lie between two looks; the last epoch is always looked at.
        formats: `overlay`, `heatmap`, `panel`, `npy`; empty writes numbers only.
        method, options, target, space, class_names, preprocess, valid_range, seed: as for `SaliencyModel.attribute`.

    The mean of every metric is put into the epoch's `logs` as `saliency_<metric>`, where callbacks that
    come later in the list find it. The model is not changed: it is computed in inference.

    Raises:
        UsageError: an argument makes no sense (when it is made). An input that can't be used is told in
            the line of the epoch, and training goes on.
    """

    def __init__(
        self,
        inputs: Any,
        out: "str | PathLike[str]",
        *,
        metrics: str | Sequence[str] = ("grad-l2", "gini"),
        labels: Sequence[Any] | None = None,
        every: int = 1,
        formats: Sequence[str] = ("overlay",),
        method: str = "gradient",
        options: Mapping[str, Any] | None = None,
        target: str | int = "top",
        space: str | None = None,
        class_names: Sequence[str] = (),
        preprocess: str = "auto",
        valid_range: tuple[float, float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if every < 1:
            raise UsageError(f"every is {every}, and an epoch is the least", hint="every=1", reason="bad-argument")
        if labels is not None and len(labels) != len(inputs):
            raise UsageError(f"{len(labels)} labels came for {len(inputs)} inputs", reason="bad-argument")
        self.out = Path(fspath(out))
        self._inputs, self._labels, self._every = list(inputs), labels, every
        self._metrics = build_metrics((metrics,) if isinstance(metrics, str) else tuple(metrics))
        lacking = [name for name, metric in self._metrics.items() if "mask" in metric.needs]
        if lacking:
            raise UsageError(f"{lacking[0]} needs masks, which a callback has none of", reason="no-masks")
        self._writers = {name: WRITERS.build(name, {}) for name in formats}
        self._asked: dict[str, Any] = {
            "method": method,
            "options": options,
            "target": target,
            "space": space,
            "class_names": tuple(class_names),
            "preprocess": preprocess,
            "valid_range": valid_range,
            "seed": seed,
        }
        self._wrapped: SaliencyModel | None = None
        self._before: dict[int, Attribution] = {}
        self._looked = -1

    def on_train_begin(self, logs: "dict[str, Any] | None" = None) -> None:
        """Take the model as it is; it is traced once, and its weights are read anew at every look."""
        del logs
        self._wrapped, self._before, self._looked = None, {}, -1

    def on_epoch_end(self, epoch: int, logs: "dict[str, Any] | None" = None) -> None:
        """Look at the inputs, and put the means into `logs`."""
        epochs = (self.params or {}).get("epochs")
        last = epochs is not None and epoch == epochs - 1
        if (epoch + 1) % self._every and not last:
            return
        means = self._look(epoch)
        if logs is not None:
            logs.update({f"saliency_{_plain(name)}": value for name, value in means.items() if value is not None})

    def _look(self, epoch: int) -> dict[str, float | None]:
        if self._wrapped is None:
            self._wrapped = wrap(self.model)
        values: dict[str, list[float]] = {name: [] for name in self._metrics}
        told = []
        for index, x in enumerate(self._inputs):
            try:
                found = self._attribute(index, x)
            except SaliencyError as error:
                told.append({"input": index, "error": error.message, "reason": error.reason})
                continue
            for name, value in found.metrics.items():
                if value is not None:
                    values[name].append(value)
            entry = {
                "input": index,
                "prediction": found.prediction,
                "metrics": found.metrics,
                "notes": found.record.notes,
                "flags": found.flags,
                "files": self._write(epoch, index, found),
            }
            told.append(entry)
            self._before[index] = found
        means = {name: float(np.mean(seen)) if seen else None for name, seen in values.items()}
        self._append({"epoch": epoch + 1, "metrics": means, "inputs": told})
        return means

    def _attribute(self, index: int, x: Any) -> Attribution:
        assert self._wrapped is not None
        before = self._before.get(index)
        names = [name for name, metric in self._metrics.items() if before or "reference" not in metric.needs]
        label = None if self._labels is None else self._labels[index]
        return self._wrapped.attribute(x, metrics=names, reference=before, label=label, **self._asked)

    def _write(self, epoch: int, index: int, found: Attribution) -> list[str]:
        files = []
        for name, writer in self._writers.items():
            kind = f".{name}" if writer.suffix(next(iter(found.views.values()))) != f".{name}" else ""
            views = list(found.views.values())
            for position, view in enumerate(views[:1] if writer.scope == "item" else views):
                several = f".{view.input_name or position}" if len(views) > 1 else ""
                file = f"epoch-{epoch + 1:03}/{index:03}{several}{kind}{writer.suffix(view)}"
                write_whole(self.out / file, writer.encode([view]))
                files.append(file)
        return files

    def _append(self, line: dict[str, Any]) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        with (self.out / "epochs.jsonl").open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")


def _plain(label: str) -> str:
    return "".join(sign if sign.isalnum() else "_" for sign in label)

"""`init`: a policy and a baseline proposed from what the model measures now."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from saliency_cli.errors import OutputError, UsageError
from saliency_cli.runs.check.asking import asked
from saliency_cli.runs.check.baseline_file import NUMBERS
from saliency_cli.runs.check.held import held
from saliency_cli.runs.check.policy import NAME, Policy, Profile, Rule
from saliency_cli.runs.check.profiles import PROFILES
from saliency_cli.runs.check.proposing import absolute, candidates, proposed
from saliency_cli.runs.check.reading import parse_policy
from saliency_cli.runs.check.request import CheckRequest
from saliency_cli.runs.check.rule_sense import is_pair, metrics_of
from saliency_cli.runs.check.summing import is_guessed
from saliency_cli.runs.check.updating import save
from saliency_cli.runs.check.writing import policy_text
from saliency_cli.runs.destination import write_whole
from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.measure import measure
from saliency_cli.runs.preparing import OpenEngine
from saliency_cli.runs.sources import listed

MOST_LISTED = 3


@dataclass(frozen=True)
class InitRequest:
    """One `saliency init`. `opening`: how the model is opened, as far as the command line says."""

    model: str
    inputs: tuple[str, ...]
    profile: Profile = "finetune"
    out: Path = Path(NAME)
    preprocess: str = "auto"
    target: str = "top"
    labels: str | None = None
    class_names: str | None = None
    overwrite: bool = False
    opening: CheckRequest = field(default_factory=CheckRequest)


@dataclass(frozen=True)
class Initialised:
    """The files that were written, and how many inputs they are about."""

    policy: Path
    baseline: Path
    inputs: int


def initialise(request: InitRequest, listen: Listener, open_engine: OpenEngine = open_engine) -> Initialised:
    """Measure a model and write a policy with limits from it, and its baseline.

    Raises:
        OutputError: there is a policy or baseline already, and `overwrite` was not said.
        UsageError: how pictures are prepared would have to be guessed; no input was found; or so many inputs
            break a rule today that it could only be written so that it never fails.
        InputError: an input can't be measured; nothing is written then.
    """
    folder = request.out.parent
    baseline = folder / f"{request.out.stem}-baseline"
    _require_free(request, baseline)
    draft = parse_policy(_text(request, baseline), request.out)
    wanted = asked(draft, request.opening, ("grad-l2",))
    engine = open_engine(wanted, single=False)
    extra = candidates(engine, [path for source in listed(wanted) or [] for _, path in source.parts])
    metrics = {label: metric for label, metric in metrics_of(draft.rules).items() if not is_pair(metric)}
    metrics |= metrics_of(extra)
    run = measure(wanted, listen, lambda _request, **_single: engine, metrics=metrics)
    if any(is_guessed(item.record) for item in run.items):
        raise UsageError(
            "nothing in the model tells how its pictures were scaled, and a check must not guess",
            hint="--preprocess unit ([0, 1]), or another: none, symmetric, imagenet-torch, …",
            reason="preparing-guessed",
        )
    judged, _ = held(run.items)
    rules = proposed(draft.rules, judged, PROFILES[request.profile].method) + absolute(extra, metrics, judged)
    text = _text(request, baseline, rules, inputs=len(judged))
    policy = parse_policy(text, request.out)
    save(baseline, policy, run)
    write_whole(request.out, text.encode())
    return Initialised(request.out, baseline, len(judged))


def _require_free(request: InitRequest, baseline: Path) -> None:
    for path in (request.out, baseline / NUMBERS):
        if path.exists() and not request.overwrite:
            raise OutputError(
                f"'{path}' is there already",
                hint="--overwrite to replace it, or -o OTHER.toml; saliency check --update-baseline keeps the rules",
                reason="exists",
            )


def _text(request: InitRequest, baseline: Path, rules: Sequence[Rule] = (), inputs: int = 0) -> str:
    folder = request.out.parent
    return policy_text(
        Policy(
            version=1,
            profile=request.profile,
            model=relative(request.model, folder),
            inputs=[relative(given, folder) for given in gathered(request.inputs)],
            labels=None if request.labels is None else relative(request.labels, folder),
            class_names=None if request.class_names is None else relative(request.class_names, folder),
            baseline=relative(str(baseline), folder),
            preprocess=request.preprocess,
            # Fewer than there are: one deleted picture must not make every rule an error.
            min_inputs=max(1, min(8, inputs * 3 // 4)) if inputs else 8,
        ),
        request.target,
        rules,
    )


def relative(path: str, folder: Path) -> str:
    """Return a path as a policy in `folder` writes it."""
    return Path(os.path.relpath(path, folder)).as_posix()


def gathered(inputs: Sequence[str]) -> list[str]:
    """Return inputs with the many files a shell made of a pattern as that pattern again, where it means the same."""
    if len(inputs) <= MOST_LISTED:
        return list(inputs)
    kinds = Counter((str(Path(given).parent), Path(given).suffix) for given in inputs)
    if len(kinds) == 1:
        ((parent, suffix),) = kinds
        there = {str(path) for path in Path(parent).glob(f"*{suffix}")}
        if suffix and there == {str(Path(given)) for given in inputs}:
            return [str(Path(parent) / f"*{suffix}")]
    return list(inputs)

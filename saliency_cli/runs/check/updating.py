"""`--update-baseline`: the model as it is becomes what later ones are compared with."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec import Struct

from saliency_cli.errors import InputError, UsageError
from saliency_cli.runs.check.asking import asked, require_declared
from saliency_cli.runs.check.baseline import Baseline, before
from saliency_cli.runs.check.baseline_file import read_baseline, write_baseline
from saliency_cli.runs.check.fingerprint import fingerprint, resolved
from saliency_cli.runs.check.held import held
from saliency_cli.runs.check.policy import Policy
from saliency_cli.runs.check.reading import read_policy
from saliency_cli.runs.check.request import CheckRequest
from saliency_cli.runs.check.rule_sense import is_pair, metrics_of
from saliency_cli.runs.check.statistics import aggregated
from saliency_cli.runs.check.summing import is_guessed
from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.measure import measure
from saliency_cli.runs.measured import MeasuredRun
from saliency_cli.runs.preparing import OpenEngine


class Changed(Struct, kw_only=True, frozen=True):
    """A metric's median over the inputs, in the old baseline (None: not there) and in the new one."""

    metric: str
    old: float | None
    new: float | None


class UpdateRecord(Struct, kw_only=True, frozen=True):
    """What became of a baseline."""

    schema: str = "baseline-update-1"
    path: str
    inputs: int
    added: list[str]
    removed: list[str]
    metrics: list[Changed]
    notes: list[str] = []


@dataclass(frozen=True, eq=False)
class Updated:
    """The end of an update."""

    record: UpdateRecord
    run: MeasuredRun


def update_baseline(request: CheckRequest, listen: Listener, open_engine: OpenEngine = open_engine) -> Updated:
    """Measure the model and write the policy's baseline: every rule's values, every input's map.

    Raises:
        UsageError: in continuous integration without `yes`; the policy has no baseline folder.
        InputError: an input could not be measured, and nothing was written.
    """
    if reason := _forbidden_here(request):
        raise UsageError(reason, hint=f"make it on your own machine and commit it, or {request.update} --yes")
    policy = read_policy(request.policy)
    if policy.baseline is None:
        raise UsageError(
            f"'{policy.path}' names no baseline folder",
            hint='baseline = "ci/saliency-baseline" in it',
            reason="no-baseline",
        )
    metrics = {label: metric for label, metric in metrics_of(policy.rules).items() if not is_pair(metric)}
    run = measure(asked(policy, request, tuple(metrics)), listen, open_engine, metrics=metrics)
    require_declared(policy.path, guessed=any(is_guessed(item.record) for item in run.items))
    folder = policy.folder / policy.baseline
    old, note = _there(folder, request.update)
    save(folder, policy, run)
    return Updated(_record(folder, policy, run, old, note), run)


def save(folder: Path, policy: Policy, run: MeasuredRun) -> None:
    """Write a run as a policy's baseline, if every input could be measured."""
    judged, failed = held(run.items)
    failed.update({entry.id: entry.broken for entry in judged if entry.broken})
    if failed:
        name, why = next(iter(failed.items()))
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise InputError(
            f"the baseline was not written: {name}: {why}{more}",
            hint="a baseline holds every input: mend it, or take it out of the inputs",
            reason="failed-input",
        )
    write_baseline(folder, run, policy.folder, fingerprint(policy), resolved(run.run))


def _there(folder: Path, update: str) -> tuple[Baseline | None, str]:
    """Return the baseline that is there; one that can't be read is about to be replaced."""
    try:
        return read_baseline(folder, update), ""
    except UsageError as error:
        unreadable = error.reason != "no-baseline"
        return None, f"the old one could not be compared with: {error.message}" if unreadable else ""


def _record(folder: Path, policy: Policy, run: MeasuredRun, old: Baseline | None, note: str) -> UpdateRecord:
    new = [entry for item in run.items if (entry := before(item, policy.folder)) is not None]
    keys = {entry.key for entry in new}
    known = old.items if old is not None else {}
    labels = list(run.run.measured)
    return UpdateRecord(
        path=folder.as_posix(),
        inputs=len(keys),
        added=[entry.id for entry in new if entry.key not in known],
        removed=[entry.id for entry in known.values() if entry.key not in keys],
        metrics=[
            Changed(
                metric=label,
                old=_median([entry.values[label] for entry in known.values() if label in entry.values]),
                new=_median([entry.values[label] for entry in new]),
            )
            for label in labels
        ],
        notes=[note] if note else [],
    )


def _median(values: list[float]) -> float | None:
    found = np.array(values, np.float64)
    found = found[~np.isnan(found)]
    return float(aggregated(found, "median")) if found.size else None


def _forbidden_here(request: CheckRequest) -> str:
    """Say why a baseline is not made here, where it isn't: a build must not accept what it is to judge."""
    if os.environ.get("CI", "").lower() in ("true", "1") and not request.yes:
        return "CI is set: a baseline made by the build would accept whatever the build is to judge"
    return ""

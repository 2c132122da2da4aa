"""What each sample should have been: `--label`, or a table of paths and labels, for a loss."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from saliency_cli.errors import InputError, UsageError
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import identify
from saliency_cli.targets import Classes, Target, parse_truth


@dataclass(frozen=True)
class Truths:
    """The label of every sample: one for all, or by path. Without a loss there is none."""

    loss: str | None
    classes: Classes
    shape: tuple[int, ...]
    label: str | None = None
    by_path: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def plan(
        cls, request: ComputeRequest, loss: str | None, classes: Classes, shape: tuple[int | None, ...]
    ) -> "Truths":
        """Read the labels. Raises `UsageError` where a loss has none, or where one of varying size is asked for."""
        if loss is None:
            return cls(None, classes, ())
        if None in shape:
            raise UsageError(
                "a loss over an output of varying size is not supported", hint="--target instead of --loss"
            )
        known = tuple(size for size in shape if size is not None)
        table = _read(request.labels) if request.labels else {}
        return cls(loss, classes, known, request.label, table)

    @property
    def truth_shape(self) -> tuple[int, ...]:
        """The shape of one label."""
        return () if self.loss and "sparse" in self.loss else self.shape

    def target(self, identity: str) -> Target | None:
        """Return the target of a sample, None without a loss. Raises `InputError` where it has no label."""
        if self.loss is None:
            return None
        text = self.label if self.label is not None else self._find(identity)
        truth = parse_truth(text, self.classes, self.loss, self.shape)
        import numpy as np

        return Target(self.loss, text, np.zeros(0, np.float32), None, truth)

    def _find(self, identity: str) -> str:
        plain, _, _ = identity.partition("#")
        for key in (identity, plain, PurePosixPath(plain).name):
            if key in self.by_path:
                return self.by_path[key]
        raise InputError(
            f"--labels has no label for '{identity}'",
            hint=f"a line: {plain},LABEL",
            reason="no-label",
        )


def require_labels(request: ComputeRequest) -> None:
    """Raise `UsageError` where a loss has no labels, or labels have no loss."""
    labelled = request.label is not None or request.labels is not None
    if request.loss and not labelled:
        raise UsageError(
            "a loss needs to know what the output should have been",
            hint="--label VALUE for all inputs, or --labels FILE with lines path,label",
            reason="no-label",
        )
    if labelled and not request.loss:
        raise UsageError("labels are used by a loss only", hint="--loss categorical_crossentropy, mse, …")
    if request.loss and request.space:
        raise UsageError("--space is for a target, and --loss is asked for", hint="leave one of them away")
    if request.loss and request.target != "top":
        raise UsageError("--target names a class, and --loss is asked for", hint="leave one of them away")


def _read(file: str) -> dict[str, str]:
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"--labels: there is no file '{file}'", hint="--labels FILE with lines path,label")
    found: dict[str, str] = {}
    with path.open(newline="", encoding="utf-8-sig") as text:
        for number, row in enumerate(csv.reader(text), 1):
            if not row or (number == 1 and [cell.strip().lower() for cell in row[:2]] == ["path", "label"]):
                continue
            if len(row) < 2:
                raise UsageError(
                    f"--labels: line {number} of '{file}' has no label: {row[0]}", hint="lines are path,label"
                )
            label = ",".join(row[1:]).strip()
            found[identify(row[0].strip())] = label
            found.setdefault(PurePosixPath(row[0].strip()).name, label)
    return found

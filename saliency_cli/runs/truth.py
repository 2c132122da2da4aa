"""What each sample should have been: `--label`, or a table of paths and labels, for a loss, a target or a metric."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from saliency_cli.errors import InputError, UsageError
from saliency_cli.runs.places import is_file
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import identify
from saliency_cli.targets import Classes, Target, TargetText, class_index, one_class, parse_truth


@dataclass(frozen=True)
class Truths:
    """The label of every sample: one for all, or by path; none where none were given.

    `asked` says that the target is each sample's own label.
    """

    loss: str | None
    classes: Classes
    shape: tuple[int, ...]
    label: str | None = None
    by_path: Mapping[str, str] = field(default_factory=dict)
    by_name: Mapping[str, list[str]] = field(default_factory=dict)
    asked: bool = False

    @classmethod
    def plan(
        cls,
        request: ComputeRequest,
        target: TargetText,
        loss: str | None,
        classes: Classes,
        shape: tuple[int | None, ...],
    ) -> "Truths":
        """Read the labels. Raises `UsageError` for a label of all inputs, or an output, that a loss can't take."""
        if loss is not None and None in shape:
            raise UsageError(
                "a loss over an output of varying size is not supported", hint="--target instead of --loss"
            )
        known = tuple(size for size in shape if size is not None)
        table = _read(request.labels) if request.labels else {}
        names: dict[str, list[str]] = {}
        for path in table:
            names.setdefault(PurePosixPath(path).name, []).append(path)
        if request.label is not None and loss is not None:
            _require_sense(request.label, classes, loss, known)
        elif request.label is not None:
            class_index(request.label.strip(), classes)
        return cls(loss, classes, known if loss else (), request.label, table, names, target.label)

    @property
    def truth_shape(self) -> tuple[int, ...]:
        """The shape of one label."""
        return () if self.loss and "sparse" in self.loss else self.shape

    @property
    def given(self) -> bool:
        """Whether there are labels."""
        return self.label is not None or bool(self.by_path)

    def index(self, identity: str) -> int | None:
        """Return a sample's true class, None where no labels were given. Raises `InputError` where it has none."""
        if not self.given or self.loss is not None:
            return None
        try:
            return class_index(self.text(identity).strip(), self.classes)
        except UsageError as error:
            raise InputError(f"--labels: {error.message}", hint=error.hint, reason="unknown-label") from None

    def target(self, identity: str) -> Target | None:
        """Return the target that a sample's label makes, None where it makes none: no loss, another target.

        Raises `InputError` where the sample has no label.
        """
        if self.asked:
            index = self.index(identity)
            assert index is not None
            return one_class("label", index, self.classes)
        if self.loss is None:
            return None
        text = self.text(identity)
        truth = parse_truth(text, self.classes, self.loss, self.shape)
        import numpy as np

        return Target(self.loss, text, np.zeros(0, np.float32), None, truth)

    def text(self, identity: str) -> str:
        """Return a sample's label as the user wrote it. Raises `InputError` where there is none, or several."""
        if self.label is not None:
            return self.label
        plain, _, _ = identity.partition("#")
        for key in (identity, plain):
            if key in self.by_path:
                return self.by_path[key]
        # A table may name paths from another folder: then one of the two is the end of the other.
        alike: list[str] = []
        for wanted in dict.fromkeys((identity, plain)):
            name = PurePosixPath(wanted).name
            alike = alike or [path for path in self.by_name.get(name, ()) if _ends_alike(path, wanted)]
        labels = {self.by_path[path] for path in alike}
        if len(labels) == 1:
            return labels.pop()
        if labels:
            raise InputError(
                f"--labels has several labels for '{identity}': {', '.join(f'{p},{self.by_path[p]}' for p in alike)}",
                hint=f"a line with the whole path: {identity},LABEL",
                reason="no-label",
            )
        raise InputError(
            f"--labels has no label for '{identity}'", hint=f"a line: {identity},LABEL", reason="no-label"
        )


def _require_sense(label: str, classes: Classes, loss: str, shape: tuple[int, ...]) -> None:
    """Raise `UsageError` for a wrong label of all inputs: it is the command line's fault, not theirs."""
    try:
        parse_truth(label, classes, loss, shape)
    except InputError as error:
        raise UsageError(error.message, hint=error.hint, reason=error.reason) from None


def _ends_alike(first: str, second: str) -> bool:
    return f"/{first}".endswith(f"/{second}") or f"/{second}".endswith(f"/{first}")


def require_labels(request: ComputeRequest) -> None:
    """Raise `UsageError` where a loss or a target has no labels, or labels have nobody to use them."""
    labelled = request.label is not None or request.labels is not None
    if request.loss and not labelled:
        raise UsageError(
            "a loss needs to know what the output should have been",
            hint="--label VALUE for all inputs, or --labels FILE with lines path,label",
            reason="no-label",
        )
    by_label = request.target.strip() == "label"
    if by_label and not labelled:
        raise UsageError(
            "--target label is each input's true class, and no labels were given",
            hint="--labels FILE with lines path,label",
            reason="no-label",
        )
    if labelled and not request.loss and not by_label and not request.metrics:
        raise UsageError(
            "labels are used by a loss, a metric or --target label",
            hint="--loss categorical_crossentropy, mse, …, or --target label",
        )
    if request.loss and request.space:
        raise UsageError("--space is for a target, and --loss is asked for", hint="leave one of them away")
    if request.loss and request.target != "top":
        raise UsageError("--target names a class, and --loss is asked for", hint="leave one of them away")


def _read(file: str) -> dict[str, str]:
    if not is_file(file):
        raise UsageError(f"--labels: there is no file '{file}'", hint="--labels FILE with lines path,label")
    found: dict[str, str] = {}
    # Names that are no UTF-8 come as they would from the file system.
    with Path(file).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as text:
        for number, row in enumerate(_rows(text, file), 1):
            if not "".join(row).strip() or (
                number == 1 and [c.strip().lower() for c in row[:2]] == ["path", "label"]
            ):
                continue
            label = ",".join(row[1:]).strip()
            if not label:
                raise _bad_line(file, number, f"has no label: {row[0]}")
            path = identify(row[0].strip())
            if found.setdefault(path, label) != label:
                raise _bad_line(file, number, f"labels '{path}' as {label}, and a line before as {found[path]}")
    return found


def _rows(text: Iterable[str], file: str) -> Iterator[list[str]]:
    reader = csv.reader(text)
    try:
        yield from reader
    except csv.Error as error:
        raise _bad_line(file, reader.line_num, f"is not CSV: {error}") from None


def _bad_line(file: str, number: int, what: str) -> UsageError:
    return UsageError(f"--labels: line {number} of '{file}' {what}", hint="lines are path,label", reason="bad-labels")

"""Target text → which output, which space, which weights.

A target is `Σ weight · score` over the classes (or units) of one output, in one space, or a loss. The
weights are an input of the compiled function, so naming another class never compiles again. `top` is
resolved once per sample, on the unperturbed input, and then frozen.

The grammar: `top`, `top:3`, `all`, `label` (each sample's true class), an index, a class name, or a sum
such as `class:3 - class:5` or `0.5*cat + 0.5*dog`. A name goes before an index, and a name that is the whole
text before a sum; `class:` in front makes a class of any text (`class:top`).
"""

import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from saliency_cli.differentiable import Array
from saliency_cli.errors import InputError, UsageError, nearest

Space = Literal["logit", "probability", "log-probability", "output", "loss"]


@dataclass(frozen=True, eq=False)
class Target:
    """One scalar to differentiate: `weights` `(classes,)` float32 over one output's scores, or a loss.

    For a loss `truth` is what the output should have been (see `saliency_cli.autodiff.losses`).
    """

    text: str
    label: str
    weights: Array
    index: int | None = None
    truth: Array | None = None


@dataclass(frozen=True)
class Classes:
    """The classes of an output: how many, and their names where the user gave them."""

    count: int
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.names and len(self.names) != self.count:
            raise UsageError(
                f"the class names are {len(self.names)}, and the output has {self.count} classes",
                hint="one name a line, in the order of the model's output",
                reason="class-names",
            )

    def label(self, index: int) -> str:
        """Return the class's name, or its number."""
        return self.names[index] if self.names else str(index)


@dataclass(frozen=True)
class TargetText:
    """A parsed target: `top` classes, `every` class, the sample's `label`, or a sum of `terms` (factor, class)."""

    text: str
    top: int = 0
    every: bool = False
    terms: tuple[tuple[float, str], ...] = field(default=())
    label: bool = False

    @property
    def needs_prediction(self) -> bool:
        """Whether the sample must be predicted before the target is known."""
        return self.top > 0


_TERM = re.compile(r"\s*([+-]?)\s*(?:(\d+(?:\.\d+)?|\.\d+)\s*\*\s*)?(.+?)\s*$")
_SPLIT = re.compile(r"\s+([+-])\s+")


def parse_target(text: str) -> TargetText:
    """Parse a target's text. Raises `UsageError` with the grammar where it makes no sense."""
    stripped = text.strip()
    if stripped == "all":
        return TargetText(stripped, every=True)
    if stripped == "label":
        return TargetText(stripped, label=True)
    if found := re.fullmatch(r"top(?::(\d+))?", stripped):
        count = int(found[1] or 1)
        if count < 1:
            raise _misread(text)
        return TargetText(stripped, top=count)
    if re.fullmatch(r"top\s*(:.*|[^\w:]*\d+)|(.*\s)?[+-]?", stripped):
        raise _misread(text)
    parts = _SPLIT.split(stripped)
    terms = []
    for sign, part in zip(["+", *parts[1::2]], parts[::2], strict=True):
        matched = _TERM.match(part)
        if not matched or not matched[3]:
            raise _misread(text)
        inner, coefficient, name = matched.groups()
        # A leading minus belongs to the term unless it is a negative index, which no class has.
        if inner == "-" and not coefficient and name.isdigit():
            inner, name = "", f"-{name}"
        factor = float(coefficient or 1) * (-1 if sign == "-" else 1) * (-1 if inner == "-" else 1)
        name = name.removeprefix("class:").strip()
        if not name:
            raise _misread(text)
        terms.append((factor, name))
    return TargetText(stripped, terms=tuple(terms))


def _misread(text: str) -> UsageError:
    return UsageError(
        f"the target '{text}' makes no sense",
        hint="a target is top, top:3, all, label, an index, a class name, or a sum like 'class:3 - class:5'",
        reason="bad-target",
    )


def check_target(parsed: TargetText, classes: Classes) -> None:
    """Raise `UsageError` for a class that does not exist, or more top classes than there are."""
    if parsed.top > classes.count:
        raise UsageError(
            f"--target {parsed.text} asks for {parsed.top} classes, and the output has {classes.count}",
            hint=f"--target top:{classes.count} or --target all",
            reason="target-out-of-range",
        )
    if parsed.terms and not np.any(_weights(parsed, classes)):
        raise UsageError(
            f"the target '{parsed.text}' cancels out: every class has weight 0",
            hint="a difference of two classes: class:3 - class:5",
            reason="bad-target",
        )


def _terms(parsed: TargetText, classes: Classes) -> tuple[tuple[float, str], ...]:
    """Return the terms of a sum; a class whose name reads like a sum (`sea - lion`) is that one class."""
    whole = parsed.text.removeprefix("class:").strip()
    return ((1.0, whole),) if whole in classes.names else parsed.terms


def _weights(parsed: TargetText, classes: Classes) -> Array:
    weights = np.zeros(classes.count, np.float32)
    for coefficient, name in _terms(parsed, classes):
        weights[class_index(name, classes)] += coefficient
    return weights


def class_index(name: str, classes: Classes) -> int:
    """Return the index of a class given by number or by name."""
    if name in classes.names:
        same = [index for index, known in enumerate(classes.names) if known == name]
        if len(same) > 1:
            raise UsageError(
                f"{len(same)} classes are called '{name}': {', '.join(map(str, same))}",
                hint=f"give the index: --target {same[0]}",
                reason="ambiguous-target",
            )
        return same[0]
    if re.fullmatch(r"-?\d+", name):
        index = int(name)
        if 0 <= index < classes.count:
            return index
        raise UsageError(
            f"target {name} is out of range: the output has {classes.count} classes, 0 to {classes.count - 1}",
            hint="saliency inspect MODEL shows the outputs",
            reason="target-out-of-range",
        )
    lowered = [known.lower() for known in classes.names]
    if lowered.count(name.lower()) == 1:
        return lowered.index(name.lower())
    if not classes.names:
        hint = "give the names with --class-names FILE (one a line), or the class's index"
    else:
        hint = nearest(name, classes.names) or f"the classes are: {', '.join(classes.names[:12])}"
    raise UsageError(f"no class is called '{name}'", hint=hint, reason="unknown-target")


def resolve(parsed: TargetText, classes: Classes, logits: Array | None) -> list[Target]:
    """Return the targets the text means for one sample; `logits` `(classes,)` is its prediction.

    Ties between top classes go to the lower index.
    """
    if parsed.top:
        assert logits is not None
        order = np.argsort(-logits, kind="stable")[: parsed.top]
        return [one_class(parsed.text, int(index), classes) for index in order]
    if parsed.every:
        return [one_class(parsed.text, index, classes) for index in range(classes.count)]
    terms = _terms(parsed, classes)
    if len(terms) == 1 and terms[0][0] == 1:
        return [one_class(parsed.text, class_index(terms[0][1], classes), classes)]
    return [Target(parsed.text, parsed.text, _weights(parsed, classes))]


def one_class(text: str, index: int, classes: Classes) -> Target:
    """Return the target of one class."""
    weights = np.zeros(classes.count, np.float32)
    weights[index] = 1
    return Target(text, classes.label(index), weights, index)


def parse_truth(text: str, classes: Classes, loss: str, shape: tuple[int, ...]) -> Array:
    """Turn a `--label` into what the loss takes.

    A class index or name becomes one-hot for `categorical_crossentropy` and the index itself for
    `sparse_categorical_crossentropy`; numbers (`0.5`, `0.1,0.9`) are taken as they are, and one number
    is spread over an output of several values. Raises `InputError` where it doesn't fit.
    """
    if "sparse" in loss:
        return np.asarray(class_index(text.strip(), classes), np.float32)
    numbers = _numbers(text)
    size = int(np.prod(shape))
    if numbers is not None and len(numbers) == size and size > 1:
        return np.asarray(numbers, np.float32).reshape(shape)
    if "categorical" in loss or numbers is None:
        index = class_index(text.strip(), classes)
        if size == 1:
            return np.full(shape, index, np.float32)
        if size != classes.count:
            raise InputError(
                f"the label '{text}' names a class, and the output has {size} values for {classes.count} classes",
                hint="give the label as numbers separated by commas",
                reason="bad-label",
            )
        return np.asarray(np.eye(classes.count, dtype=np.float32)[index].reshape(shape))
    if len(numbers) == 1:
        return np.full(shape, numbers[0], np.float32)
    raise InputError(
        f"the label has {len(numbers)} values, and the output has {size}",
        hint=f"--label with 1 or {size} numbers separated by commas",
        reason="bad-label",
    )


def _numbers(text: str) -> list[float] | None:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    if not np.isfinite(found).all():
        raise InputError(f"the label '{text}' is not a finite number", reason="bad-label")
    return found


def read_class_names(text: str) -> tuple[str, ...]:
    """Read class names: one a line, or JSON.

    JSON may be a list of names, an object of index → name, or one of name → index (Keras's
    `class_indices`); a name may be `[id, name]`. Raises `UsageError` for anything else.
    """
    text = text.lstrip("\ufeff")
    if text.lstrip()[:1] in ("[", "{"):
        return _names_in_json(text)
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    # Teachable Machine and others write "0 cat": the number is the line's own.
    if lines and all(re.match(rf"{row}\s+\S", line) for row, line in enumerate(lines)):
        lines = [line.split(maxsplit=1)[1] for line in lines]
    if not lines:
        raise _unnamed("there are none")
    return tuple(lines)


def _names_in_json(text: str) -> tuple[str, ...]:
    import msgspec

    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise _unnamed(f"not JSON: {error}") from None
    if isinstance(found, dict):
        if all(isinstance(value, int) for value in found.values()):
            found = {str(index): name for name, index in found.items()}
        missing = next((i for i in range(len(found)) if str(i) not in found), None)
        if missing is not None:
            raise _unnamed(f"the object has {len(found)} classes, and none of them is number {missing}")
        found = [found[str(i)] for i in range(len(found))]
    if not found or not all(entry or entry == 0 for entry in found):
        raise _unnamed("there are none" if not found else "one is empty")
    return tuple(str(entry[-1] if isinstance(entry, list) else entry) for entry in found)


def _unnamed(what: str) -> UsageError:
    return UsageError(
        f"the class names can't be read: {what}",
        hint='one name a line, a JSON list, or a JSON object such as {"0": "cat", "1": "dog"}',
        reason="class-names",
    )

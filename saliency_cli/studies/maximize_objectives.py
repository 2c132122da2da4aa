"""What `maximize` raises: a target of the output, a channel or one unit of a layer, or a whole layer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saliency_cli.differentiable import GRADIENT, Trace
from saliency_cli.errors import ModelError, UsageError
from saliency_cli.runs.engine import Engine
from saliency_cli.runs.naming import plain
from saliency_cli.targets import Classes, TargetText, check_target, parse_target

_MOST = 256


@dataclass(frozen=True)
class Objective:
    """One thing to raise: a `target` of the output, or of a layer the unit `index`.

    An index of one number is a channel's mean over places, none is the mean square of all that the layer gives
    out. `id` names what is made for it where there is no input to name it after.
    """

    id: str
    target: TargetText | None = None
    layer: str = ""
    index: tuple[int, ...] = ()

    @property
    def trace(self) -> Trace:
        """The compiled function that knows it."""
        return Trace(unit=(self.layer, self.index)) if self.layer else GRADIENT

    @property
    def text(self) -> str:
        """How it is told."""
        if self.target is not None:
            return self.target.text
        return f"{self.short} of {self.layer}"

    @property
    def short(self) -> str:
        """How it is told where its layer is known."""
        if not self.index:
            return "mean square"
        return f"{'channel' if len(self.index) == 1 else 'unit'} {','.join(map(str, self.index))}"

    def record(self) -> dict[str, Any]:
        """Return what the JSON says of it."""
        if self.target is not None:
            return {"target": self.target.text}
        return {"layer": self.layer, "index": list(self.index)}

    def require(self, engine: Engine, classes: Classes) -> None:
        """Raise `UsageError` or `ModelError` where an open model has nothing of that kind."""
        if self.target is not None:
            check_target(self.target, classes)
            if engine.regression and engine.classes > 1 and self.target.needs_prediction:
                raise UsageError(
                    f"the output '{engine.output}' holds {engine.classes} values of a regression, and none is on top",
                    hint=f"--target INDEX (0 to {engine.classes - 1})",
                    reason="no-top",
                )
            return
        layers = engine.layers()
        if layers is None:
            raise ModelError("this engine tells of no layers", reason="no-layers")
        facts = layers.facts(self.layer)
        if self.index:
            layers.require_unit(self.layer, self.index)
        if not facts.inputs:
            raise ModelError(
                f"the layer '{self.layer}' depends on no input that could be changed",
                hint="another --layer; saliency inspect MODEL lists them",
                reason="layer-disconnected",
            )


def objectives_of(
    targets: Sequence[str], layer: str | None, channels: str | None, unit: str | None
) -> tuple[Objective, ...]:
    """Return what the options ask to raise. Raises `UsageError` for what makes no sense, or nothing."""
    if targets and layer is not None:
        raise UsageError("--target is of the model's output, and --layer of a layer", hint="leave one of them away")
    if layer is None and (channels is not None or unit is not None):
        raise UsageError("--channel and --unit are of a layer, and none is named", hint="--layer PATH --channel N")
    if channels is not None and unit is not None:
        raise UsageError("--channel is of all places, --unit of one", hint="leave one of them away")
    if layer is not None:
        return _of_layer(layer.strip(), channels, unit)
    if not targets:
        raise UsageError(
            "what to maximize was not said",
            hint="--target CLASS, or --layer PATH with --channel N, --unit ROW,COLUMN,CHANNEL or neither",
            reason="no-objective",
        )
    parsed = [parse_target(text) for text in dict.fromkeys(text.strip() for text in targets)]
    for each in parsed:
        if each.every or each.top > 1 or each.label:
            raise UsageError(
                f"--target {each.text} is not one target",
                hint="name one class, and repeat --target for several",
                reason="bad-target",
            )
    return tuple(Objective(_identity(each), target=each) for each in parsed)


def _identity(target: TargetText) -> str:
    name = plain(target.text)
    return f"class-{name}" if name.isdigit() else name


def _of_layer(layer: str, channels: str | None, unit: str | None) -> tuple[Objective, ...]:
    if not layer or "," in layer:
        raise UsageError(
            f"--layer {layer}: one layer's path was expected",
            hint="saliency inspect MODEL lists them",
            reason="bad-option",
        )
    name = plain(layer)
    if unit is not None:
        index = tuple(
            _number(part, f"--unit {unit}", "a place and a channel: --unit 3,4,17") for part in unit.split(",")
        )
        return (Objective(f"{name}-unit-{'-'.join(map(str, index))}", layer=layer, index=index),)
    if channels is None:
        return (Objective(f"{name}-whole", layer=layer),)
    return tuple(Objective(f"{name}-channel-{n}", layer=layer, index=(n,)) for n in _channels(channels))


def _channels(text: str) -> list[int]:
    """Return the numbers of `0-8,12`."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        hint = "a channel, several or a span: --channel 0-8,12"
        start = _number(first, f"--channel {text}", hint)
        end = _number(last, f"--channel {text}", hint) if dash else start
        if end < start or end - start >= _MOST:
            raise UsageError(f"--channel {text}: the span {part.strip()} is reversed or too long", hint=hint)
        found += range(start, end + 1)
    return list(dict.fromkeys(found))


def _number(text: str, what: str, hint: str) -> int:
    if not re.fullmatch(r"[0-9]+", text.strip()):
        raise UsageError(f"{what}: '{text}' is no number", hint=hint, reason="bad-option")
    return int(text)

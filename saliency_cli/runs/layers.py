"""Which layer a method looks at: named by the user, or found in the open model and told."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from saliency_cli.differentiable import Method
from saliency_cli.errors import ModelError, UsageError
from saliency_cli.layering import AUTO
from saliency_cli.runs.engine import Engine
from saliency_cli.runs.settings import METHODS

if TYPE_CHECKING:
    from saliency_cli.autodiff.layers import Layers


@dataclass(frozen=True)
class Chosen:
    """The methods of a run with their layers resolved, and why each was chosen, by method."""

    methods: Mapping[str, Method]
    reasons: Mapping[str, str] = field(default_factory=dict)


def option_of(layer: str | None) -> tuple[str, ...]:
    """Return `--layer A,B` as an option of the methods."""
    if layer is None:
        return ()
    paths = [part.strip() for part in layer.split(",")]
    if not all(paths):
        hint = "--layer PATH[,PATH…], or --layer auto"
        raise UsageError(f"--layer {layer}: a path is empty", hint=hint, reason="bad-option")
    return ("layer=" + "+".join(paths),)


def resolve(methods: Mapping[str, Method], engine: Engine) -> Chosen:
    """Resolve the layer of every method that has one, also of those that another averages (`of=…`).

    Raises `UsageError` for layers the model has not, `ModelError` where none can be found.
    """
    resolved: dict[str, Method] = {}
    reasons: dict[str, str] = {}
    for name, method in methods.items():
        resolved[name], reason = _resolved(method, engine)
        if reason:
            reasons[name] = reason
    return Chosen(resolved, reasons)


def _resolved(method: Method, engine: Engine) -> tuple[Method, str]:
    found: Any = method
    reasons: list[str] = []
    if isinstance(layer := getattr(method, "layer", None), str):
        layer, reason = _named(layer, engine)
        found = replace(found, layer=layer)
        reasons.append(reason)
    of = getattr(method, "of", None)
    inner, _, settings = (of if isinstance(of, str) else "").partition(":")
    if inner and any(option.name == "layer" for option in METHODS.options(inner)):
        parts = dict(part.partition("=")[::2] for part in settings.split(",") if part)
        parts["layer"], reason = _named(parts.get("layer", AUTO), engine)
        found = replace(found, of=f"{inner}:" + ",".join(f"{key}={value}" for key, value in parts.items()))
        reasons.append(reason)
    return found, "; ".join(dict.fromkeys(filter(None, reasons)))


def _named(text: str, engine: Engine) -> tuple[str, str]:
    """Return the layers a text means, joined by +, and why they were chosen where the text says `auto`."""
    layers = engine.layers()
    if layers is None:
        raise ModelError("this engine tells of no layers", reason="no-layers")
    if text == AUTO:
        return automatic(layers, engine)
    paths = [part.strip() for part in text.split("+")]
    for path in paths:
        layers.require_leading(path)
    return "+".join(dict.fromkeys(paths)), ""


def automatic(layers: "Layers", engine: Engine) -> tuple[str, str]:
    """Return the last layer with places, and why it is that one. Raises `ModelError` where there is none."""
    spatial = [spec for spec in engine.specs if spec.name in engine.connected and spec.shape]
    axes = {count for spec in spatial for count in (len(spec.shape) - 1, len(spec.shape)) if 0 < count <= 3}
    if len(engine.shape) > 1:
        raise ModelError(
            f"the output '{engine.output}' has places itself ({_shown(engine.shape)}), so no layer is the last with "
            "places before they are pooled",
            hint="name a layer in the middle: --layer PATH; saliency inspect MODEL lists them",
            reason="no-layer",
        )
    found = layers.with_space(axes)
    inputs = ", ".join(f"'{spec.name}' of {spec.describe()}" for spec in spatial)
    if not found.paths:
        raise ModelError(
            f"no layer behind the first weights, between the input ({inputs}) and the target, has places left: rows "
            "and columns, or steps",
            hint="a method of the input itself, such as gradient or integrated-gradients",
            reason="no-layer",
        )
    if found.attention:
        raise ModelError(
            f"attention ({found.attention}) mixes places before the target, so what a place of a layer holds can't "
            "be told apart behind it, and no layer is chosen",
            hint=f"--layer {found.paths[0]} takes one all the same; or a method of the input itself: gradient",
            reason="attention",
        )
    if len(found.paths) > 1:
        shown = " and ".join(f"'{path}' ({layers.facts(path).describe})" for path in found.paths[:4])
        more = f", and {len(found.paths) - 4} more" if len(found.paths) > 4 else ""
        raise ModelError(
            f"no one layer is the last with places: {shown}{more} lead to the target side by side",
            hint=f"--layer {found.paths[0]}, or several: --layer {','.join(found.paths[:2])}",
            reason="which-layer",
        )
    (path,) = found.paths
    shape = layers.facts(path).describe
    around = "; part of the input also reaches the target around it" if found.around else ""
    return path, f"layer '{path}', the last whose output has places ({shape}){around}"


def _shown(shape: tuple[int | None, ...]) -> str:
    return "×".join("?" if size is None else str(size) for size in shape)

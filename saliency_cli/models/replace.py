"""`--replace name=Layer:key=value,…`: a stock layer in the place of a Lambda, so that no code is run."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from saliency_cli.errors import UsageError, nearest
from saliency_cli.models.legacy.config import Config, nodes, rewritten

# Layers of Keras without weights and without code: what a Lambda most often stood for.
STOCK = (
    "Activation", "Add", "Average", "AveragePooling1D", "AveragePooling2D", "Concatenate", "Cropping1D", "Cropping2D",
    "Cropping3D", "Dot", "ELU", "Flatten", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "Identity", "LeakyReLU", "MaxPooling1D", "MaxPooling2D", "Maximum",
    "Minimum", "Multiply", "Permute", "ReLU", "RepeatVector", "Rescaling", "Reshape", "Resizing", "Softmax",
    "Subtract", "UnitNormalization", "UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D",
)  # fmt: skip

USAGE = "--replace lambda_1=Rescaling:scale=0.00784,offset=-1"


@dataclass(frozen=True)
class Replacement:
    """The stock layer that stands in for the layer `name`."""

    name: str
    layer: str
    arguments: dict[str, Any] = field(default_factory=dict)


def parse_replacement(text: str) -> Replacement:
    """Read `name=Layer:key=value,…`; a value is JSON or a word. Raises `UsageError` naming what is wrong."""
    name, equals, rest = text.partition("=")
    layer, _, arguments = rest.partition(":")
    if not (name and equals and layer):
        raise UsageError(f"--replace '{text}' is not NAME=LAYER:KEY=VALUE,…", hint=USAGE, reason="replace")
    if layer not in STOCK:
        raise UsageError(
            f"--replace {name}: '{layer}' is not a stock layer that can stand in for a Lambda",
            hint=nearest(layer, STOCK) or f"there are: {', '.join(STOCK)}",
            reason="replace",
        )
    found = {}
    for part in _split(arguments):
        key, equals, value = part.partition("=")
        if not (key.isidentifier() and equals and value):
            raise UsageError(f"--replace {name}: '{part}' is not KEY=VALUE", hint=USAGE, reason="replace")
        found[key] = _value(value)
    return Replacement(name, layer, found)


def replacements_of(texts: Iterable[str], config: Config) -> dict[str, Replacement]:
    """Read `--replace` options for one model. Raises `UsageError` for a name that no Lambda of it has."""
    found = {replacement.name: replacement for replacement in map(parse_replacement, texts)}
    kinds: dict[str, str] = {}
    for node in nodes(config):
        name, kind = str(node["config"].get("name")), node["class_name"]
        kinds[name] = kind if kinds.get(name) != "Lambda" else "Lambda"
    lambdas = [name for name, kind in kinds.items() if kind == "Lambda"]
    there = f"its Lambda layers: {', '.join(lambdas)}" if lambdas else "it has no Lambda layer"
    for name in found:
        if name not in kinds:
            raise UsageError(
                f"--replace {name}: the model has no layer '{name}'",
                hint=nearest(name, lambdas) or there,
                reason="replace",
            )
        if name not in lambdas:
            raise UsageError(
                f"--replace {name}: '{name}' is a {kinds[name]}, and only a Lambda can be replaced",
                hint=there,
                reason="replace",
            )
    return found


def with_replacements(config: Config, replacements: Mapping[str, Replacement]) -> Config:
    """Return a configuration with stock layers where Lambdas stand; their names, input shapes and places stay."""

    def change(node: Config) -> Config:
        options = node["config"]
        found = replacements.get(str(options.get("name"))) if isinstance(options, dict) else None
        return node if found is None or node["class_name"] != "Lambda" else _replaced(node, found)

    changed: Config = rewritten(config, change)
    return changed


def _replaced(node: Config, found: Replacement) -> Config:
    options = node["config"]
    kept = {key: options[key] for key in ("name", "trainable", "batch_input_shape") if key in options}
    outer = {key: value for key, value in node.items() if key not in ("module", "registered_name", "build_config")}
    if "module" in node:
        outer["module"] = "keras.layers"
    if isinstance(node.get("inbound_nodes"), list):
        outer["inbound_nodes"] = [_plain_call(call) for call in node["inbound_nodes"]]
    return {**outer, "class_name": found.layer, "config": {**kept, **found.arguments}}


def _plain_call(call: Any) -> Any:
    """Leave out what Keras 3 hands to a Lambda only: whether it trains, and a mask."""
    if not isinstance(call, dict) or not isinstance(call.get("kwargs"), dict):
        return call
    kept = {key: value for key, value in call["kwargs"].items() if key not in ("mask", "training")}
    return {**call, "kwargs": kept}


def suggestion(names: Iterable[str]) -> str:
    """Return the options that would replace the Lambda layers of these names, one for each."""
    return " ".join(f"--replace {name}=LAYER:KEY=VALUE" for name in dict.fromkeys(names))


def _split(text: str) -> list[str]:
    """Split at commas that stand in no bracket."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign == "[") - (sign == "]")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)

"""`--replace name=Layer:key=value,…`: a stock layer in the place of a Lambda, so that no code is run."""

import json
from dataclasses import dataclass, field
from typing import Any

from saliency_cli.errors import UsageError, nearest

# Layers of Keras without weights and without code: what a Lambda most often stood for.
STOCK = (
    "Activation", "Add", "Average", "AveragePooling1D", "AveragePooling2D", "Concatenate", "Cropping1D", "Cropping2D",
    "Cropping3D", "Dot", "Dropout", "ELU", "Flatten", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
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

"""Danger in an older Keras's configuration, found before anything is loaded, and refused by name.

tf_keras resolves names in a file as it finds them: bytecode of a Lambda, functions of any module, any
TensorFlow function or graph operation. Here only what stock Keras writes passes.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from saliency_cli.errors import ModelError
from saliency_cli.models.legacy.config import Config, Legacy
from saliency_cli.models.legacy.stock import (
    ACTIVATIONS,
    CONTAINERS,
    GRAPH_OPERATIONS,
    KERAS_1_LAYERS,
    LAYERS,
    MODULES,
    OPERATIONS,
    pure_function,
)
from saliency_cli.models.replace import suggestion

_KEYS_OF_LAYERS = ("layers", "layer", "cell", "cells", "backward_layer")
_STOCK = {*LAYERS, *CONTAINERS, *KERAS_1_LAYERS}
_ACTIVATIONS = ("activation", "recurrent_activation", "inner_activation")
_VALUES = ("__tuple__", "__numpy__", "__tensor__", "__bytes__", "__ellipsis__")


@dataclass(frozen=True)
class Finding:
    """One thing in a file that is not stock Keras: a Lambda, a custom class, a function, a file to read."""

    kind: Literal["lambda", "custom", "code", "file"]
    name: str
    what: str


def scan(config: Config, known: Collection[str] = ()) -> list[Finding]:
    """Return what is not stock Keras in a configuration. `known`: names the user gives custom classes for."""
    found: list[Finding] = []
    waiting: list[tuple[Any, str, bool]] = [(config, "the model", True)]
    while waiting:
        value, place, layers = waiting.pop()
        if isinstance(value, list):
            waiting.extend((item, place, layers) for item in reversed(value))
        elif isinstance(value, dict):
            kind = value.get("class_name")
            if isinstance(kind, str):
                inner = value.get("config")
                named = inner.get("name", kind) if isinstance(inner, dict) else kind
                place = str(named) if layers else place
                found += _of(value, kind, place, is_layer=layers, known=known)
            # What stands under `layers`, `layer`, `cell` … is a layer; a `config` goes on with its owner.
            waiting.extend(
                (item, place, key in _KEYS_OF_LAYERS or (key == "config" and isinstance(item, list)))
                for key, item in reversed(value.items())
            )
    return list(dict.fromkeys(found))


def _of(node: Config, kind: str, place: str, *, is_layer: bool, known: Collection[str]) -> list[Finding]:
    inner = node.get("config")
    options = inner if isinstance(inner, dict) else {}
    plain = str(node.get("registered_name") or kind).rpartition(">")[2]
    if kind in known or plain in known:
        return []
    if kind == "Lambda" and isinstance(options.get("function"), str) and options["function"] in known:
        return []
    if kind in ("Lambda", "__lambda__") or options.get("mode_type", "raw") != "raw":
        return [Finding("lambda", place, "a Lambda layer, which is code inside the file")]
    if kind == "function":
        return _function(node, place)
    if kind in OPERATIONS:
        return _operation(kind, options, place)
    if kind.startswith("__") and kind not in _VALUES:
        return [Finding("code", place, f"holds an object of the kind {kind}")]
    if is_layer and kind not in _STOCK:
        return [Finding("custom", place, kind)]
    if not _stock_module(node.get("module")):
        return [Finding("custom", place, kind)]
    return _options(options, place, known) if is_layer else []


def _options(options: Config, place: str, known: Collection[str]) -> list[Finding]:
    """Find functions that a layer's options name, and files."""
    if isinstance(options.get("vocabulary"), str):
        return [Finding("file", place, f"reads the file '{options['vocabulary']}'")]
    names = [options.get(key) for key in _ACTIVATIONS]
    unknown = [name for name in names if isinstance(name, str) and name not in ACTIVATIONS and name not in known]
    return [Finding("custom", place, unknown[0])] if unknown else []


def _stock_module(module: Any) -> bool:
    return module is None or any(module == name or str(module).startswith(f"{name}.") for name in MODULES)


def _function(node: Config, place: str) -> list[Finding]:
    name, module = str(node.get("config")), str(node.get("module") or "builtins")
    if name in ACTIVATIONS and (module == "builtins" or _stock_module(module)):
        return []
    return [Finding("custom", place, name)]


def _operation(kind: str, options: Config, place: str) -> list[Finding]:
    if kind == "TFOpLambda":
        symbol = str(options.get("function", ""))
        return [] if pure_function(symbol) else [Finding("code", place, f"calls tf.{symbol}")]
    if kind == "TensorFlowOpLayer":
        operation = _graph_operation(options.get("node_def"))
        return [] if operation in GRAPH_OPERATIONS else [Finding("code", place, f"runs {operation}")]
    if kind == "InstanceProperty" and str(options.get("attr_name")) not in ("shape", "dtype"):
        return [Finding("code", place, f"takes '{options.get('attr_name')}' of a tensor")]
    return []


def _graph_operation(node: Any) -> str:
    """Return the operation of a graph node: a dictionary, or the bytes of a protobuf message written as text."""
    if isinstance(node, dict):
        return str(node.get("op"))
    data, position, operation = str(node).encode(), 0, "an operation that can't be read"
    while position < len(data):
        tag, position = _number(data, position)
        if tag & 7 != _LENGTH:
            return "an operation that can't be read"
        size, position = _number(data, position)
        if tag >> 3 == _OP:
            operation = data[position : position + size].decode(errors="replace")
        position += size
    return operation


# Fields of a message that hold bytes, and which of a NodeDef's fields is its operation.
_LENGTH, _OP = 2, 2


def _number(data: bytes, position: int) -> tuple[int, int]:
    """Read a protobuf number of seven bits a byte; return it and where it ends."""
    value = shift = 0
    while position < len(data):
        byte = data[position]
        value, shift, position = value | (byte & 0x7F) << shift, shift + 7, position + 1
        if not byte & 0x80:
            break
    return value, position


def refuse(legacy: Legacy, found: list[Finding], replaced: Collection[str]) -> None:
    """Raise `ModelError` for the first finding that the user gave no replacement for, naming one way out."""
    left = [finding for finding in found if not (finding.kind == "lambda" and finding.name in replaced)]
    if not left:
        return
    first = left[0]
    others = [finding.name for finding in left if finding.kind == first.kind and finding.name != first.name]
    more = f" (and {', '.join(map(repr, others))})" if others else ""
    if first.kind == "lambda":
        raise ModelError(
            f"'{legacy.path}': layer '{first.name}'{more} is a Lambda, which is code inside the file; it was not run",
            hint="put a stock layer in its place: "
            + suggestion(finding.name for finding in left if finding.kind == "lambda"),
            reason="refused-lambda",
        )
    if first.kind == "custom":
        what = ", ".join(dict.fromkeys(f"'{finding.what}'" for finding in left if finding.kind == "custom"))
        raise ModelError(
            f"'{legacy.path}' needs {what} (layer '{first.name}'{more}), which is not part of Keras",
            hint="--custom-objects FILE.py that defines it with `import tf_keras as keras` (the file will be run)",
            reason="custom-class",
        )
    raise ModelError(
        f"'{legacy.path}': layer '{first.name}'{more} {first.what}; the file was refused",
        hint="--trust-model, if the file is your own",
        reason="refused-code" if first.kind == "code" else "refused-file",
    )

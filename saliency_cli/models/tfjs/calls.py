"""How the layers of a functional TensorFlow.js model call each other: Keras 2's and Keras 3's forms as one."""

from collections.abc import Iterator, Mapping
from typing import Any

from saliency_cli.errors import ModelError
from saliency_cli.models.tfjs.fields import Config, broken, snake, snake_keys

Reference = tuple[str, int, int]

_RECURRENT = ("RNN", "SimpleRNN", "LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Bidirectional")


def first_calls(entries: list[Config], config: Config) -> dict[str, int]:
    """Return the number each layer's calls are counted from.

    A nested model's are counted from 1 in most files, for number 0 is the making of the model itself. A
    layer whose call 0 nobody refers to is one of those.
    """
    used: dict[str, set[int]] = {}
    for calls in (*(entry.get("inbound_nodes") for entry in entries), config.get("output_layers")):
        for name, call, _ in references(calls):
            used.setdefault(name, set()).add(call)
    models = {
        layer_name(entry) for entry in entries if entry.get("class_name") in ("Model", "Functional", "Sequential")
    }
    return {
        layer_name(entry): int(layer_name(entry) in models and 0 not in used.get(layer_name(entry), {0}))
        for entry in entries
    }


def find_calls(entry: Config, first: Mapping[str, int]) -> list[Config]:
    """Return a layer's calls, `{"args": […], "kwargs": {…}}`, from whatever form they are written in."""
    kind, written = str(entry.get("class_name")), layer_name(entry)
    nodes = entry.get("inbound_nodes") or []
    calls = []
    for node in nodes:
        tensors, options = _new_form(node, written) if isinstance(node, Mapping) else _old_form(node)
        options = {snake(key): value for key, value in options.items()}
        initial = options.pop("initial_state", None)
        states = [_tensor(reference, first) for reference in references(initial)]
        args = [_tensor(reference, first) for reference in tensors]
        if kind in _RECURRENT and len(args) > 1:
            args, states = args[:1], [*args[1:], *states]
        _require_plain(options, written, kind)
        calls.append({"args": args, "kwargs": {"initial_state": states} if states else {}})
    return calls


def find_ends(value: Any, first: Mapping[str, int]) -> list[list[Any]]:
    """Return the inputs or outputs of a model as `[name, call, tensor]`."""
    return [_tensor(reference, first)["config"]["keras_history"] for reference in references(value)]


def layer_name(entry: Config) -> str:
    """Return the name a layer is called by in its model."""
    config = entry.get("config")
    inner = config.get("name") if isinstance(config, Mapping) else None
    return str(entry.get("name") or inner)


def _new_form(node: Mapping[str, Any], written: str) -> tuple[list[Reference], Config]:
    args = node.get("args") or []
    plain = [value for value in args if not isinstance(value, list | Mapping) and value is not None]
    if plain:
        raise ModelError(
            f"layer '{written}' is called with the value {str(plain[0])[:40]!r}, whose meaning is not known",
            hint="give the Keras model that this one was converted from",
            reason="unsupported-layer",
        )
    return list(references(args)), dict(node.get("kwargs") or {})


def _old_form(node: Any) -> tuple[list[Reference], Config]:
    options: Config = {}
    for part in [node] if _is_reference(node) else node:
        if _is_reference(part) and len(part) > 3 and part[3]:
            options.update(part[3])
    return list(references(node)), options


def _require_plain(options: Config, written: str, kind: str) -> None:
    for key, value in options.items():
        if value is not None and key != "training":
            raise ModelError(
                f"layer '{written}' ({kind}) is called with '{key}', whose meaning is not known",
                hint="give the Keras model that this one was converted from",
                reason="unsupported-layer",
            )


def _is_reference(value: Any) -> bool:
    if not isinstance(value, list) or not 3 <= len(value) <= 4 or not isinstance(value[0], str):
        return False
    return all(isinstance(number, int) and number >= 0 for number in value[1:3])


def references(value: Any) -> Iterator[Reference]:
    """Find every reference to another layer's call in a nest of lists and objects, in order."""
    if _is_reference(value):
        yield value[0], value[1], value[2]
    elif isinstance(value, Mapping):
        tensor = snake_keys(value)
        if tensor.get("class_name") == "__keras_tensor__":
            history = snake_keys(tensor["config"])["keras_history"]
            if not _is_reference(history):
                raise broken(f"a call refers to {str(history)[:60]!r}")
            yield history[0], history[1], history[2]
        else:
            for item in value.values():
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def _tensor(reference: Reference, first: Mapping[str, int]) -> Config:
    name, call, tensor = reference
    if name not in first:
        raise broken(f"a layer refers to '{name[:80]}', which is not in the model")
    if call < first[name]:
        raise broken(f"a layer refers to call {call} of '{name[:80]}'")
    history = [name, call - first[name], tensor]
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [], "dtype": "float32", "keras_history": history},
    }

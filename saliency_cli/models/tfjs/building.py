"""A converted topology → a live Keras 3 model, and where each of its variables stands in the file's names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.errors import ModelError
from saliency_cli.models.tfjs.fields import Config, broken

Tensor = Any

# What Keras and TensorFlow raise for a configuration that can't be built.
_FAILURES = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    MemoryError,
    tf.errors.OpError,
)


class Named(NamedTuple):
    """What a layer around a variable may be called, and whether it is a model."""

    alternatives: tuple[str, ...]
    model: bool = False


@dataclass(frozen=True)
class Slot:
    """One variable and how a file may call it.

    `around`: the layers around the variable, outermost first. `kind`: `kernel`, `bias`, … `stored`: its path
    in a `.keras` file, which some converters keep.
    """

    variable: Any
    around: tuple[Named, ...]
    kind: str
    stored: str


def build(config: Config) -> tuple[Any, list[Slot]]:
    """Build a model from `config.convert`'s configuration; return it and its variables.

    Raises `ModelError` naming the layer that Keras can't build.
    """
    model = _build(config)
    slots = list(_slots(config, model, (), ""))
    found = {id(slot.variable) for slot in slots}
    for variable in model.variables:
        # The states of random generators are of no use at inference.
        if id(variable) not in found and "seed" not in variable.name:
            raise broken(f"the variable '{variable.path}' belongs to no layer of it")
    return model, slots


def _build(config: Config) -> Any:
    kind, options = config["class_name"], config["config"]
    if kind == "Sequential":
        return _sequential(options)
    if kind == "Functional":
        return _functional(options)
    try:
        if kind in ("TimeDistributed", "Bidirectional", "RNN", "StackedRNNCells"):
            parts = {key: _parts(value) for key, value in options.items() if key in _INNER}
            layer = getattr(keras.layers, kind)(**{**options, **parts})
            return _masked_as_written(layer, options) if kind == "Bidirectional" else layer
        if kind == "InputLayer":
            return keras.layers.InputLayer(**options)
        return keras.saving.deserialize_keras_object(config)
    except _FAILURES as error:
        raise _unbuildable(config, error) from error


_INNER = ("layer", "backward_layer", "cell", "cells")


def _masked_as_written(layer: Any, options: Config) -> Any:
    """Undo what Keras's `Bidirectional` decides about masked steps of its layers."""
    zero = bool(options["layer"]["config"].get("zero_output_for_mask", False))
    for part in (layer.forward_layer, layer.backward_layer):
        part.zero_output_for_mask = zero
    return layer


def _parts(value: Any) -> Any:
    return [_build(part) for part in value] if isinstance(value, list) else _build(value)


def _sequential(options: Config) -> Any:
    model = keras.Sequential(name=options["name"])
    for config in options["layers"]:
        layer = _build(config)
        try:
            # Each layer is built as it is added, so an error is that layer's.
            model.add(layer)
        except _FAILURES as error:
            raise _unbuildable(config, error) from error
    return model


def _functional(options: Config) -> Any:
    configs = {config["name"]: config for config in options["layers"]}
    if len(configs) != len(options["layers"]):
        raise broken("two of its layers have one name")
    layers = {name: _build(config) for name, config in configs.items()}
    results: dict[tuple[str, int], list[Tensor]] = {
        (name, 0): [layer.output] for name, layer in layers.items() if configs[name]["class_name"] == "InputLayer"
    }
    waiting = [(name, i) for name, config in configs.items() for i in range(len(config["inbound_nodes"]))]
    while waiting:
        left = []
        for name, number in waiting:
            call = configs[name]["inbound_nodes"][number]
            # A layer's calls keep their order, for others refer to them by number.
            if _ready(call, results) and (number == 0 or (name, number - 1) in results):
                results[name, number] = _called(configs[name], layers[name], call, results)
            else:
                left.append((name, number))
        if len(left) == len(waiting):
            raise broken(f"the layer '{left[0][0]}' waits for an input that never comes")
        waiting = left
    inputs, outputs = ([_result(end, results) for end in options[key]] for key in ("input_layers", "output_layers"))
    if not inputs or not outputs:
        raise broken("it has no input or no output")
    try:
        return keras.Model(_single(inputs), _single(outputs), name=options["name"])
    except _FAILURES as error:
        raise broken(f"its inputs and outputs are not connected ({str(error)[:200]})") from error


def _called(config: Config, layer: Any, call: Config, results: dict[tuple[str, int], list[Tensor]]) -> list[Tensor]:
    args = [_result(tensor["config"]["keras_history"], results) for tensor in call["args"]]
    states = [_result(t["config"]["keras_history"], results) for t in call["kwargs"].get("initial_state", ())]
    if not args:
        raise broken(f"the layer '{config['written']}' is called without an input")
    try:
        result = layer(_single(args), initial_state=states) if states else layer(_single(args))
    except _FAILURES as error:
        raise _unbuildable(config, error) from error
    tensors: list[Tensor] = keras.tree.flatten(result)
    return tensors


def _ready(call: Config, results: dict[tuple[str, int], list[Tensor]]) -> bool:
    tensors = [*call["args"], *call["kwargs"].get("initial_state", ())]
    return all(tuple(tensor["config"]["keras_history"][:2]) in results for tensor in tensors)


def _result(history: Any, results: dict[tuple[str, int], list[Tensor]]) -> Tensor:
    name, call, index = history
    tensors = results.get((name, call), [])
    if index >= len(tensors):
        raise broken(f"a layer refers to output {index} of call {call} of '{name}', which has none")
    return tensors[index]


def _single(tensors: list[Tensor]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors


def _slots(config: Config, layer: Any, around: tuple[Named, ...], stored: str) -> Iterator[Slot]:
    """Walk a model and its configuration together; yield the variables of a layer or nested model."""
    kind, options = config["class_name"], config["config"]
    if kind not in ("Sequential", "Functional"):
        yield from _own(config, layer, (*around, Named((config["written"],))), stored)
        return
    live = {child.name: child for child in layer.layers}
    inner = (*around, Named((config["written"],), model=True))
    for child, path in _stored(options["layers"], f"{stored}layers/"):
        if child["class_name"] == "InputLayer":
            continue
        if child["config"]["name"] not in live:
            raise broken(f"the layer '{child['written']}' leads to none of its outputs")
        yield from _slots(child, live[child["config"]["name"]], inner, path)


def _own(config: Config, layer: Any, around: tuple[Named, ...], stored: str) -> Iterator[Slot]:
    """Yield the variables of one layer, whose own names are already in `around`."""
    kind, options = config["class_name"], config["config"]
    if kind == "Bidirectional":
        plain = options["layer"]["written"].removeprefix("forward_")
        for way in ("forward", "backward"):
            within = (*around, Named((f"{way}_{plain}",)))
            yield from _own(options["layer"], getattr(layer, f"{way}_layer"), within, f"{stored}{way}_layer/")
    elif kind == "TimeDistributed":
        yield from _slots(options["layer"], layer.layer, around, f"{stored}layer/")
    elif kind == "RNN":
        cell = options["cell"]
        numbered = () if cell["class_name"] == "StackedRNNCells" else ("RNNCell_0",)
        yield from _own(cell, layer.cell, (*around, Named((cell["written"], *numbered))), f"{stored}cell/")
    elif kind == "StackedRNNCells":
        for i, (cell, path) in enumerate(_stored(options["cells"], f"{stored}cells/")):
            yield from _own(cell, layer.cells[i], (*around, Named((cell["written"], f"RNNCell_{i}"))), path)
    else:
        # Of a recurrent layer, the cell holds the variables.
        holder = getattr(layer, "cell", layer)
        stored = f"{stored}cell/" if holder is not layer else stored
        for i, variable in enumerate(v for v in holder.variables if "seed" not in v.name):
            yield Slot(variable, around, variable.name, f"{stored}vars/{i}")


def _stored(configs: list[Config], prefix: str) -> Iterator[tuple[Config, str]]:
    """Give each layer of a list its path in a `.keras` file: its class in snake case, numbered."""
    used: dict[str, int] = {}
    for config in configs:
        kind = _snake_class(config["class_name"])
        number = used.get(kind, 0)
        used[kind] = number + 1
        yield config, f"{prefix}{kind}_{number}/" if number else f"{prefix}{kind}/"


def _snake_class(kind: str) -> str:
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind.removeprefix("Tfjs"))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _unbuildable(config: Config, error: Exception) -> ModelError:
    first = str(error).strip().partition("\n")[0][:300] or type(error).__name__
    return ModelError(
        f"layer '{config['written']}' ({config['class_name']}) can't be built: {first}",
        hint="give the Keras model that this one was converted from",
        reason="unloadable",
    )

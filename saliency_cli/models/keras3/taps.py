"""A live Keras model as a function that emits its forward pass, layers tapped, in float32.

For the length of a trace each layer's `call` is wrapped to keep its output, which works for nested,
shared, subclassed and reloaded models where building a sub-model fails, and half-precision policies are
set to float32. Both are undone afterwards: the caller's model is left as it was.
"""

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from saliency_cli.autodiff.model import Layer, Traced
from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.models.keras3.normalizing import folding
from saliency_cli.models.keras3.weights import named_variables

Tensor = Any

HALF = ("float16", "bfloat16")
NOTHING: Mapping[str, Tensor] = {}


def layer_paths(model: Any) -> dict[str, Any]:
    """Return every layer below a model by its path, outer layers first; a shared layer appears once."""
    return {path: part for path, part in _parts(model).items() if isinstance(part, keras.layers.Layer)}


def _parts(model: Any) -> dict[str, Any]:
    """Return layers, and operations that a functional model was written with (`x + y`), by path."""
    found: dict[str, Any] = {}
    seen = {id(model)}

    def walk(parent: Any, prefix: str) -> None:
        # A subclassed model or wrapper keeps its layers as attributes; Keras tracks them all in `_layers`.
        for layer in getattr(parent, "operations", None) or getattr(parent, "layers", None) or parent._layers:
            if id(layer) in seen or isinstance(layer, keras.layers.InputLayer):
                continue
            seen.add(id(layer))
            path = f"{prefix}{layer.name}"
            while path in found:
                path += "'"
            found[path] = layer
            if isinstance(layer, keras.layers.Layer):
                walk(layer, f"{path}/")

    walk(model, "")
    return found


def describe_layers(model: Any) -> tuple[Layer, ...]:
    """Return the layers of a model with the weights each holds itself, not its inner layers'."""
    described = []
    for path, layer in _parts(model).items():
        own = sum(_size(variable) for variable in getattr(layer, "_trainable_variables", ()))
        own += sum(_size(variable) for variable in getattr(layer, "_non_trainable_variables", ()))
        described.append(Layer(path, type(layer).__name__, own))
    return tuple(described)


def _size(variable: Any) -> int:
    size = 1
    for length in variable.shape:
        size *= int(length)
    return size


@contextlib.contextmanager
def tapped(
    paths: Mapping[str, Any], kept: dict[str, Tensor], placed: Mapping[str, Tensor] = NOTHING
) -> Iterator[None]:
    """Keep every layer's first output in `kept`, by path, for the length of the block.

    A layer that is called again is kept as `path#2`, `path#3`, …. What is `placed` under such a name goes on in
    the output's stead.
    """
    # Inside a loop's body the same layer is called again, on tensors of another graph.
    graph = tf.compat.v1.get_default_graph()

    def tap(path: str, call: Any) -> Any:
        names = itertools.chain((path,), (f"{path}#{time}" for time in itertools.count(2)))

        def called(*arguments: Any, **options: Any) -> Any:
            result = call(*arguments, **options)
            parts = tf.nest.flatten(result)
            at, first = next(((i, t) for i, t in enumerate(parts) if tf.is_tensor(t)), (0, None))
            if first is None or getattr(first, "graph", None) is not graph:
                return result
            name = next(names)
            kept[name] = first
            if name in placed:
                kept[name] = parts[at] = placed[name]
                return tf.nest.pack_sequence_as(result, parts)
            return result

        return called

    # A caller may have put a `call` of their own on an instance: it goes back where it was.
    own = {path: layer.__dict__["call"] for path, layer in paths.items() if "call" in layer.__dict__}
    try:
        for path, layer in paths.items():
            layer.__dict__["call"] = tap(path, layer.call)
        yield
    finally:
        for path, layer in paths.items():
            layer.__dict__.pop("call", None)
            if path in own:
                layer.__dict__["call"] = own[path]


@contextlib.contextmanager
def _full_precision(model: Any) -> Iterator[None]:
    """Compute layers of float16 or bfloat16 policies in float32 for the length of the block.

    A nested functional model also casts what it is given to the type of its own inputs.
    """
    changed: list[tuple[Any, str, Any]] = []
    layers = (model, *layer_paths(model).values())
    try:
        for layer in layers:
            policy = layer.dtype_policy
            if policy.compute_dtype in HALF:
                changed.append((layer, "_dtype_policy", layer._dtype_policy))
                layer._dtype_policy = _full(policy)
            for tensor in getattr(getattr(layer, "_functional", None) or layer, "_inputs", ()):
                if tensor.dtype in HALF:
                    attribute = "_dtype" if "_dtype" in vars(tensor) else "dtype"
                    changed.append((tensor, attribute, tensor.dtype))
                    setattr(tensor, attribute, "float32")
        yield
    finally:
        for owner, attribute, value in changed:
            setattr(owner, attribute, value)


def _full(policy: Any) -> Any:
    """Return a policy that computes in float32 with variables of the type they have."""
    full = keras.dtype_policies.DTypePolicy("float32")
    full._variable_dtype = policy.variable_dtype
    return full


def half_precision(model: Any) -> bool:
    """Whether any layer of a model computes in float16 or bfloat16."""
    return any(layer.dtype_policy.compute_dtype in HALF for layer in (model, *layer_paths(model).values()))


@contextlib.contextmanager
def _substituted(model: Any, given: Mapping[str, Tensor]) -> Iterator[None]:
    """Let tensors stand for the variables of those names for the length of the block."""
    if not given:
        yield
        return
    variables = named_variables(model, layer_paths(model))
    with keras.StatelessScope(state_mapping=[(variables[name].variable, value) for name, value in given.items()]):
        yield


def forward(model: Any, structure: Any, output_names: tuple[str, ...]) -> Any:
    """Return the model's forward pass as a function of named tensors, in inference mode.

    `structure` is what the model takes (a name, or a nest of names); outputs are named in the order in
    which Keras flattens them.
    """

    def emit(
        inputs: Mapping[str, Tensor],
        given: Mapping[str, Tensor] = NOTHING,
        placed: Mapping[str, Tensor] = NOTHING,
        *,
        fold: bool = False,
    ) -> Traced:
        arguments = keras.tree.map_structure(lambda name: inputs[name], structure)
        kept: dict[str, Tensor] = {}
        done: list[str] = []
        paths = layer_paths(model)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_substituted(model, given))
            if fold:
                stack.enter_context(folding(paths, done))
            stack.enter_context(tapped(_parts(model), kept, placed))
            stack.enter_context(_full_precision(model))
            result = model(arguments, training=False)
        tensors = [t for t in keras.tree.flatten(result) if tf.is_tensor(t)]
        return Traced(dict(zip(output_names, tensors, strict=True)), kept, tuple(done))

    return emit

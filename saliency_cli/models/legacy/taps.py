"""A live tf_keras model as a function that emits its forward pass, layers tapped.

For the length of a trace each layer's `call` is wrapped to keep its output; recurrent layers take their
plain loop (the other choice hides in functions that a GPU replaces by other kernels), and channels-first
layers, which not every CPU build of TensorFlow computes, are computed channels-last.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from saliency_cli.autodiff.model import Layer, Traced
from saliency_cli.autodiff.runtime import tf
from saliency_cli.models.keras3.normalizing import folding
from saliency_cli.models.keras3.taps import NOTHING, tapped
from saliency_cli.models.keras3.weights import named_variables
from saliency_cli.models.legacy.runtime import import_tf_keras, quiet

Tensor = Any


def layer_paths(model: Any) -> dict[str, Any]:
    """Return every layer below a model by its path, outer layers first; a shared layer appears once."""
    inputs = import_tf_keras().layers.InputLayer
    found: dict[str, Any] = {}
    seen = {id(model)}

    def walk(parent: Any, prefix: str) -> None:
        for layer in parent._flatten_layers(recursive=False, include_self=False):
            if id(layer) in seen or isinstance(layer, inputs):
                continue
            seen.add(id(layer))
            path = f"{prefix}{layer.name}"
            while path in found:
                path += "'"
            found[path] = layer
            walk(layer, f"{path}/")

    walk(model, "")
    return found


def describe_layers(model: Any) -> tuple[Layer, ...]:
    """Return the layers of a model with the weights each holds itself, not its inner layers'."""
    return tuple(
        Layer(path, type(layer).__name__, sum(int(variable.shape.num_elements() or 0) for variable in _own(layer)))
        for path, layer in layer_paths(model).items()
    )


def _own(layer: Any) -> list[Any]:
    return [*layer._trainable_weights, *layer._non_trainable_weights]


@contextlib.contextmanager
def _plain_loops(model: Any) -> Iterator[None]:
    """Keep LSTM and GRU from choosing between kernels inside a function of its own."""
    chosen = [layer for layer in layer_paths(model).values() if getattr(layer, "_could_use_gpu_kernel", False)]
    try:
        for layer in chosen:
            layer._could_use_gpu_kernel = False
        yield
    finally:
        for layer in chosen:
            layer._could_use_gpu_kernel = True


@contextlib.contextmanager
def _channels_last(model: Any) -> Iterator[None]:
    """Compute channels-first convolutions and pools on turned axes for the length of the block."""
    changed = [layer for layer in layer_paths(model).values() if _turns(layer)]
    formats = [{name: vars(layer)[name] for name in _LAST if name in vars(layer)} for layer in changed]
    try:
        for layer, format_ in zip(changed, formats, strict=True):
            layer.__dict__["call"] = _turned(layer.call)
            layer.__dict__.update({name: _LAST[name](value) for name, value in format_.items()})
        yield
    finally:
        for layer, format_ in zip(changed, formats, strict=True):
            layer.__dict__.pop("call", None)
            layer.__dict__.update(format_)


# Where a layer keeps the order of its axes, each with what it is channels-last.
_LAST: dict[str, Callable[[Any], Any]] = {
    "data_format": lambda _: "channels_last",
    "_tf_data_format": lambda order: order[0] + order[2:] + "C",
    "_channels_first": lambda _: False,
}


def _turns(layer: Any) -> bool:
    kinds = ("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")
    pools = ("MaxPooling2D", "MaxPooling3D", "AveragePooling2D", "AveragePooling3D")
    layers = import_tf_keras().layers
    stock = isinstance(layer, tuple(getattr(layers, name) for name in (*kinds, *pools)))
    own = not type(layer).__module__.startswith("tf_keras.")  # which may count its axes itself
    return stock and not own and layer.data_format == "channels_first" and "call" not in layer.__dict__


def _turned(call: Any) -> Any:
    def computed(x: Tensor) -> Tensor:
        axes = list(range(x.shape.rank))
        last = call(tf.transpose(x, [0, *axes[2:], 1]))
        return tf.transpose(last, [0, axes[-1], *axes[1:-1]])

    return computed


@contextlib.contextmanager
def _substituted(model: Any, given: Mapping[str, Tensor]) -> Iterator[None]:
    """Let tensors stand for the variables of those names for the length of the block.

    Keras 2 has no scope for it, so each variable's own ways of being read are replaced.
    """
    known = named_variables(model, layer_paths(model)) if given else {}
    # A variable of a half-precision layer is wrapped in one that casts.
    variables = {name: getattr(known[name].variable, "_variable", known[name].variable) for name in given}
    try:
        for name, variable in variables.items():
            vars(variable).update(_reading(given[name]))
        yield
    finally:
        for variable in variables.values():
            for method in _READING:
                vars(variable).pop(method, None)


_READING = ("_read_variable_op", "sparse_read", "gather_nd")


def _reading(value: Tensor) -> dict[str, Callable[..., Tensor]]:
    def read(no_copy: bool = False) -> Tensor:  # noqa: ARG001 - as TensorFlow calls it
        return value

    def gather(indices: Tensor, name: str | None = None) -> Tensor:
        return tf.gather(value, indices, name=name)

    def gather_nd(indices: Tensor, name: str | None = None) -> Tensor:
        return tf.gather_nd(value, indices, name=name)

    return dict(zip(_READING, (read, gather, gather_nd), strict=True))


def forward(model: Any, structure: Any, output_names: tuple[str, ...]) -> Any:
    """Return the model's forward pass as a function of named tensors, in inference mode.

    `structure` is what the model takes: a name, or a nest of names.
    """

    def emit(
        inputs: Mapping[str, Tensor],
        given: Mapping[str, Tensor] = NOTHING,
        placed: Mapping[str, Tensor] = NOTHING,
        *,
        fold: bool = False,
    ) -> Traced:
        arguments = tf.nest.map_structure(lambda name: inputs[name], structure)
        kept: dict[str, Tensor] = {}
        done: list[str] = []
        paths = layer_paths(model)
        changed = [_plain_loops(model), _channels_last(model), _substituted(model, given)]
        if fold:
            changed.append(folding(paths, done, import_tf_keras().layers.BatchNormalization))
        with quiet(), contextlib.ExitStack() as stack:
            for change in (*changed, tapped(paths, kept, placed)):
                stack.enter_context(change)
            result = model(arguments, training=False)
        tensors = [tensor for tensor in tf.nest.flatten(result) if tf.is_tensor(tensor)]
        return Traced(dict(zip(output_names, tensors, strict=True)), kept, tuple(done))

    return emit

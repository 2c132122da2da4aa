"""A model's weights drawn anew, layer by layer from its output down.

Which: read off a trace in which every weight is a tensor of its own. A weight meets the data at the
operations that read both. A kernel is a weight that meets the data in a product (matrix product, convolution,
look-up, loop, call). The layers at depth n are those whose kernel has at most n − 1 kernels of others behind it,
on the longest way to the output: branches side by side, as the two ways of a bidirectional layer, go
together, so every class is reached. Weights that only scale and shift (biases, batch normalisation) go with
the kernel before them: alone they would leave a map of the logits as it was. Weights that the chosen output
doesn't depend on are no part.

How: a kernel is drawn from a normal distribution of mean 0 with the kernel's own root mean square, so
activations keep their scale whatever the layout of its axes. Every other weight is shuffled, those of
one layer and size in one order, so that a channel's mean stays with its variance. Nothing says what a fresh
value would be in a graph without layers, where a variance is a constant like any other. A draw depends on
(seed, the weight's name) alone: depth n + 1 has every draw of depth n, on any machine.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from saliency_cli.autodiff.model import Weight
from saliency_cli.autodiff.runtime import tf
from saliency_cli.differentiable import Array
from saliency_cli.errors import ModelError

Tensor = Any

_PRODUCTS = (
    "MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "SparseMatMul", "SparseTensorDenseMatMul",
    "Conv", "Conv2D", "Conv3D", "Conv2DBackpropInput", "Conv3DBackpropInputV2", "DepthwiseConv2dNative",
    "DepthwiseConv2dNativeBackpropInput", "Dilation2D", "Gather", "GatherV2", "GatherNd", "ResourceGather",
    "BlockLSTM", "BlockLSTMV2", "LSTMBlockCell", "GRUBlockCell", "CudnnRNN", "CudnnRNNV2", "CudnnRNNV3",
    "While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase", "PartitionedCall",
    "StatefulPartitionedCall", "_FusedMatMul", "_FusedConv2D",
)  # fmt: skip
# What these give depends on how large an input is, not on its values.
_SHAPES = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")
_SEEDS_KEPT = 2


@dataclass(frozen=True)
class Step:
    """One step of the cascade: the layers whose kernels are drawn anew in it, and all its weights by name."""

    layers: tuple[str, ...]
    weights: tuple[str, ...]
    kernels: frozenset[str]


def find_steps(
    weights: tuple[Weight, ...], given: Iterable[Tensor], inputs: Iterable[Tensor], outputs: Iterable[Tensor]
) -> tuple[Step, ...]:
    """Return the steps of a cascade, nearest the output first.

    `given` are the weights' tensors in a traced graph, `inputs` the model's, `outputs` what is differentiated.
    Raises `ModelError` where the outputs depend on a variable that is none of the weights.
    """
    ends = {tensor.op.name for tensor in outputs}
    operations = _leading_to(ends, next(iter(given)).graph.get_operations())
    _require_all_given(operations)
    met = _meetings(operations, {tensor.op.name for tensor in inputs}, {t.op.name: i for i, t in enumerate(given)})
    kernels = {
        i: [operation for operation in places if operation.type in _PRODUCTS]
        for i, places in met.places.items()
        if len(weights[i].shape) > 1
    }
    kernels = {i: places for i, places in kernels.items() if places}
    behind = _kernels_behind(operations, {operation.name for places in kernels.values() for operation in places})
    levels: dict[str, int] = {}
    for i, places in met.places.items():
        # What only scales what no kernel has made may be the mean that pictures are brought to, in a graph.
        if i in kernels or weights[i].learned or any(operation.name in met.made for operation in places):
            level = min(behind[operation.name] for operation in kernels.get(i, places))
            levels[weights[i].layer] = min(level, levels.get(weights[i].layer, level))
    steps = []
    for level in sorted(set(levels.values())):
        here = [i for i in sorted(met.places) if levels.get(weights[i].layer) == level]
        drawn = [i for i in here if i in kernels]
        layers = dict.fromkeys(weights[i].layer for i in drawn or here)
        names = tuple(weights[i].name for i in here)
        steps.append(Step(tuple(layers), names, frozenset(weights[i].name for i in drawn)))
    return tuple(steps)


def _leading_to(ends: set[str], operations: list[Any]) -> list[Any]:
    """Return the operations that the ends depend on, in the order of their making: each after its inputs."""
    needed = set(ends)
    found = []
    for operation in reversed(operations):
        if operation.name in needed:
            needed.update(tensor.op.name for tensor in operation.inputs)
            found.append(operation)
    return found[::-1]


class _Meetings(NamedTuple):
    """The operations at which each weight meets the data, and those whose data a product has made already."""

    places: Mapping[int, list[Any]]
    made: set[str]


def _meetings(operations: list[Any], inputs: set[str], given: Mapping[str, int]) -> _Meetings:
    data, made = set(inputs), set[str]()
    carried = {name: frozenset([i]) for name, i in given.items()}
    places: dict[int, list[Any]] = {}
    for operation in operations:
        before = {tensor.op.name for tensor in operation.inputs}
        weights = frozenset[int]().union(*(carried.get(name, ()) for name in before))
        if not before & data:
            if weights:
                carried[operation.name] = weights
        elif operation.type not in _SHAPES:
            data.add(operation.name)
            for i in weights:
                places.setdefault(i, []).append(operation)
            if before & made or (weights and operation.type in _PRODUCTS):
                made.add(operation.name)
    return _Meetings(places, made)


def _kernels_behind(operations: list[Any], products: set[str]) -> dict[str, int]:
    """Return, for each operation, the most products of kernels behind it on a way to the end."""
    found = dict.fromkeys((operation.name for operation in operations), 0)
    for operation in reversed(operations):
        through = found[operation.name] + (operation.name in products)
        for tensor in operation.inputs:
            found[tensor.op.name] = max(found[tensor.op.name], through)
    return found


def _require_all_given(operations: list[Any]) -> None:
    """Refuse a model of which some weights would silently stay: variables that none of its layers owns."""
    from tensorflow.python.ops.handle_data_util import get_resource_handle_data

    for operation in operations:
        tensor = operation.outputs[0] if operation.type == "Placeholder" else None
        kept = (
            get_resource_handle_data(tensor).shape_and_type
            if tensor is not None and tensor.dtype == tf.resource
            else ()
        )
        # Bytes are the kernels of quantised layers; other integers are counters and the states of random seeds.
        if any(part.shape.dim and (tf.as_dtype(part.dtype).is_floating or _is_bytes(part.dtype)) for part in kept):
            raise ModelError(
                f"the model reads the variable '{operation.name}', which can't be drawn anew: it is no floating "
                "weight of one of its layers",
                hint="make it a weight of its layer with add_weight, or save the model without quantising it",
                reason="hidden-weights",
            )


def _is_bytes(dtype: int) -> bool:
    return tf.as_dtype(dtype) in (tf.int8, tf.uint8)


@dataclass(eq=False)
class Redrawing:
    """The weights of a model at any (seed, depth), as tensors. Those of a few seeds are kept."""

    weights: tuple[Weight, ...]
    steps: tuple[Step, ...]
    _drawn: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """How many steps there are."""
        return len(self.steps)

    def given(self, seed: int, depth: int) -> list[Tensor]:
        """Return every weight in order, those of the `depth` steps nearest the output drawn anew.

        Raises `ModelError` for more steps than there are.
        """
        if not 0 <= depth <= len(self.steps):
            raise ModelError(
                f"depth {depth} can't be drawn anew: the output depends on {len(self.steps)} layers of weights",
                hint=f"a depth of 1 to {len(self.steps)}" if self.steps else "",
                reason="too-deep",
            )
        drawn = self._drawn.setdefault(seed, {})
        while len(self._drawn) > _SEEDS_KEPT:
            del self._drawn[next(iter(self._drawn))]
        kernels = {name: name in step.kernels for step in self.steps[:depth] for name in step.weights}
        for weight in self.weights:
            if weight.name in kernels and weight.name not in drawn:
                values = redrawn(weight, seed, kernel=kernels[weight.name])
                drawn[weight.name] = tf.cast(tf.constant(values), weight.dtype)
        return [drawn[weight.name] if weight.name in kernels else weight.read() for weight in self.weights]


def redrawn(weight: Weight, seed: int, *, kernel: bool) -> Array:
    """Return one weight drawn anew, float32: a function of (seed, name) and its own scale or values."""
    values = np.asarray(weight.read()).astype(np.float32)
    if kernel:
        scale = np.sqrt(np.mean(np.square(values, dtype=np.float64)))
        return np.float32(scale) * _generator(seed, weight.name).standard_normal(values.shape, dtype=np.float32)
    order = _generator(seed, f"{weight.layer}|{values.size}").permutation(values.size)
    return np.asarray(values.reshape(-1)[order].reshape(values.shape))


def _generator(seed: int, purpose: str) -> np.random.Generator:
    key = hashlib.blake2b(f"weights|{seed}|{purpose}".encode(), digest_size=16)
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key.digest(), "little")))

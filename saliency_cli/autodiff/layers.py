"""What a traced graph tells of a model's layers: which inputs lead there, where their channels are, which come last.

Layers are known by their output tensors. A layer that is called several times has one for each call: `path`
alone is then ambiguous, and `path#1`, `path#2`, … say which call is meant, in the order of the calls.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from saliency_cli.autodiff.placing import Laid, laid
from saliency_cli.autodiff.walks import ancestors, behind_kernels, channel_axis, dependence, origin
from saliency_cli.errors import ModelError, UsageError, nearest

Tensor = Any

_POOLING = ("MaxPool", "MaxPoolV2", "AvgPool", "MaxPool3D", "AvgPool3D")
_PRODUCTS = ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "MatMul")


@dataclass(frozen=True)
class LayerFacts:
    """One layer in a trace.

    `shape` is that of its output without the batch axis, channels last and places in the input's order; `laid` how
    that is made of the model's own order. `inputs`: the floating inputs it depends on. `leads`: whether the target
    depends on it. `pools`: whether it ends in a pooling.
    """

    shape: tuple[int | None, ...]
    laid: Laid
    inputs: tuple[str, ...]
    leads: bool
    pools: bool

    @property
    def describe(self) -> str:
        """The shape as a user writes it."""
        return "×".join("?" if size is None else str(size) for size in self.shape) or "a scalar"


@dataclass(frozen=True)
class Frontier:
    """The last layers with space on the ways to the target.

    `paths`, as many as there are ways side by side; `around`: whether the input also reaches the target on a way
    without any; `attention`: the operation behind them at which places are mixed by their own values, if any.
    """

    paths: tuple[str, ...]
    around: bool
    attention: str


class Layers:
    """The layers of one trace. `tapped`: path → output tensor; `inputs`: the floating inputs by name."""

    def __init__(
        self, tapped: Mapping[str, Tensor], inputs: Mapping[str, Tensor], target: Tensor, batch: int
    ) -> None:
        self._tapped = tapped
        self._target = target
        self._batch = batch
        self._needed = ancestors(target.op)
        operations = target.graph.get_operations()
        self._depends = dependence(inputs, operations)
        self._learned = behind_kernels(self._depends, operations)
        self._facts: dict[str, LayerFacts] = {}
        self._frontiers: dict[frozenset[int], Frontier] = {}

    def paths(self) -> tuple[str, ...]:
        """Return every layer's path in the order of computation, those called again once more as `path#2`."""
        return tuple(self._tapped)

    def tensor_name(self, path: str) -> str:
        """Return the name a layer is kept under in a trace. Raises where it has none, or several."""
        kept = path.removesuffix("#1")
        if kept not in self._tapped:
            raise UsageError(
                f"the model has no layer '{path}'",
                hint=nearest(path, self.paths()) or "saliency inspect MODEL lists them",
                reason="unknown-layer",
            )
        if path == kept and f"{path}#2" in self._tapped:
            calls = 1 + sum(other.startswith(f"{path}#") for other in self._tapped)
            raise UsageError(
                f"the layer '{path}' is shared: it is called {calls} times, and has an output each time",
                hint=f"{path}#1 … {path}#{calls} say which call is meant",
                reason="shared-layer",
            )
        return kept

    def facts(self, path: str) -> LayerFacts:
        """Return what is known of a layer. Raises `UsageError` and `ModelError` where it can't be addressed."""
        if path not in self._facts:
            tensor = self._tapped[self.tensor_name(path)]
            shape = tensor.shape
            if not self._is_activation(tensor):
                raise ModelError(
                    f"the output of the layer '{path}' ({tensor.dtype.name}, {shape}) has no batch axis or no "
                    "floating values, so there is nothing in it to attribute to",
                    hint="saliency inspect MODEL --trace lists the layers with their shapes",
                    reason="no-activation",
                )
            told = self.laid(tensor)
            self._facts[path] = LayerFacts(
                shape=tuple(shape[axis] for axis in told.order[1:]),
                laid=told,
                inputs=self._depends.get(tensor.op.name, ()),
                leads=tensor.op.name in self._needed,
                pools=origin(tensor.op).type in _POOLING,
            )
        return self._facts[path]

    def between(self, operation: Any) -> bool:
        """Whether an operation lies between an input and the target."""
        return operation.name in self._needed and operation.name in self._depends

    def on_the_way(self) -> list[Any]:
        """Return every operation between an input and the target, in the order of computation."""
        return [operation for operation in self._target.graph.get_operations() if self.between(operation)]

    def laid(self, tensor: Tensor) -> Laid:
        """Return how a tensor is told: channels last, and places as the input has them."""
        return laid(tensor, channel_axis(tensor, self._depends), self._depends)

    def dtype(self, path: str) -> Any:
        """Return the type of a layer's output."""
        return self._tapped[self.tensor_name(path)].dtype

    def require_differentiable(self, path: str, found: Mapping[str, Tensor]) -> None:
        """Raise `ModelError` where no gradient of the target was found at a layer, saying which and why."""
        if path not in found:
            self.require_leading(path)
            raise ModelError(
                f"the target has no gradient with respect to the layer '{path}': an operation between them has none",
                hint="a layer nearer the output (--layer)",
                reason="layer-disconnected",
            )

    def require_unit(self, path: str, index: tuple[int, ...]) -> None:
        """Raise `UsageError` for a unit that a layer has not."""
        shape = self.facts(path).shape
        sizes = shape if len(index) > 1 else shape[-1:]
        inside = len(index) == len(sizes) and all(
            size is None or 0 <= i < size for i, size in zip(index, sizes, strict=True)
        )
        if not inside:
            raise UsageError(
                f"the layer '{path}' has no unit {','.join(map(str, index))}: its output is "
                f"{self.facts(path).describe}",
                hint=f"a channel from 0 to {(shape[-1] or 0) - 1}"
                + (", or a place and a channel, such as " + ",".join("0" * len(shape)) if len(shape) > 1 else ""),
                reason="unknown-unit",
            )

    def require_before(self, paths: Iterable[str], unit: str) -> None:
        """Raise `ModelError` for a layer that the layer of a unit doesn't depend on."""
        before = ancestors(self._tapped[self.tensor_name(unit)].op)
        for path in paths:
            if self._tapped[self.tensor_name(path)].op.name not in before:
                raise ModelError(
                    f"the layer '{path}' is not on the way to '{unit}': no unit of that depends on it",
                    hint=f"a layer before it: -p of=METHOD:layer=PATH, or layer={unit}",
                    reason="layer-off-path",
                )

    def require_leading(self, path: str) -> LayerFacts:
        """Return a layer's facts. Raises `ModelError` where the target doesn't depend on it, naming it."""
        facts = self.facts(path)
        if not facts.leads:
            raise ModelError(
                f"the layer '{path}' is not on the way to the target: nothing of the target depends on it",
                hint="another --layer, or another --output-name",
                reason="layer-off-path",
            )
        return facts

    def with_space(self, axes: Iterable[int]) -> Frontier:
        """Return the last layers whose output has as many axes of places as one of `axes` says."""
        wanted = frozenset(axes)
        if wanted not in self._frontiers:
            self._frontiers[wanted] = self._find_frontier(wanted)
        return self._frontiers[wanted]

    def _find_frontier(self, wanted: frozenset[int]) -> Frontier:
        ends: dict[str, str] = {}
        for path, tensor in self._tapped.items():
            if tensor.shape.rank is not None and tensor.shape.rank - 2 in wanted and self._is_activation(tensor):
                facts = self.facts(self._called(path))
                large = any(size is None or size > 1 for size in facts.shape[:-1])
                # A layer that only scales, pads or masks the input would be the input's own map.
                seen = facts.inputs and tensor.op.name in self._learned
                if facts.leads and seen and large and not facts.pools:
                    ends.setdefault(tensor.name, self._called(path))
        found, around, passed = self._walk_back(ends)
        order = {path: i for i, path in enumerate(ends.values())}
        paths = tuple(sorted(found, key=lambda path: order[path]))
        return Frontier(paths, around, self._attention(passed))

    def _is_activation(self, tensor: Tensor) -> bool:
        shape = tensor.shape
        return bool(shape.rank and shape[0] in (None, self._batch) and tensor.dtype.is_floating)

    def _called(self, kept: str) -> str:
        """Return how a user addresses what is kept under a name."""
        return f"{kept}#1" if f"{kept}#2" in self._tapped else kept

    def _walk_back(self, ends: Mapping[str, str]) -> tuple[set[str], bool, set[str]]:
        """Walk from the target towards the inputs, up to the tensors in `ends`."""
        found: set[str] = set()
        passed: set[str] = set()
        around = False
        waiting = [self._target]
        while waiting:
            tensor = waiting.pop()
            if tensor.name in ends:
                found.add(ends[tensor.name])
                continue
            operation = tensor.op
            if operation.name in passed or not self._depends.get(operation.name):
                continue
            passed.add(operation.name)
            around = around or operation.type == "Placeholder"
            waiting.extend(operation.inputs)
        return found, around, passed

    def _attention(self, passed: set[str]) -> str:
        """Return the first product of two tensors that both depend on the input, among some operations."""
        for operation in self._target.graph.get_operations():
            if operation.name in passed and operation.type in _PRODUCTS:
                given = [tensor for tensor in operation.inputs if self._depends.get(tensor.op.name)]
                if len(given) > 1:
                    return str(operation.name).rpartition("/")[0] or str(operation.name)
        return ""

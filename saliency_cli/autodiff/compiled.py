"""One model, one output and one space, compiled: a batch of points in, values and gradients out.

`s(x) = Σ_c w_c · score_c(x)` (or a loss) and `∂s/∂x` for every floating input, taken by
`tf.GradientTape` inside one `tf.function` of one batch shape. Never eagerly: an eager tape also
computes every convolution's weight gradient, which is slower and crashes on some real models. The
weights `w` are an input, so another class never traces again; a row that asks for the top class has
its weights chosen in the graph, from its own logits.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from saliency_cli.autodiff.backward.flow import Flow
from saliency_cli.autodiff.backward.ruled import rule_of
from saliency_cli.autodiff.backward.tracing import Scored, pulled_by_rule
from saliency_cli.autodiff.biases import find_biases, told
from saliency_cli.autodiff.calls import can_be_open, in_the_open
from saliency_cli.autodiff.disconnected import why_disconnected
from saliency_cli.autodiff.failing import failures_told, refused_by_model
from saliency_cli.autodiff.head import Head, find_head
from saliency_cli.autodiff.kinks import kinks
from saliency_cli.autodiff.layers import Layers
from saliency_cli.autodiff.liveness import peak
from saliency_cli.autodiff.losses import Loss, find_loss
from saliency_cli.autodiff.memory import require_room, too_large
from saliency_cli.autodiff.mixing import meeting, require_apart
from saliency_cli.autodiff.model import Model, Traced
from saliency_cli.autodiff.packing import Evaluation, placed
from saliency_cli.autodiff.products import hessian_product, jacobian_product
from saliency_cli.autodiff.randomising import Redrawing, Step, find_steps
from saliency_cli.autodiff.runtime import tf
from saliency_cli.autodiff.stochastic import stochastic_layers
from saliency_cli.autodiff.strided import replaced
from saliency_cli.differentiable import GRADIENT, VALUES, Array, Trace, against
from saliency_cli.errors import ModelError

Tensor = Any

_ANY_WEIGHTS = (0, 0)
_ROWS = ("weights", "top", "truth")


@dataclass(frozen=True)
class Facts:
    """What tracing a model tells about one of its outputs.

    `meeting`: the first operation at which rows of a batch may meet, empty where they can't or there is one row.
    """

    head: str
    logits_found: bool
    classes: int
    output_shape: tuple[int | None, ...]
    connected: tuple[str, ...]
    disconnected: Mapping[str, str]
    stochastic: tuple[str, ...]
    layers: Mapping[str, tuple[int | None, ...]]
    folded: tuple[str, ...] = ()
    meeting: str = ""


class Compiled:
    """The compiled function of (model, output, space or loss, batch size).

    `space` None means logits where a head was found, else the output as it is. Tracing happens on the
    first use of `facts` or the first call. `fold`: plain gradients and values are those of the model with its batch
    normalisations folded, where it has any; rules, layers and cuts see it as it is. Raises `ModelError` when no
    floating input is connected to the target, naming the operation in the way.
    """

    def __init__(
        self,
        model: Model,
        output: str,
        *,
        batch: int,
        space: str | None = None,
        loss: str | None = None,
        device: str = "/CPU:0",
        fold: bool = False,
        by_inputs: bool = True,
    ) -> None:
        self.model = model
        self.by_inputs = by_inputs
        self.fold = fold and model.foldable
        self.output = output
        self.batch = batch
        self.space = space
        self.device = device
        found: tuple[str | None, Loss | None] = find_loss(loss, model, output) if loss else (None, None)
        self.loss_name, self._loss = found
        self.floating = tuple(spec.name for spec in model.inputs if spec.floating)
        self.traced_facts: Facts | None = None
        self._functions: dict[Trace, Any] = {}
        self._redrawing: Redrawing | None = None
        self._layers: Layers | None = None
        self._rows_apart = False  # whether rows of a batch are known not to meet
        self._open = False  # whether calls can be, and are
        self._others: dict[str, Compiled] = {}

    def function(self, trace: Trace) -> Any:
        """Return the compiled function of one trace, tracing it on its first use."""
        if trace.randomised:
            # Weights are inputs of this function, so every seed and depth is one trace.
            trace = replace(trace, randomised=_ANY_WEIGHTS)
        if trace not in self._functions:
            self._functions[trace] = self._compile(trace, fold=self.fold and _plain(trace))
        return self._functions[trace]

    def _compile(self, trace: Trace, *, fold: bool) -> Any:
        signature = [
            tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in self.model.signature(self.batch).items()
        ]
        truth = tf.TensorSpec(None if self._loss and not trace.space else (self.batch,), tf.float32, "truth")
        rows = [
            tf.TensorSpec((self.batch, None), tf.float32, "weights"),
            tf.TensorSpec((self.batch,), tf.bool, "top"),
            truth,
        ]
        if trace.layer or trace.unit:
            _ = self.layers  # by a trace of its own, before this one begins
        if trace.unit and (trace.gradient or trace.cut):
            self.layers.require_before(trace.layer, trace.unit[0])
        if trace.cut:
            facts = [self.layers.require_leading(path) for path in trace.layer]
            rows += [tf.TensorSpec((self.batch, *each.shape), tf.float32) for each in facts]
        shapes = self.model.signature(self.batch)
        rows += [tf.TensorSpec(*shapes[name]) for _, name, _ in self._references(trace)]
        if trace.randomised:
            rows += [tf.TensorSpec(weight.shape, weight.dtype) for weight in self.model.weights]

        def emit(*tensors: Any) -> Any:
            return self._emit(trace, fold, *tensors)

        with tf.device(self.device):
            function = tf.function(emit, autograph=False).get_concrete_function(signature, *rows)
        if not self._open and can_be_open(function.graph):
            self._open = True
            return self._compile(trace, fold=fold)
        require_room(function.graph, self.device, self.batch, fixed=self.model.batch is not None)
        if trace == GRADIENT:
            found = self._facts_of(function.graph)
            self.traced_facts = self.traced_facts or found
            if self.by_inputs:
                _require_connected(self.traced_facts, self.model)
        return function

    def _emit(
        self,
        trace: Trace,
        fold: bool,
        inputs: list[Tensor],
        weights: Tensor,
        top: Tensor,
        truth: Tensor,
        *given: Tensor,
    ) -> Any:
        named = dict(zip((spec.name for spec in self.model.inputs), inputs, strict=True))
        written, given = (given[: len(trace.layer)], given[len(trace.layer) :]) if trace.cut else ((), given)
        further, given = self._further(trace, named, given)
        if trace.product:
            return self._emit_product(trace, fold, named, further[0], given, (weights, top, truth))
        watched = list(written) or [named[name] for name in self.floating]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            if trace.gradient and not trace.rule:
                tape.watch(watched)
            traced = self._forward(named, dict(zip(trace.layer, written, strict=False)), given, fold=fold)
            head, logits, tops, scored = self._score(trace, traced, weights, top, truth)
            values = scored.values
        taps = {path: traced.layers[self.layers.tensor_name(path)] for path in trace.layer}
        by = list(written) or list(taps.values()) or watched
        numbers: dict[str, Tensor] = {}
        if trace.rule:

            def again(other: Mapping[str, Tensor]) -> Scored:
                return self._score(trace, self._forward(other, {}, given), weights, top, truth)[-1]

            by_loss = scored.scores is None and trace.unit is None  # a unit is a score of its own
            space = "loss" if by_loss else "output" if trace.unit else trace.space or self.space_for(head)
            gradients, numbers = pulled_by_rule(trace.rule, watched, scored, space, further, again)
        else:
            gradients = tape.gradient(values, by) if trace.gradient else []
            gradients = replaced(gradients, values) if "CPU" in self.device.upper() else gradients
        if trace == GRADIENT:
            self._traced = traced, head, logits, named, values, gradients
        readable, tops = self._as_read(head, tops)
        found = {
            name: tf.convert_to_tensor(g)
            for name, g in zip(trace.layer or self.floating, gradients, strict=False)
            if g is not None
        }
        found, outputs = self._at_layers(trace, taps, found) if trace.layer else (found, numbers)
        if trace.biases:
            outputs = self._contributions(scored.end, values, named)
        if trace.whole and not trace.gradient:
            outputs = {"output": self._elements(trace, head)}
        return values, tops, logits, readable, found, outputs

    def _emit_product(
        self,
        trace: Trace,
        fold: bool,
        named: Mapping[str, Tensor],
        directions: Mapping[str, Tensor],
        given: Sequence[Tensor],
        rows: tuple[Tensor, Tensor, Tensor],
    ) -> Any:
        """Emit what `_emit` does, with the product of a derivative and a direction in the gradients' place."""

        def emit() -> Any:
            head, logits, tops, scored = self._score(trace, self._forward(named, {}, given, fold=fold), *rows)
            end = self._elements(trace, head) if trace.product == "jacobian" else scored.values
            return end, (scored.values, logits, *self._as_read(head, tops))

        points, along = ([of[name] for name in self.floating] for of in (named, directions))
        if trace.product == "jacobian":
            (values, logits, readable, tops), product = jacobian_product(emit, points, along)
            return values, tops, logits, readable, {}, {"output": product}
        (values, logits, readable, tops), products = hessian_product(emit, points, along)
        told = {name: each for name, each in zip(self.floating, products, strict=True) if each is not None}
        return values, tops, logits, readable, told, {}

    def _as_read(self, head: Head, tops: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores as a user reads them, and the top classes, -1 where there are none."""
        readable = _per_class(head.scores("probability" if head.logits is not None else "output"))
        return readable, tops if head.has_classes else tf.fill((self.batch,), tf.constant(-1, tf.int64))

    def _elements(self, trace: Trace, head: Head) -> Tensor:
        """Return the whole output in the trace's space, of its own shape: one sigmoid unit is one element."""
        space = trace.space or self.space_for(head)
        scores = head.scores(space)
        return scores[..., 1:] if head.kind == "binary" and space != "output" else scores

    def _score(
        self, trace: Trace, traced: Traced, weights: Tensor, top: Tensor, truth: Tensor
    ) -> tuple[Head, Tensor, Tensor, Scored]:
        """Return a forward pass's head, its logits and top classes, and the target in it."""
        head = find_head(_with_classes(traced.outputs[self.output]))
        if head.output.shape[-1] is None:
            raise ModelError(
                f"the last axis of the output '{self.output}' varies, so it has no number of classes",
                hint="save a model whose last layer has a fixed number of units",
                reason="varying-classes",
            )
        logits = _per_class(head.scores("logit" if head.logits is not None else "output"))
        tops = tf.argmax(logits, axis=-1)
        if trace.whole or trace.product == "jacobian":
            elements = tf.reshape(self._elements(trace, head), (self.batch, -1))
            # Where the output itself is told there is nothing to sum it with.
            weighted = trace.gradient and trace.product != "jacobian"
            rows = tf.cast(weights, elements.dtype) if weighted else tf.ones_like(elements)
            return head, logits, tops, Scored(tf.reduce_sum(rows * elements, axis=-1), elements, rows)
        if trace.unit is not None:
            return head, logits, tops, Scored(self._unit(traced, *trace.unit), None, None)
        if self._loss and not trace.space:
            loss = _per_sample(self._loss(self._shaped(truth, head), head), self.batch)
            return head, logits, tops, Scored(loss, None, None)
        scores = _per_class(head.scores(trace.space or self.space_for(head)))
        chosen = tf.one_hot(tops, scores.shape[-1], dtype=scores.dtype)
        rows = tf.where(top[:, None], chosen, tf.cast(weights, scores.dtype))
        return head, logits, tops, Scored(tf.reduce_sum(rows * scores, axis=-1), scores, rows)

    def _references(self, trace: Trace) -> list[tuple[int, str, str]]:
        """Return (which, input, dtype) of all that a rule's further points, or a direction, are given as."""
        count = 1 if trace.product else rule_of(trace.rule).references if trace.rule else 0
        signature = self.model.signature(self.batch)
        return [(k, name, signature[name][1]) for k in range(count) for name in self.floating]

    def _further(
        self, trace: Trace, named: Mapping[str, Tensor], given: Sequence[Tensor]
    ) -> tuple[list[dict[str, Tensor]], tuple[Tensor, ...]]:
        """Return the inputs of a rule's further points, integers those of the point itself, and what is left."""
        count = len(self._references(trace))
        size = len(self.floating)
        starts = range(0, count, size or 1)
        points = [dict(named) | dict(zip(self.floating, given[at : at + size], strict=True)) for at in starts]
        return points, tuple(given[count:])

    def _at_layers(
        self, trace: Trace, taps: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the gradients and the outputs of a trace's layers as they are told."""
        if trace.gradient:
            for path in trace.layer:
                self.layers.require_differentiable(path, gradients)
        if trace.cut:  # written as it is told, and known to whoever wrote it
            return dict(gradients), {}
        found = {path: self._told(path, gradient) for path, gradient in gradients.items()}
        return found, {path: self._told(path, tap) for path, tap in taps.items()}

    def _forward(
        self,
        named: Mapping[str, Tensor],
        written: Mapping[str, Tensor],
        given: Sequence[Tensor],
        *,
        fold: bool = False,
    ) -> Traced:
        """Emit the model with tensors in place of what some layers give out, and of its weights."""
        changes: dict[str, Any] = {"fold": True} if fold else {}
        if given:
            changes["given"] = {w.name: value for w, value in zip(self.model.weights, given, strict=True)}
        if written:
            changes["placed"] = {}
            for path, value in written.items():
                turned = self.layers.facts(path).laid.as_it_was(value)
                changes["placed"][self.layers.tensor_name(path)] = tf.cast(turned, self.layers.dtype(path))
        with in_the_open() if self._open else nullcontext(), failures_told(self.batch):
            return self.model.forward(named, **changes)

    def _told(self, path: str, tensor: Tensor) -> Tensor:
        """Return what a layer gives out, or its gradient, as it is told and in a precision that NumPy has."""
        wide = tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)
        return self.layers.facts(path).laid.told(wide)

    def _contributions(self, scores: Tensor, values: Tensor, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what each constant that the model adds contributes, by operation."""
        if scores is values and self._loss:
            raise ModelError(
                "a loss is no sum of what inputs and biases contribute",
                hint="leave --loss away, or --method integrated-gradients",
                reason="no-score",
            )
        inputs = {name: named[name] for name in self.floating}
        found = find_biases(scores, inputs, self.batch)
        gradients = tf.gradients(values, [bias.output for bias in found])
        layers = Layers({}, inputs, scores, self.batch)
        return {
            bias.name: told(bias, gradient, layers.laid(bias.output))
            for bias, gradient in zip(found, gradients, strict=True)
        }

    def _unit(self, traced: Traced, path: str, index: tuple[int, ...]) -> Tensor:
        """Return one unit of a layer, a channel's mean over places, or the mean square of all, for every row."""
        output = self._told(path, traced.layers[self.layers.tensor_name(path)])
        if not index:
            return tf.reduce_mean(tf.square(output), axis=list(range(1, output.shape.rank)))
        self.layers.require_unit(path, index)
        if len(index) == output.shape.rank - 1:
            return output[(slice(None), *index)]
        places = list(range(1, output.shape.rank - 1))
        return tf.reduce_mean(output[..., index[-1]], axis=places)

    def _shaped(self, truth: Tensor, head: Head) -> Tensor:
        """Give the truth the shape a loss expects: the output's, or a class for each of its places."""
        shape = head.output.shape
        if "sparse" in (self.loss_name or ""):
            places = shape[1:-1]
            return tf.broadcast_to(tf.reshape(truth, (self.batch, *(1 for _ in places))), (self.batch, *places))
        return tf.ensure_shape(tf.cast(truth, head.output.dtype), shape)

    def space_for(self, head: Head) -> str:
        """Return the space asked for, or the head's own default."""
        return self.space or ("logit" if head.logits is not None else "output")

    def _facts_of(self, graph: Any) -> Facts:
        traced, head, logits, named, values, gradients = self._traced
        del self._traced
        self._tapped = traced.layers, {name: named[name] for name in self.floating}, values
        lost = [name for name, g in zip(self.floating, gradients, strict=True) if g is None]
        classes = 2 if head.kind == "binary" else int(head.output.shape[-1])
        return Facts(
            head=head.kind,
            logits_found=head.logits is not None,
            classes=classes,
            output_shape=tuple(head.output.shape[1:]),
            connected=tuple(name for name in self.floating if name not in lost),
            disconnected={name: why_disconnected(name, named[name], values) for name in lost},
            stochastic=stochastic_layers(graph, tuple(traced.layers)),
            layers={path: _shape(tensor) for path, tensor in traced.layers.items()},
            folded=traced.folded,
            meeting=meeting(Flow(tuple(named[name] for name in self.floating), logits), self.batch)
            if self.batch > 1
            else "",
        )

    @property
    def _own_space(self) -> str:
        """The space targets are read in where an ask names none."""
        return self.space or ("logit" if self.facts.logits_found else "output")

    @property
    def facts(self) -> Facts:
        """What tracing told, tracing now if need be."""
        self.function(GRADIENT)
        assert self.traced_facts is not None
        return self.traced_facts

    @property
    def footprint(self) -> int:
        """The bytes that one batch of plain gradients is predicted to take at its most (`autodiff/liveness.py`)."""
        return peak(self.function(GRADIENT).graph)

    @property
    def layers(self) -> Layers:
        """What the plain trace tells of the model's layers, traced now if need be."""
        if self._layers is None:
            if self.fold:  # what is folded is no longer on the way to the target
                self._compile(GRADIENT, fold=False)
            else:
                self.function(GRADIENT)
            self._layers = Layers(*self._tapped, self.batch)
        return self._layers

    def other(self, output: str) -> "Compiled":
        """Return the same for another output of the model, without a loss."""
        if output == self.output and self._loss is None:
            return self
        if output not in self._others:
            self._others[output] = Compiled(
                self.model, output, batch=self.batch, space=self.space, device=self.device, fold=self.fold
            )
        return self._others[output]

    def sized(self, batch: int) -> "Compiled":
        """Return the same at another batch size, unfolded."""
        other = Compiled(self.model, self.output, batch=batch, space=self.space, device=self.device)
        other.loss_name, other._loss = self.loss_name, self._loss
        return other

    def emitted(
        self, inputs: Mapping[str, Tensor], given: Mapping[str, Tensor], weights: Tensor, top: Tensor, truth: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Emit the model with tensors for the weights of some names, into the graph being traced.

        Returns each row's target, top class, logits and readable scores.
        """
        traced = self.model.forward(inputs, given)
        head, logits, tops, scored = self._score(GRADIENT, traced, weights, top, truth)
        readable, tops = self._as_read(head, tops)
        return scored.values, tops, logits, readable

    @property
    def kinks(self) -> Mapping[str, int]:
        """How many operations of each type between an input and the target are linear but for kinks."""
        return kinks(self.layers.on_the_way())

    @property
    def redrawing(self) -> Redrawing:
        """The model's weights at any seed and depth; its layers are found by a forward trace, now if need be."""
        if self._redrawing is None:
            weights = self.model.weights
            steps: tuple[Step, ...] = ()
            if weights:
                function = self.function(replace(VALUES, randomised=_ANY_WEIGHTS))
                inputs = function.graph.inputs[: len(self.model.inputs)]
                start = len(inputs) + len(_ROWS)
                given = function.graph.inputs[start : start + len(weights)]
                steps = find_steps(weights, given, inputs, function.graph.outputs)
            self._redrawing = Redrawing(weights, steps)
        return self._redrawing

    def __call__(
        self, inputs: Mapping[str, Array], weights: Array, top: Array, truth: Array, trace: Trace = GRADIENT
    ) -> Evaluation:
        """Evaluate one full batch by one trace."""
        if trace.output is not None:
            truth = np.zeros(self.batch, np.float32)
            return self.other(trace.output)(inputs, weights, top, truth, replace(trace, output=None))
        if trace.space is not None and not self._loss and trace.space == self._own_space:
            trace = replace(trace, space=None)
        function = self.function(trace)
        self._require_rows_apart(inputs, {"weights": weights, "top": top, "truth": truth}, trace)
        if trace.space:
            truth = np.zeros(self.batch, np.float32)
        with tf.device(self.device):
            tensors = [tf.constant(inputs[spec.name], spec.dtype) for spec in self.model.inputs]
            arguments = [tf.constant(weights), tf.constant(top), tf.constant(truth)]
            if trace.cut:
                arguments += [tf.constant(inputs[placed(path)]) for path in trace.layer]
            for k, name, dtype in self._references(trace):
                # An input that the target doesn't depend on is no part of the sample's floating ones.
                instead = np.zeros_like(inputs[name]) if trace.product else inputs[name]
                arguments.append(tf.constant(inputs.get(against(k, name), instead), dtype))
            if trace.randomised:
                arguments += self.redrawing.given(*trace.randomised)
            try:
                values, tops, logits, scores, gradients, activations = function(tensors, *arguments)
            except tf.errors.ResourceExhaustedError:
                raise too_large("is more than the memory holds", self.batch, self.model.batch is not None) from None
            except (tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError) as error:
                raise refused_by_model(error.message) from None
        found = {name: gradient.numpy() for name, gradient in gradients.items()}
        outputs = {path: output.numpy() for path, output in activations.items()}
        depends = {path: self.layers.facts(path).inputs for path in trace.layer}
        values = values.numpy().astype(np.float64)
        return Evaluation(values, tops.numpy(), logits.numpy(), scores.numpy(), found, outputs, depends)

    def _require_rows_apart(self, inputs: Mapping[str, Array], rows: Mapping[str, Array], trace: Trace) -> None:
        """Raise `ModelError` where what the model says of one row of a batch depends on the others, asked once."""
        if self._rows_apart or trace.cut or self.batch == 1:
            return
        self._rows_apart = True
        if suspect := self.facts.meeting:

            def logits(inputs: Mapping[str, Array], rows: Mapping[str, Array]) -> Array:
                return self(inputs, rows["weights"], rows["top"], rows["truth"], trace).logits

            try:
                require_apart(inputs, rows, logits, suspect)
            except BaseException:
                self._rows_apart = False
                raise


def _plain(trace: Trace) -> bool:
    """Whether a trace is of values, gradients or products by the inputs alone, in whatever space."""
    return replace(trace, space=None, gradient=True, whole=False, product=None) == GRADIENT


def _require_connected(facts: Facts, model: Model) -> None:
    """Raise `ModelError` where no input is connected to the target, naming what is in the way."""
    if facts.connected:
        return
    held = [spec for spec in model.inputs if not spec.floating]
    reasons = "; ".join([*facts.disconnected.values(), *(f"input '{s.name}' is {s.dtype}" for s in held)]) + (
        ", and integers have no gradient" if held else ""
    )
    raise ModelError(
        f"the target can't be differentiated with respect to any input: {reasons}",
        hint="saliency inspect MODEL shows which inputs can be differentiated",
        reason="disconnected",
    )


def _with_classes(output: Tensor) -> Tensor:
    return tf.expand_dims(output, -1) if output.shape.rank == 1 else output


def _per_class(scores: Tensor) -> Tensor:
    """Average positions away: `(batch, …, classes)` → `(batch, classes)`.

    One axis after the other: TensorFlow adds all places up in a row, which in float32 is off by 0.6 % at 160³.
    """
    for _ in range(scores.shape.rank - 2):
        scores = tf.reduce_mean(scores, axis=-2)
    return scores


def _per_sample(loss: Tensor, batch: int) -> Tensor:
    loss = loss if loss.dtype == tf.float64 else tf.cast(loss, tf.float32)
    loss = tf.reshape(loss, (batch, -1))
    return tf.reduce_mean(loss, axis=-1)


def _shape(tensor: Tensor) -> tuple[int | None, ...]:
    return tuple(tensor.shape[1:]) if tensor.shape.rank else ()

"""The model of a run, opened and compiled: the one place where a run meets TensorFlow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saliency_cli.errors import ModelError, UsageError, nearest
from saliency_cli.records import InputSpec, MemoryRecord, ModelRecord, ScalingClue
from saliency_cli.runs.memory import room_for, settle_batch
from saliency_cli.runs.request import ComputeRequest

if TYPE_CHECKING:
    from saliency_cli.autodiff.compiled import Compiled, Facts
    from saliency_cli.autodiff.layers import Layers
    from saliency_cli.autodiff.model import Model, Weight
    from saliency_cli.autodiff.packing import Evaluator
    from saliency_cli.autodiff.parameters import WeightGradients
    from saliency_cli.differentiable import Trace
    from saliency_cli.models.options import OpenOptions


@dataclass(frozen=True, eq=False)
class Engine:
    """What a run needs of its model.

    `evaluator` answers batches; `output` is the output differentiated, `classes` its number of classes (2 for one
    sigmoid unit), `shape` its shape without the batch axis; `head` its end; `space` the space of the target; `loss`
    its plain name where a loss is differentiated. `connected` names the inputs that have a gradient; `disconnected`
    says why the others have none. `folded` counts the batch normalisations folded away. `depth()` counts the layers
    whose weights can be drawn anew, by a trace of its own; `layers()` tells of the layers, None where there is
    nothing to tell. `outputs` are those of a request for several, `end(name)` what tracing tells of one of them;
    `kinks()` counts the operations that are linear but for kinks, by type; `smoothed(β)` gives an evaluator of the
    model with softplus(βx)/β for each ReLU, and how many were replaced, by type. `by_weights(…)` gives one whose
    answers are about `weights` (`autodiff/parameters.py`). `trace(…)` compiles now what would be on its first use.
    `memory`: what a batch is predicted to take; `ran_out()` says how it went on where that was not enough.
    """

    specs: tuple[InputSpec, ...]
    output: str
    classes: int
    shape: tuple[int | None, ...]
    head: str
    space: str
    evaluator: "Evaluator"
    record: ModelRecord
    connected: tuple[str, ...]
    loss: str | None = None
    disconnected: Mapping[str, str] = field(default_factory=dict)
    clues: Mapping[str, tuple[ScalingClue, ...]] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    regression: bool = False
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    folded: int = 0
    depth: Callable[[], int] = lambda: 0
    layers: "Callable[[], Layers | None]" = lambda: None
    trace: "Callable[[Trace], object]" = lambda _: None
    outputs: tuple[str, ...] = ()
    end: "Callable[[str], Facts] | None" = None
    kinks: Callable[[], Mapping[str, int]] = dict
    smoothed: "Callable[[float], tuple[Evaluator, Mapping[str, int]]] | None" = None
    by_weights: "Callable[..., WeightGradients] | None" = None
    weights: "tuple[Weight, ...]" = ()
    memory: MemoryRecord | None = None
    ran_out: Callable[[], str] = lambda: ""

    @property
    def has_classes(self) -> bool:
        """Whether the output's units are classes of which one can be on top."""
        return self.head in ("softmax", "sigmoid", "binary") or self.classes > 1


_REGRESSION_LOSSES = (
    "mse",
    "mae",
    "mean_squared",
    "mean_absolute",
    "huber",
    "log_cosh",
    "logcosh",
    "meansquared",
    "meanabsolute",
)


def open_model(request: ComputeRequest) -> tuple["Model", str]:
    """Load the model of a request and choose the device."""
    from saliency_cli.models.opening import open_model as opened

    found: list[str] = []

    def prepare() -> None:
        from saliency_cli.autodiff.runtime import configure

        found.append(configure(request.threads, request.device))

    model = opened(Path(request.model), open_options(request), prepare)
    return model, found[0]


def open_options(request: ComputeRequest) -> "OpenOptions":
    """Return what a request says of how its model is opened."""
    from saliency_cli.models.options import OpenOptions

    return OpenOptions(
        custom_objects=request.custom_objects,
        signature=request.signature,
        input_tensors=request.input_tensors,
        output_tensors=request.output_tensors,
        replace=request.replace,
        trust=request.trust_model,
    )


def wrap_model(live: Any, device: str | None) -> tuple["Model", str]:
    """Take a live Keras model and choose the device."""
    from saliency_cli.autodiff.runtime import configure
    from saliency_cli.models.keras3.live import wrap

    return wrap(live), configure(None, device)


def open_engine(request: ComputeRequest, *, single: bool) -> Engine:
    """Load and compile the model of a request. `single`: the run is one sample and one evaluation."""
    model, device = open_model(request)
    return compile_engine(model, device, request, single=single)


def compile_engine(model: "Model", device: str, request: ComputeRequest, *, single: bool) -> Engine:
    """Compile a loaded model for a request."""
    from saliency_cli.autodiff.compiled import Compiled
    from saliency_cli.autodiff.halving import Halving

    outputs = () if request.outputs is None else choose_outputs(model, request.outputs)
    asked = request.batch_size
    usual = batch_shape(model, None if asked == "auto" else asked, single=single)
    fold = not request.by_weights and (request.fold == "yes" or (request.fold == "auto" and not single))

    options: dict[str, Any] = {
        "space": request.space,
        "loss": request.loss,
        "device": device,
        "fold": fold,
        "by_inputs": not request.by_weights,
    }

    def smoothed(beta: float) -> "tuple[Evaluator, Mapping[str, int]]":
        from saliency_cli.models.smoothing import smoothed as smooth

        found = smooth(model, beta)
        return Compiled(found.model, evaluator.output, batch=evaluator.batch, **options), found.replaced

    by_those: dict[Any, WeightGradients] = {}

    def by_weights(weights: "Sequence[Weight]", **given: Any) -> "WeightGradients":
        from saliency_cli.autodiff.parameters import WeightGradients

        key = (*(weight.name for weight in weights), *given.items())
        if key not in by_those:
            by_those[key] = WeightGradients(evaluator, weights, **given)
        return by_those[key]

    def build(size: int) -> "Compiled":
        if outputs:
            return _connected(outputs, lambda output: Compiled(model, output, batch=size, **options))
        return Compiled(model, choose_output(model, request.output_name), batch=size, **options)

    fixed = model.batch is not None
    room = room_for(request.max_memory, device, request.jobs or 1)
    settled = settle_batch(build, usual, asked, room, fixed=fixed, points=request.expected, device=device)
    evaluator = settled.evaluator
    halving = None
    if not fixed and evaluator.batch > 1:
        halving = Halving(evaluator, build, lambda sized, trace: sized.function(trace))
    output, facts = evaluator.output, evaluator.facts
    saved = str(model.losses.get(output, "")).lower()
    return Engine(
        specs=model.inputs,
        output=output,
        classes=facts.classes,
        shape=facts.output_shape,
        head=facts.head,
        space="loss" if request.loss else request.space or ("logit" if facts.logits_found else "output"),
        evaluator=halving or evaluator,
        record=model_record(model, facts.head, facts.stochastic),
        connected=facts.connected,
        loss=evaluator.loss_name,
        disconnected=facts.disconnected,
        clues=model.clues,
        environment=environment(device),
        regression=not facts.logits_found and any(name in saved for name in _REGRESSION_LOSSES),
        notes=(*model.notes, *settled.notes),
        class_names=model.class_names if len(model.class_names) == facts.classes else (),
        folded=len(facts.folded),
        depth=lambda: evaluator.redrawing.depth,
        layers=lambda: evaluator.layers,
        trace=evaluator.function if halving is None else halving.trace,
        outputs=outputs,
        end=lambda name: evaluator.other(name).facts,
        kinks=lambda: evaluator.kinks,
        smoothed=smoothed,
        by_weights=by_weights,
        weights=model.weights,
        memory=settled.record,
        ran_out=lambda: halving.note if halving is not None else "",
    )


def choose_outputs(model: "Model", names: tuple[str, ...]) -> tuple[str, ...]:
    """Return several outputs, all where none is named. Raises `UsageError` for a name that is none of them."""
    return tuple(dict.fromkeys(choose_output(model, name) for name in names or [o.name for o in model.outputs]))


def _connected(outputs: tuple[str, ...], compiled: "Callable[[str], Compiled]") -> "Compiled":
    """Return the first output that depends on an input, compiled. Raises `ModelError` where none does."""
    errors = []
    for output in outputs:
        evaluator = compiled(output)
        try:
            _ = evaluator.facts
        except ModelError as error:
            if error.reason != "disconnected":
                raise
            errors.append(error)
        else:
            return evaluator
    raise errors[0]


def choose_output(model: "Model", name: str | None) -> str:
    """Return the output to differentiate. Raises `UsageError` where several are there and none is named."""
    names = tuple(output.name for output in model.outputs)
    if name is None:
        if len(names) > 1:
            raise UsageError(
                f"the model has {len(names)} outputs: {', '.join(names)}",
                hint=f"--output-name {names[0]}",
                reason="which-output",
            )
        return names[0]
    if name not in names:
        raise UsageError(
            f"the model has no output '{name}'",
            hint=nearest(name, names) or f"its outputs: {', '.join(names)}",
            reason="unknown-output",
        )
    return name


_LARGE = 64 * 64 * 3
_HUGE = 1024 * 1024 * 3


def batch_shape(model: "Model", asked: int | None, *, single: bool) -> int:
    """Return the run's one batch size: 1 for a single evaluation or huge inputs, 16 for small ones, else 8.

    A size the model itself insists on goes before both. Raises `UsageError` where `--batch-size` differs.
    """
    if model.batch is not None:
        if asked not in (None, model.batch):
            raise UsageError(
                f"the model takes batches of {model.batch} and no other size",
                hint=f"leave --batch-size away, or --batch-size {model.batch}",
                reason="batch-size",
            )
        return model.batch
    if asked is not None:
        return asked
    if single:
        return 1
    values = 0
    for spec in model.inputs:
        size = 1
        for length in spec.shape:
            size *= length or 224
        values += size
    return 1 if values > _HUGE else 8 if values > _LARGE else 16


def model_record(model: "Model", head: str, stochastic: tuple[str, ...]) -> ModelRecord:
    """Return the model's provenance."""
    return ModelRecord(
        path=model.path,
        format=model.format,
        sha256=model.sha256,
        weights_sha256=model.weights_sha256,
        parameters=model.parameters,
        writer=model.writer,
        inputs={spec.name: f"{spec.describe()} {spec.dtype}" for spec in model.inputs},
        outputs={
            output.name: "×".join("?" if n is None else str(n) for n in output.shape) for output in model.outputs
        },
        head=head,
        stochastic=list(stochastic),
    )


def environment(device: str) -> dict[str, Any]:
    """Return the versions and the machine a run was computed with."""
    import platform

    import numpy as np

    from saliency_cli.autodiff.runtime import keras, tf

    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device.strip("/").lower(),
    }


def require_connected(engine: Engine, name: str) -> None:
    """Raise `ModelError` if a named input has no gradient, saying why."""
    if name in engine.disconnected:
        raise ModelError(engine.disconnected[name], reason="disconnected")

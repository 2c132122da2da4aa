"""`inspect`: what a model is, before anything is computed with it."""

from dataclasses import replace
from pathlib import Path

from msgspec import Struct

from saliency_cli.errors import ModelError
from saliency_cli.preprocessing import choose
from saliency_cli.records import InputSpec, ModelRecord
from saliency_cli.runs.engine import batch_shape, model_record, open_model
from saliency_cli.runs.request import ComputeRequest


class InputLine(Struct, kw_only=True, frozen=True):
    """One input: its shape as text, and whether it can be differentiated, with the reason where not."""

    name: str
    shape: str
    dtype: str
    differentiable: bool
    why: str = ""


class OutputLine(Struct, kw_only=True, frozen=True):
    """One output: its shape as text, its head, and whether logits were found behind it."""

    name: str
    shape: str
    head: str
    logits_found: bool
    note: str = ""


class LayerLine(Struct, kw_only=True, frozen=True):
    """One layer: its path, class, output shape (where the traced model uses it) and own weights."""

    path: str
    type: str
    shape: str
    parameters: int


class PreparingLine(Struct, kw_only=True, frozen=True):
    """What `--preprocess auto` would choose for pictures, and why."""

    name: str
    reason: str
    guessed: bool


class InspectRecord(Struct, kw_only=True):
    """All that `inspect` tells."""

    schema: str = "inspect-1"
    model: ModelRecord
    inputs: list[InputLine]
    outputs: list[OutputLine]
    layers: list[LayerLine]
    preparing: PreparingLine | None
    stochastic: list[str]
    notes: list[str]
    screening: list[str]


_HEADS = {
    "softmax": "softmax over classes",
    "sigmoid": "a sigmoid for every class",
    "binary": "one sigmoid unit: two classes, 0 and 1",
    "linear": "linear",
}


def inspect_model(request: ComputeRequest) -> InspectRecord:
    """Load and trace a model and return what there is to know of it. Raises `ModelError` as loading does."""
    from saliency_cli.autodiff.compiled import Compiled
    from saliency_cli.models.screening.parent import screen

    custom = request.custom_objects is not None
    screened = screen(Path(request.model), trust=True, custom=custom)
    model, device = open_model(replace(request, device="cpu"))
    outputs = []
    reasons: dict[str, str] = {}
    connected: set[str] = set()
    shapes: dict[str, tuple[int | None, ...]] = {}
    stochastic: tuple[str, ...] = ()
    heads = []
    for output in model.outputs:
        compiled = Compiled(model, output.name, batch=batch_shape(model, None, single=True), device=device)
        note = ""
        try:
            facts = compiled.facts
        except ModelError as error:
            if compiled.traced_facts is None:
                raise
            facts, note = compiled.traced_facts, error.message
        heads.append(facts.head)
        connected.update(facts.connected)
        reasons.update(facts.disconnected)
        shapes.update(facts.layers)
        stochastic = tuple(dict.fromkeys((*stochastic, *facts.stochastic)))
        outputs.append(
            OutputLine(
                name=output.name,
                shape=InputSpec("", output.shape, "float32").describe(),
                head=_HEADS.get(facts.head, facts.head),
                logits_found=facts.logits_found,
                note=note or ("" if facts.logits_found else "taken as it is"),
            )
        )
    return InspectRecord(
        model=model_record(model, ", ".join(heads), stochastic),
        inputs=[_input(spec, reasons, connected) for spec in model.inputs],
        outputs=outputs,
        layers=[
            LayerLine(
                path=layer.path,
                type=layer.kind,
                shape=InputSpec("", shapes[layer.path], "float32").describe() if layer.path in shapes else "",
                parameters=layer.parameters,
            )
            for layer in model.layers
        ],
        preparing=_preparing(model.inputs, model.clues),
        stochastic=list(stochastic),
        notes=list(model.notes),
        screening=list(screened.findings),
    )


def _input(spec: InputSpec, reasons: dict[str, str], connected: set[str]) -> InputLine:
    able = spec.name in connected
    why = "" if able else reasons.get(spec.name, "integers have no gradient: it is held fixed")
    return InputLine(name=spec.name, shape=spec.describe(), dtype=spec.dtype, differentiable=able, why=why)


def _preparing(specs: tuple[InputSpec, ...], clues: object) -> PreparingLine | None:
    pictures = [spec for spec in specs if spec.floating and len(spec.shape) == 3]
    if not pictures or not isinstance(clues, dict):
        return None
    chosen = choose(clues.get(pictures[0].name, ()), pictures[0])
    return PreparingLine(name=chosen.name, reason=chosen.reason, guessed=chosen.guessed)

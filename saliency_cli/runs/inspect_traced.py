"""What only a loaded and traced model tells: heads, which inputs are connected, shapes, how pictures are prepared."""

from dataclasses import replace

from msgspec.structs import replace as changed

from saliency_cli.errors import ModelError
from saliency_cli.preprocessing import choose
from saliency_cli.records import InputSpec
from saliency_cli.runs.engine import batch_shape, open_model
from saliency_cli.runs.inspect import InputLine, InspectRecord, LayerLine, OutputLine, PreparingLine
from saliency_cli.runs.request import ComputeRequest

_HEADS = {
    "softmax": "softmax over classes",
    "sigmoid": "a sigmoid for every class",
    "binary": "one sigmoid unit: two classes, 0 and 1",
    "linear": "linear",
}


def traced(request: ComputeRequest, record: InspectRecord) -> InspectRecord:
    """Load and trace a model and return a record with what that tells. Raises `ModelError` as loading does."""
    from saliency_cli.autodiff.compiled import Compiled

    model, device = open_model(replace(request, device="cpu"))
    by = {output.name: output.by for output in record.outputs}
    outputs = []
    reasons: dict[str, str] = {}
    connected: set[str] = set()
    shapes: dict[str, tuple[int | None, ...]] = {}
    stochastic: tuple[str, ...] = ()
    for output in model.outputs:
        compiled = Compiled(model, output.name, batch=batch_shape(model, None, single=True), device=device)
        note = ""
        try:
            facts = compiled.facts
        except ModelError as error:
            if compiled.traced_facts is None:
                raise
            facts, note = compiled.traced_facts, error.message
        connected.update(facts.connected)
        reasons.update(facts.disconnected)
        shapes.update(facts.layers)
        stochastic = tuple(dict.fromkeys((*stochastic, *facts.stochastic)))
        outputs.append(
            OutputLine(
                name=output.name,
                shape=_text(output.shape),
                by=by.get(output.name, ""),
                head=_HEADS.get(facts.head, facts.head),
                logits_found=facts.logits_found,
                note=note or ("" if facts.logits_found else "taken as it is"),
            )
        )
    return changed(
        record,
        model=changed(
            record.model,
            writer=model.writer,
            name=model.name,
            weights_sha256=model.weights_sha256,
            parameters=model.parameters,
        ),
        inputs=[_input(spec, reasons, connected) for spec in model.inputs],
        outputs=outputs,
        layers=[
            LayerLine(
                path=layer.path,
                type=layer.kind,
                shape=_text(shapes[layer.path]) if layer.path in shapes else "",
                parameters=layer.parameters,
            )
            for layer in model.layers
        ],
        preparing=_preparing(model.inputs, model.clues),
        stochastic=list(stochastic),
        notes=list(model.notes),
        traced=True,
    )


def _text(shape: tuple[int | None, ...]) -> str:
    return InputSpec("", shape, "float32").describe()


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

"""`inspect`: what a model is, before anything is computed with it."""

from pathlib import Path

from msgspec import Struct

from saliency_cli.errors import ModelError
from saliency_cli.models.describing import Described, describe
from saliency_cli.records import ErrorRecord
from saliency_cli.runs.engine import open_options
from saliency_cli.runs.request import ComputeRequest


class ModelLine(Struct, kw_only=True):
    """The file: what it is, what wrote it, how large it is. Null is what the file alone doesn't say."""

    path: str
    format: str
    writer: str = ""
    name: str = ""
    bytes: int = 0
    sha256: str = ""
    weights_sha256: str | None = None
    parameters: int | None = None


class InputLine(Struct, kw_only=True, frozen=True):
    """One input: its shape as text, and whether it can be differentiated, with the reason where not."""

    name: str
    shape: str
    dtype: str
    differentiable: bool | None = None
    why: str = ""


class OutputLine(Struct, kw_only=True, frozen=True):
    """One output: its shape as text, what gives it out, and, traced, its head and whether logits were found."""

    name: str
    shape: str
    by: str = ""
    head: str | None = None
    logits_found: bool | None = None
    note: str = ""


class LayerLine(Struct, kw_only=True, frozen=True):
    """One layer: its path, class, output shape and own weights; empty and null are what isn't known."""

    path: str
    type: str
    shape: str
    parameters: int | None


class PreparingLine(Struct, kw_only=True, frozen=True):
    """What `--preprocess auto` would choose for pictures, and why."""

    name: str
    reason: str
    guessed: bool


class InspectRecord(Struct, kw_only=True):
    """All that `inspect` tells. `traced`: the model was loaded, and nothing is null for want of it."""

    schema: str = "inspect-2"
    model: ModelLine
    inputs: list[InputLine]
    outputs: list[OutputLine]
    layers: list[LayerLine]
    operations: dict[str, int] = {}
    signatures: dict[str, str] = {}
    preparing: PreparingLine | None = None
    stochastic: list[str] | None = None
    notes: list[str] = []
    screening: list[str] = []
    traced: bool = False
    error: ErrorRecord | None = None


def inspect_model(request: ComputeRequest, *, trace: bool = False) -> InspectRecord:
    """Describe a model by its file alone; `trace` loads it as well. A refused model is described with its error.

    Raises `ModelError` for what is no model, or is too damaged to tell anything.
    """
    described = describe(Path(request.model), open_options(request))
    record = told(request.model, described)
    if not trace or record.error is not None:
        return record
    from saliency_cli.runs.inspect_traced import traced

    try:
        return traced(request, record)
    except ModelError as error:
        record.error = _error(error)
        return record


def told(path: str, described: Described) -> InspectRecord:
    """Return what a file tells of its model as a record."""
    facts, refusal = described.description, described.refusal
    return InspectRecord(
        model=ModelLine(
            path=Path(path).as_posix(),
            format=facts.format.replace("legacy-", "keras-"),
            writer=facts.writer,
            name=facts.name,
            bytes=facts.bytes,
            sha256=facts.sha256,
            parameters=facts.parameters,
        ),
        inputs=[_input(end.name, end.shape, end.dtype) for end in facts.inputs],
        outputs=[OutputLine(name=end.name, shape=end.shape, by=end.by) for end in facts.outputs],
        layers=[
            LayerLine(path=layer.path, type=layer.kind, shape=layer.shape, parameters=layer.parameters)
            for layer in facts.layers
        ],
        operations=facts.operations,
        signatures=facts.signatures,
        screening=facts.findings,
        error=None if refusal is None else _error(refusal),
    )


def _error(error: ModelError) -> ErrorRecord:
    return ErrorRecord(reason=error.reason, message=error.message, hint=error.hint)


def _input(name: str, shape: str, dtype: str) -> InputLine:
    """Return an input as its file tells it: whether a floating one reaches the output, only a trace knows."""
    if dtype == "" or dtype.startswith(("float", "bfloat")):
        return InputLine(name=name, shape=shape, dtype=dtype)
    why = "strings have no gradient" if dtype == "string" else "integers have no gradient: it is held fixed"
    return InputLine(name=name, shape=shape, dtype=dtype, differentiable=False, why=why)

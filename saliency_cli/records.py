"""The records every room shares: what a model's inputs look like, and what the JSON says.

The `Struct`s are the JSON schema: `items.jsonl`, `--jsonl` and `--format json` hold an `ItemRecord`,
`run.json` and `--json` a `RunRecord`. NaN and infinity become `null`. Paths are relative to the run
folder, with `/`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Struct, field

Layout = Literal["picture", "signal", "table", "array"]


@dataclass(frozen=True)
class InputSpec:
    """One input of a model: `shape` without the batch axis (None where it varies), NumPy dtype name.

    `channels` is the position of the channel axis of a picture or signal, `None` where there is none.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    channels: int | None = None

    @property
    def floating(self) -> bool:
        """Whether the input can be differentiated."""
        return self.dtype in ("float16", "bfloat16", "float32", "float64")

    def describe(self) -> str:
        """Return the shape as a user writes it, `224×224×3`."""
        return "×".join("?" if size is None else str(size) for size in self.shape) or "scalar"


@dataclass(frozen=True)
class ScalingClue:
    """What a model tells about the values it expects: a layer that scales its input, or a known name.

    For `rescaling` the layer computes `x·scale + offset`; for `normalization` `scale` is 1/σ and
    `offset` −μ/σ, both averaged over channels; for `application` only `name` means something; for
    `declared` the model's own metadata says that the input is `file_value·scale + offset`.
    """

    kind: Literal["rescaling", "normalization", "application", "declared"]
    path: str
    name: str = ""
    scale: float = 1.0
    offset: float = 0.0


class PreparingRecord(Struct, kw_only=True, frozen=True):
    """How a file's values became the model's input: `input = file_value·scale + offset`, per channel."""

    name: str
    reason: str
    guessed: bool = False
    scale: list[float]
    offset: list[float]
    channel_order: str = "rgb"
    resize: str | None = None
    interpolation: str | None = None
    size: list[int] | None = None
    notes: list[str] = []


class ErrorRecord(Struct, kw_only=True, frozen=True):
    """Why an input failed."""

    reason: str
    message: str
    hint: str = ""


class PredictionRecord(Struct, kw_only=True, frozen=True):
    """What the model says of the unperturbed sample.

    `kind` `class`: `index`, `label` and `score` (a probability where the head gives one) of the top
    class. `value`: `score` is the regression output itself.
    """

    output: str
    kind: Literal["class", "value"]
    score: float | None
    index: int | None = None
    label: str | None = None


class TargetRecord(Struct, kw_only=True, frozen=True):
    """The scalar that was differentiated: `value = Σ weight · output` in one space, or a loss."""

    text: str
    output: str
    space: str
    label: str
    index: int | None = None
    value: float | None = None
    probability: float | None = None
    weights: dict[str, float] = {}
    loss: str | None = None


class PlaceRecord(Struct, kw_only=True, frozen=True):
    """One of the places an attribution is largest at: its index, the feature's name where there is one."""

    index: list[int]
    value: float
    name: str | None = None


class StackedRecord(Struct, kw_only=True, frozen=True):
    """Where a map of the sharded layout is: `stack[index].astype("float32") * scale`, in a `.npy` of float16."""

    file: str
    index: int
    scale: float


class InputMapRecord(Struct, kw_only=True):
    """The attribution of one input in numbers. Norms are of the un-reduced, un-normalised array."""

    shape: list[int]
    l1: float
    l2: float
    max: float
    zeros: float
    sum: float
    top: list[PlaceRecord] = []
    unit: str = ""
    files: dict[str, str] = {}
    stack: StackedRecord | None = None


class MapRecord(Struct, kw_only=True):
    """One attribution: one method, one target, every differentiated input.

    `metrics` holds the value of each metric asked for, `null` where it has none or none was found up to
    its bound; `notes` says which, by metric.
    """

    method: str
    target: TargetRecord
    inputs: dict[str, InputMapRecord]
    details: dict[str, float | None] = {}
    metrics: dict[str, float | None] = {}
    notes: dict[str, str] = {}
    flags: list[str] = []
    files: dict[str, str] = {}


class SourceRecord(Struct, kw_only=True):
    """The file behind one model input."""

    path: str
    sha256: str = ""
    row: int | None = None
    width: int | None = None
    height: int | None = None
    preparing: PreparingRecord | None = None
    notes: list[str] = []


class ItemRecord(Struct, kw_only=True):
    """One line of `items.jsonl`: one sample, done or failed.

    `results`: what another command than `compute` found of it, by name; its numbers are aggregated in `run.json`.
    """

    schema: str = "item-1"
    id: str
    status: Literal["ok", "error"]
    sources: dict[str, SourceRecord] = {}
    prediction: PredictionRecord | None = None
    maps: list[MapRecord] = []
    results: dict[str, Any] = {}
    flags: list[str] = []
    files: dict[str, str] = {}
    error: ErrorRecord | None = None
    seconds: float = 0.0


class StatisticRecord(Struct, kw_only=True, frozen=True):
    """A metric over the run's samples."""

    mean: float | None
    median: float | None
    p05: float | None
    p95: float | None
    min: float | None
    max: float | None
    n: int


class ModelRecord(Struct, kw_only=True):
    """The model's provenance."""

    path: str
    format: str
    sha256: str = ""
    weights_sha256: str = ""
    parameters: int = 0
    writer: str = ""
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    head: str = ""
    stochastic: list[str] = []


class MethodRecord(Struct, kw_only=True):
    """A method with every option and its exact definition. `reason`: why it looks at the layer it does, if found."""

    name: str
    options: dict[str, Any]
    definition: str
    unit: str
    reason: str = ""


class MetricRecord(Struct, kw_only=True, frozen=True):
    """A metric with every option and its exact definition. `better`: `higher`, `lower` or `neither`."""

    name: str
    options: dict[str, Any]
    definition: str
    unit: str
    better: str
    cost: str


class CountsRecord(Struct, kw_only=True):
    """How many samples ended how."""

    ok: int = 0
    error: int = 0
    skipped: int = 0


class ShardRecord(Struct, kw_only=True, frozen=True):
    """How far one shard of a run is: its number, counted from 1, `running`, `done`, `stopped` or `interrupted`."""

    shard: int
    status: str
    counts: CountsRecord
    seconds: float


class MemoryRecord(Struct, kw_only=True, frozen=True):
    """What one batch of plain gradients was predicted to take, and may take, in bytes; null where nobody asked."""

    limit: int | None = None
    predicted: int | None = None


class RunRecord(Struct, kw_only=True):
    """`run.json`: provenance and aggregates. `shards`: of a run by `--shard`, those that have begun.

    `study` names the command where it is another than `compute`, with its `options`; `results` and `files` are
    what it found of all samples together. `folded`: how many batch normalisations were folded into what comes before.
    """

    schema: str = "run-1"
    status: str = "running"
    study: str = ""
    options: dict[str, Any] = {}
    results: dict[str, Any] = {}
    files: dict[str, str] = {}
    created: str = ""
    tool: dict[str, str] = {}
    command: list[str] = []
    environment: dict[str, Any] = {}
    model: ModelRecord | None = None
    methods: list[MethodRecord] = []
    measured: dict[str, MetricRecord] = {}
    target: str = ""
    space: str = ""
    loss: str | None = None
    preparing: dict[str, PreparingRecord] = {}
    reduce: str | None = None
    seed: int = 0
    batch_size: int = 0
    memory: MemoryRecord | None = None
    folded: int = 0
    settings: dict[str, Any] = {}
    counts: CountsRecord = field(default_factory=CountsRecord)
    flags: dict[str, int] = {}
    metrics: dict[str, dict[str, StatisticRecord]] = {}
    seconds: float = 0.0
    shards: list[ShardRecord] = []
    items: list[ItemRecord] | None = None


class ComparedRecord(Struct, kw_only=True):
    """One input of a comparison: what each model says of it, and how far its two maps agree."""

    id: str
    before: str | None = None
    after: str | None = None
    metrics: dict[str, float | None] = {}
    notes: dict[str, str] = {}


class CompareRecord(Struct, kw_only=True):
    """Two models' maps of the same inputs. `inputs` begins with those that changed most, by `ranked_by`."""

    schema: str = "compare-1"
    before: ModelRecord
    after: ModelRecord
    method: str = ""
    before_method: str = ""
    target: str = ""
    ranked_by: str = ""
    metrics: dict[str, StatisticRecord] = {}
    measured: dict[str, MetricRecord] = {}
    inputs: list[ComparedRecord] = []
    failed: dict[str, str] = {}
    predictions_changed: int = 0
    notes: list[str] = []
    run: RunRecord

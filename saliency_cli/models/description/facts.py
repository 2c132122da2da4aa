"""What a description is made of. It crosses from the screening's process as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Shape = tuple[int | None, ...]


def written(shape: Sequence[int | None] | None) -> str:
    """Return a shape without its batch axis as a user writes it, `224×224×3`; empty where it isn't known."""
    if shape is None:
        return ""
    return "×".join("?" if size is None else str(size) for size in shape[1:]) or "scalar"


@dataclass(frozen=True)
class End:
    """An input or output. `shape` as text, empty where the file doesn't say; `by` what gives it out."""

    name: str
    shape: str = ""
    dtype: str = ""
    by: str = ""


@dataclass
class LayerFacts:
    """One layer: `parameters` counts what no layer listed inside it holds; None where the file doesn't say."""

    path: str
    kind: str
    shape: str = ""
    parameters: int | None = None


@dataclass
class Description:
    """A model as its file tells it. `operations` is for graphs, which have no layers: how many of each type.

    `signatures` says what each signature of a SavedModel takes and gives; `findings` what the reading for danger
    met, one sentence each.
    """

    format: str
    writer: str = ""
    name: str = ""
    sha256: str = ""
    bytes: int = 0
    inputs: list[End] = field(default_factory=list)
    outputs: list[End] = field(default_factory=list)
    layers: list[LayerFacts] = field(default_factory=list)
    parameters: int | None = None
    operations: dict[str, int] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return it as what JSON holds."""
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Description":
        """Return the description that `plain` gave."""
        ends = {key: [End(**end) for end in plain[key]] for key in ("inputs", "outputs")}
        return cls(**{**plain, **ends, "layers": [LayerFacts(**layer) for layer in plain["layers"]]})

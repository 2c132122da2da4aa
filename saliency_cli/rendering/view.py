"""All that a picture of one attribution needs to know."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from saliency_cli.differentiable import Array, Reduce
from saliency_cli.geometry import Geometry
from saliency_cli.records import Layout


@dataclass(frozen=True)
class Style:
    """How a map is drawn. `colormap` None chooses a diverging one for signed maps, else a sequential one.

    `alpha` is the map's opacity in an overlay, `clip_percentile` the percentile of |v| that gets the
    strongest colour.
    """

    reduce: Reduce = "max"
    colormap: str | None = None
    alpha: float = 0.5
    clip_percentile: float = 99.0


@dataclass(frozen=True, eq=False)
class View:
    """One attribution of one input, with what it is drawn on.

    `values` has the input's own shape (no batch axis), signed and un-normalised; `channels` is its
    channel axis. `original` is the picture as decoded, uint8 `(H, W, 3)`, before resizing, and
    `geometry` where it went. `raw` is the sample in the file's own units at the input's shape (curves
    and bars are drawn from it); `names` its columns or features. `metadata` goes into the PNG. `layers`: what
    a method found at layers, by path, at their own resolution. `quantity` is what a chart calls the values.
    """

    values: Array
    layout: Layout
    signed: bool
    style: Style
    channels: int | None = None
    original: Array | None = None
    original_format: str = "PNG"
    geometry: Geometry | None = None
    raw: Array | None = None
    names: tuple[str, ...] = ()
    input_name: str = ""
    caption: str = ""
    unit: str = ""
    quantity: str = "attribution"
    metadata: dict[str, Any] = field(default_factory=dict)
    record: Any = None
    layers: Mapping[str, Array] = field(default_factory=dict)

    def labelled(self, between: str = " ") -> str:
        """Return what an axis of the values is called, `attribution (logit / unit)`."""
        return f"{self.quantity}{between}({self.unit})" if self.unit else self.quantity

"""What `baseline.json` holds."""

from typing import Any

from msgspec import Struct

Number = float | str
"""A value; `"nan"`, `"inf"` and `"-inf"` are what JSON has no number for."""


class MapsEntry(Struct, kw_only=True, frozen=True):
    """How the maps lie in `maps.png`, and the hash of the file these numbers belong to."""

    sha256: str
    columns: int
    height: int
    width: int


class ItemEntry(Struct, kw_only=True, frozen=True):
    """One input: its content, its values, and the shape and largest value of its pooled map."""

    id: str
    key: str
    label: str | None = None
    top: int = -1
    value: Number
    metrics: dict[str, Number]
    notes: dict[str, str] = {}
    shape: list[int]
    max: float


class BaselineFile(Struct, kw_only=True, frozen=True):
    """`baseline.json`."""

    schema: str = "baseline-1"
    created: str
    saliency: str
    environment: dict[str, Any]
    model: dict[str, str]
    fingerprint: dict[str, Any]
    resolved: dict[str, Any]
    measured: dict[str, dict[str, Any]]
    maps: MapsEntry
    items: list[ItemEntry]

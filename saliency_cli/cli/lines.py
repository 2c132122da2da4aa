"""One sample as one line of text, in cells of a terminal."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from saliency_cli.cli.telling import printable
from saliency_cli.shortening import cells, shorten

if TYPE_CHECKING:
    from saliency_cli.records import ItemRecord, PredictionRecord

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")

_PREDICTION, _NORM, _SECONDS = 16, 11, 6


def line(record: "ItemRecord", files: Sequence[str], width: int, told: str | None = None) -> str:
    """Return `cat.png  tabby 0.91  |g| 3.2  0.12 s  cat.saliency.png` in at most `width` cells.

    `told` stands in place of the prediction and the map's norm.
    """
    spare = width - _PREDICTION - _NORM - _SECONDS - 4 * 2
    name_width = max(8, spare * 9 // 20)
    first, more = (files[0], len(files) - 1) if files else ("", 0)
    suffix = f" +{more}" if more else ""
    cells_ = [
        fit(_name(record.id, name_width), name_width),
        *(
            [fit(_prediction(record.prediction), _PREDICTION), fit(_norm(record), _NORM)]
            if told is None
            else [fit(told, _PREDICTION + 2 + _NORM)]
        ),
        fit(duration(record.seconds), _SECONDS),
        shorten(printable(first), max(8, spare - name_width) - len(suffix)) + suffix,
    ]
    return "  ".join(cells_).rstrip()


def _name(identity: str, width: int) -> str:
    """Return an id, its folders left out where the whole is too long: the end tells files apart."""
    folder, _, name = identity.rpartition("/")
    if not folder or cells(identity) <= width:
        return identity
    return f"…/{name}" if cells(name) + 2 <= width else name


def pictures(record: "ItemRecord") -> list[str]:
    """Return the pictures written for a sample, or every file where there is no picture."""
    files = [*record.files.values()]
    for attribution in record.maps:
        files += attribution.files.values()
        for part in attribution.inputs.values():
            files += part.files.values()
    files = list(dict.fromkeys(files))
    return [file for file in files if file.lower().endswith(PICTURES)] or files


def duration(seconds: float) -> str:
    """Return seconds as people say them: `0.12 s`, `3.2 s`, `2:05`, `1:02:05`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def fit(text: str, width: int) -> str:
    """Return `text` in exactly `width` cells, made safe for a terminal."""
    short = shorten(printable(text.replace("\n", " ")), width)
    return short + " " * (width - cells(short))


def _prediction(prediction: "PredictionRecord | None") -> str:
    if prediction is None:
        return ""
    score = "" if prediction.score is None else f"{prediction.score:.2f}"
    if prediction.kind == "value":
        return "" if prediction.score is None else f"{prediction.score:.4g}"
    label = prediction.label or f"class {prediction.index}"
    return f"{shorten(printable(label), _PREDICTION - len(score) - 1)} {score}".rstrip()


def _norm(record: "ItemRecord") -> str:
    if not record.maps:
        return ""
    return f"|g| {math.sqrt(sum(part.l2**2 for part in record.maps[0].inputs.values())):.2g}"

"""Where the object is: a mask or boxes for each picture, brought to the model's input as the picture was."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from saliency_cli.differentiable import Array
from saliency_cli.errors import InputError, UsageError
from saliency_cli.geometry import Geometry
from saliency_cli.runs.sources import identify

_SUFFIXES = (".png", ".npy", ".bmp", ".tif", ".tiff", ".gif")
_COLUMNS = ("path", "left", "top", "right", "bottom")


@dataclass(frozen=True)
class Masks:
    """The masks of a run: files of a folder by stem, or boxes of a table by path (pixels of the picture)."""

    given: str
    files: Mapping[str, list[Path]] = field(default_factory=dict)
    boxes: Mapping[str, list[tuple[float, float, float, float]]] = field(default_factory=dict)

    @classmethod
    def plan(cls, given: str) -> "Masks":
        """Find what masks there are. Raises `UsageError` where there are none."""
        path = Path(given)
        if path.is_dir():
            files: dict[str, list[Path]] = {}
            for file in sorted(found for found in path.rglob("*") if found.suffix.lower() in _SUFFIXES):
                files.setdefault(file.stem, []).append(file)
            if not files:
                raise UsageError(
                    f"--masks: the folder '{given}' holds no mask",
                    hint="a picture or .npy for each input, with its name: not zero is the object",
                    reason="no-masks",
                )
            return cls(given, files)
        if not path.is_file():
            raise UsageError(
                f"--masks: there is no folder or table '{given}'",
                hint=f"a folder of masks named like the inputs, or a CSV with the columns {','.join(_COLUMNS)}",
                reason="no-masks",
            )
        return cls(given, boxes=_boxes(path))

    def find(self, identity: str, geometry: Geometry | None, size: tuple[int, ...]) -> Array:
        """Return a sample's mask, boolean, of the model input's `size`.

        A mask is of the picture's size and follows it to the model's, nearest neighbour; one of the model
        input's size already is taken as it is. Raises `InputError` where there is none or it fits neither.
        """
        plain = identity.partition("#")[0]
        mask = self._boxed(plain, geometry, size) if self.boxes else self._read(plain)
        if mask.shape == size and (geometry is None or geometry.original == size):
            return mask
        if geometry is not None and mask.shape == geometry.original:
            return _placed(mask, geometry)
        if mask.shape == size:
            return mask
        wanted = f"{geometry.original[0]}×{geometry.original[1]}" if geometry else "×".join(map(str, size))
        raise InputError(
            f"the mask of '{plain}' is {'×'.join(map(str, mask.shape))}, and the input {wanted}",
            hint="a mask has the rows and columns of its picture",
            reason="mask-size",
        )

    def _read(self, identity: str) -> Array:
        found = self.files.get(PurePosixPath(identity).stem, [])
        if len(found) > 1:
            closer = [path for path in found if _alike(path, identity)]
            found = closer if len(closer) == 1 else found
        if len(found) > 1:
            raise InputError(
                f"--masks has several masks for '{identity}': {', '.join(map(str, found))}",
                hint="the folders of masks and of inputs built alike",
                reason="no-mask",
            )
        if not found:
            raise _missing(identity, f"{self.given}/{PurePosixPath(identity).stem}.png")
        try:
            if found[0].suffix.lower() == ".npy":
                array = np.load(found[0], allow_pickle=False)
            else:
                with Image.open(found[0]) as picture:
                    grey = picture if picture.mode in ("1", "L", "P", "I", "I;16") else picture.convert("L")
                    array = np.asarray(grey)
        except (OSError, ValueError) as error:
            raise InputError(f"the mask '{found[0]}' can't be read: {error}", reason="mask") from None
        return np.asarray(np.squeeze(array) != 0)

    def _boxed(self, identity: str, geometry: Geometry | None, size: tuple[int, ...]) -> Array:
        name = PurePosixPath(identity).name
        found = self.boxes.get(identity) or self.boxes.get(name)
        if not found:
            raise _missing(identity, f"a line {identity},left,top,right,bottom")
        shape = geometry.original if geometry else size
        if len(shape) != 2:
            raise InputError(f"'{identity}' is no picture, and boxes are for pictures", reason="mask-size")
        mask = np.zeros(shape, bool)
        for left, top, right, bottom in found:
            mask[max(0, round(top)) : round(bottom), max(0, round(left)) : round(right)] = True
        return mask


def _missing(identity: str, wanted: str) -> InputError:
    return InputError(f"--masks has no mask for '{identity}'", hint=wanted, reason="no-mask")


def _alike(path: Path, identity: str) -> bool:
    return path.with_suffix("").as_posix().endswith(PurePosixPath(identity).with_suffix("").as_posix())


def _placed(mask: Array, geometry: Geometry) -> Array:
    """Bring a mask to the model's size as its picture went; padding is no object."""
    top, left, bottom, right = geometry.source
    image = Image.fromarray(mask[top:bottom, left:right].astype(np.uint8))
    up, side, down, far = geometry.placed
    resized = image.resize((far - side, down - up), Image.Resampling.NEAREST)
    placed = np.zeros(geometry.size, bool)
    placed[up:down, side:far] = np.asarray(resized) != 0
    return placed


def _boxes(path: Path) -> dict[str, list[tuple[float, float, float, float]]]:
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:
            for number, row in enumerate(csv.reader(text), 1):
                if not "".join(row).strip() or (number == 1 and row[0].strip().lower() == "path"):
                    continue
                box = _box(path, number, row)
                for key in dict.fromkeys((identify(row[0].strip()), PurePosixPath(row[0].strip()).name)):
                    found.setdefault(key, []).append(box)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--masks: '{path}' can't be read as a table: {error}", reason="bad-masks") from None
    return found


def _box(path: Path, number: int, row: Iterable[str]) -> tuple[float, float, float, float]:
    cells = [cell.strip() for cell in row]
    try:
        left, top, right, bottom = (float(cell) for cell in cells[1:5])
    except ValueError:
        left = top = right = bottom = 0.0
    if not (left < right and top < bottom) or len(cells) < len(_COLUMNS):
        raise UsageError(
            f"--masks: line {number} of '{path}' is no box: {','.join(cells)}",
            hint=f"lines are {','.join(_COLUMNS)}, in pixels of the picture",
            reason="bad-masks",
        )
    return left, top, right, bottom

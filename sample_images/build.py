"""Build the sample inputs: `python sample_images/build.py`.

Everything is drawn from a seed or taken from scikit-learn and the scikit-image wheel; nothing is downloaded. None of
it was trained on. Licences are in `LICENSES.md`.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "sample_models"))  # the generators live beside the models

import data  # noqa: E402
import shapes  # noqa: E402
import signals  # noqa: E402

ONE = {  # file name: seed, class
    "shapes_circle": (1000, "circle"),
    "shapes_circle_2": (1001, "circle"),
    "shapes_square": (1002, "square"),
    "shapes_square_2": (1003, "square"),
    "shapes_star": (1004, "star"),
    "shapes_triangle": (1005, "triangle"),
}
TWO = {  # file name: seed, classes
    "two_circle_square": (1006, "circle", "square"),
    "two_star_triangle": (1007, "star", "triangle"),
}
_PALETTE = [0, 0, 0, 230, 159, 0, 86, 180, 233]  # background, first object, second object


def main() -> None:
    """Write all sample inputs."""
    for folder in ("masks", "digits", "photographs"):
        (HERE / folder).mkdir(exist_ok=True)
    _write_shapes()
    _write_digits()
    _write_signals()
    _write_table()
    _write_photographs()


def _write_shapes() -> None:
    """Pictures, and for each object a mask of one bit; of two objects also one mask with both."""
    for name, (seed, kind) in ONE.items():
        picture = shapes.draw(seed, kind)
        _save(picture.pixels, f"{name}.png")
        _save(picture.masks[0], f"masks/{name}.png")
    for name, (seed, *kinds) in TWO.items():
        picture = shapes.draw_two(seed, *kinds)
        _save(picture.pixels, f"{name}.png")
        both = Image.fromarray(sum(number * mask for number, mask in enumerate(picture.masks, 1)).astype(np.uint8))
        both.putpalette(_PALETTE)
        both.save(HERE / f"masks/{name}.png", optimize=True)
        for kind, mask in zip(kinds, picture.masks, strict=True):
            _save(mask, f"masks/{name}.{kind}.png")


def _write_digits() -> None:
    """Two grey pictures, and a stack for the model of two inputs."""
    pictures, shown = data.digits(held_out=True)
    for digit in (3, 8):
        _save(pictures[shown == digit][1, ..., 0], f"digits/digit_{digit}.png")
    numbers, _, _ = data.numbers(2, shown)
    first = slice(0, 16)
    _save_arrays("digits.npz", picture=pictures[first].astype(np.float32), numbers=numbers[first])


def _write_signals() -> None:
    """A stack of signals, and a single one as text."""
    drawn = [signals.draw(seed, signals.CLASSES[seed % 3]) for seed in range(1000, 1012)]
    np.save(HERE / "signal.npy", np.stack([one.values for one in drawn]))
    _write_rows("signal.csv", ["first", "second"], drawn[0].values)


def _write_table() -> None:
    features, truth, names = data.wines(held_out=True)
    rows = np.concatenate([features[truth == cultivar][:2] for cultivar in range(len(data.CULTIVARS))])
    _write_rows("table.csv", names, rows)


def _write_photographs() -> None:
    from skimage import data as photographs

    _save(photographs.astronaut(), "photographs/astronaut.jpg")
    _save(photographs.coffee(), "photographs/coffee.jpg")
    _save(photographs.chelsea(), "photographs/cat.png")


def _save(pixels: np.ndarray, name: str) -> None:
    Image.fromarray(pixels).save(HERE / name, quality=88, optimize=True)


def _save_arrays(name: str, **arrays: np.ndarray) -> None:
    with (HERE / name).open("wb") as file:
        np.savez_compressed(file, **arrays)


def _write_rows(name: str, header: list[str], rows: np.ndarray) -> None:
    with (HERE / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([[f"{value:.6g}" for value in row] for row in rows])


if __name__ == "__main__":
    main()

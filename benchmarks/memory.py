"""Memory depends on the batch: not on the number of pictures, nor on the draws or points that a method takes."""

import shutil
import statistics
from pathlib import Path

from common import Row, finish, interleaved, model, photographs, saliency, spend, workshop

ROUNDS, DRAWS_ROUNDS = 3, 2
FEW, MANY = 100, 2000
BOUND, DRAWS_BOUND = 1.05, 1.02


SOME, PLENTY = 8, 800
ASKED = {"smoothgrad": "draws", "integrated-gradients": "points", "rise": "draws"}


def of_pictures(folder: Path) -> list[Row]:
    """Compare a run of many small pictures with one of few."""
    rows = []
    path = model(folder, "small")
    few, many = (photographs(folder, count, (28, 28), ".png") for count in (FEW, MANY))
    for label, out in (("into a folder", ["-o", "out"]), ("beside the pictures", [])):
        here = folder / "memory"

        def peak(pictures: Path, out: list[str] = out, here: Path = here):
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir()
            return spend(saliency("compute", str(path), str(pictures), *out, "-q"), here)

        a, b = interleaved(ROUNDS, lambda peak=peak: peak(few), lambda peak=peak: peak(many))
        small, large = (statistics.median(spent.memory for spent in taken) for taken in (a, b))
        note = f"{large:.0f} MiB : {small:.0f} MiB"
        what = f"peak memory of {MANY:,} pictures : {FEW}, {label}"
        rows.append(Row.ratio(what, "1.02", large / small, BOUND, note))
        shutil.rmtree(here)
    return rows


def of_draws(folder: Path) -> list[Row]:
    """Compare many draws or points of one photograph with few, at 224×224: 800 maps would be 460 MiB."""
    rows = []
    path = model(folder, "mobilenet")
    (picture,) = photographs(folder, 1, (224, 224)).iterdir()
    for method, option in ASKED.items():
        asked = ["--method", method, "-o", str(folder / "one.npy"), "--overwrite", "-q"]

        def peak(count: int, asked: list[str] = asked, option: str = option):
            return spend(saliency("compute", str(path), str(picture), *asked, "-p", f"{option}={count}"), folder)

        a, b = interleaved(DRAWS_ROUNDS, lambda peak=peak: peak(SOME), lambda peak=peak: peak(PLENTY))
        small, large = (statistics.median(spent.memory for spent in taken) for taken in (a, b))
        what = f"peak memory of {PLENTY} {option} : {SOME}, {method}"
        rows.append(Row.ratio(what, "1.01", large / small, DRAWS_BOUND, f"{large:.0f} MiB : {small:.0f} MiB"))
    return rows


def measure() -> list[Row]:
    with workshop() as folder:
        return [*of_pictures(folder), *of_draws(folder)]


if __name__ == "__main__":
    finish(measure)

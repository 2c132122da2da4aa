"""Memory depends on the batch, not on the number of pictures: peak of 2,000 against that of 100."""

import shutil
import statistics
from pathlib import Path

from common import Row, finish, interleaved, model, photographs, saliency, spend, workshop

ROUNDS = 3
FEW, MANY = 100, 2000
BOUND = 1.05


def measure() -> list[Row]:
    rows = []
    with workshop() as folder:
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


if __name__ == "__main__":
    finish(measure)

"""10,000 tiny pictures through the real command: our own CPU a picture, memory against 100, and two workers.

Our own CPU is that of `saliency compute` less that of a bare compiled loop of as many gradients; opening, importing
and tracing fall out, since runs of 10,000 are compared with runs of 100.
"""

import shutil
import statistics
import sys
from pathlib import Path

from common import CORES, Row, Spent, finish, interleaved, model, photographs, saliency, spend, workshop

FEW, MANY, ROUNDS, BATCH = 100, 10_000, 2, 16
CPU_BOUND, MEMORY_BOUND = 2.0, 1.05
LARGE = 192


def run(path: Path, pictures: Path, folder: Path, *more: str) -> Spent:
    """Carry pictures through a model into a new run folder, an array each."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = saliency("compute", str(path), str(pictures), "-o", str(out), "--format", "npy", "-q", *more)
    return spend(command, folder)


def bare_loop(path: Path, count: int, folder: Path) -> Spent:
    """Compute as many gradients in a bare loop, in a process of its own."""
    return spend([sys.executable, __file__, "--bare", str(path), str(count // BATCH)], folder)


def of_many(folder: Path) -> list[Row]:
    """Return our own CPU a picture in the files layout, and the peak of memory against that of few."""
    path = model(folder, "small")
    few, many = (photographs(folder, count, (28, 28), ".png") for count in (FEW, MANY))
    layout = ("--layout", "files", "--batch-size", str(BATCH))
    some, all_, bare_some, bare_all = interleaved(
        ROUNDS,
        lambda: run(path, few, folder, *layout),
        lambda: run(path, many, folder, *layout),
        lambda: bare_loop(path, FEW, folder),
        lambda: bare_loop(path, MANY, folder),
    )

    def each(large: list[Spent], small: list[Spent]) -> float:
        return min(1000 * (a.cpu - b.cpu) / (MANY - FEW) for a, b in zip(large, small, strict=True))

    ours, theirs = each(all_, some), each(bare_all, bare_some)
    peaks = [statistics.median(spent.memory for spent in taken) for taken in (all_, some)]
    return [
        Row(
            f"own CPU ms a picture, {MANY:,} of 28×28, small CNN, files layout",
            "1.0",
            f"{ours - theirs:.2f} ({ours:.2f} less {theirs:.2f} of the bare loop)",
            f"≤ {CPU_BOUND:.1f}",
            ours - theirs <= CPU_BOUND,
        ),
        Row.ratio(
            f"peak memory of {MANY:,} pictures : {FEW}",
            "1.02",
            peaks[0] / peaks[1],
            MEMORY_BOUND,
            f"{peaks[0]:.0f} MiB : {peaks[1]:.0f} MiB",
        ),
    ]


def of_workers(folder: Path) -> list[Row]:
    """Tell what workers are worth on this machine, start and all: no bound, since it depends on cores and model."""
    path = model(folder, "mobilenet")
    pictures = photographs(folder, LARGE, (224, 224))
    one, two = interleaved(
        ROUNDS, lambda: run(path, pictures, folder), lambda: run(path, pictures, folder, "--jobs", str(CORES))
    )
    walls = [min(spent.wall for spent in taken) for taken in (one, two)]
    told = f"{walls[0] / walls[1]:.2f} ({walls[1]:.1f} s : {walls[0]:.1f} s)"
    return [Row(f"--jobs {CORES} : one process, {LARGE} pictures 224×224, MobileNetV2, start and all", "0.8", told)]


def measure() -> list[Row]:
    with workshop() as folder:
        return [*of_many(folder), *of_workers(folder)]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bare"]:
        from bare import bare

        bare(Path(sys.argv[2]), BATCH)(int(sys.argv[3]))
    else:
        finish(measure)

"""What the benchmarks share: rows of the table, child processes measured, models and pictures to work on."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

FOLDER = "SALIENCY_BENCHMARKS"
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, what was expected of it, and the bound it must keep."""

    what: str
    predicted: str
    measured: str
    bound: str = ""
    reached: bool | None = None

    @classmethod
    def ratio(cls, what: str, predicted: str, value: float, bound: float, note: str = "") -> "Row":
        """Return a row about a ratio with an upper bound."""
        return cls(what, predicted, f"{value:.2f}{note and f' ({note})'}", f"≤ {bound:.2f}", value <= bound)


class Spent(NamedTuple):
    """What one child process took: seconds, CPU seconds, peak memory in MiB."""

    wall: float
    cpu: float
    memory: float


def finish(measure: Callable[[], list[Row]]) -> None:
    """Measure and print the rows: a table for a reader, JSON for `run.py`."""
    rows = measure()
    if "--json" in sys.argv:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        print(table(rows))


def table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table."""
    words = {True: "reached", False: "**not reached**", None: ""}
    lines = ["| measured | predicted | found | bound | |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {row.what} | {row.predicted} | {row.measured} | {row.bound} | {words[row.reached]} |" for row in rows
    ]
    return "\n".join(lines)


@contextmanager
def workshop() -> Iterator[Path]:
    """Give a folder for models and pictures: the one `run.py` shares among the benchmarks, or a new one."""
    shared = os.environ.get(FOLDER)
    if shared:
        yield Path(shared)
        return
    with tempfile.TemporaryDirectory(prefix="saliency-benchmarks-") as folder:
        yield Path(folder)


def model(folder: Path, name: str) -> Path:
    """Return a saved model with random weights: `small` or `mobilenet`.

    Another process builds it: a child starts with its parent's peak of memory, so this one stays small.
    """
    path = folder / f"{name}.keras"
    if not path.exists():
        spend([sys.executable, str(Path(__file__).with_name("models.py")), str(path)], folder)
    return path


def spend(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Spent:
    """Run a command to its end in a folder and return what it took. Raises `RuntimeError` if it fails."""
    log = folder / "last.log"
    with log.open("wb") as stream:
        began = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **(environment or {})}, stdout=stream, stderr=stream
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {child.returncode}\n{log.read_text()[-2000:]}")
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def interleaved(rounds: int, *tries: Callable[[], Spent]) -> list[list[Spent]]:
    """Call the tries in turn, A B A B …, and return what each took, round by round."""
    found: list[list[Spent]] = [[] for _ in tries]
    for _ in range(rounds):
        for taken, call in zip(found, tries, strict=True):
            taken.append(call())
    return found


def ratio(ours: Sequence[float], others: Sequence[float]) -> float:
    """Return the median over the rounds of ours over theirs."""
    return statistics.median(a / b for a, b in zip(ours, others, strict=True))


def clocked(call: Callable[[], object]) -> Spent:
    """Return what a call in this process took."""
    began, cpu = time.perf_counter(), time.process_time()
    call()
    return Spent(time.perf_counter() - began, time.process_time() - cpu, 0.0)


def photographs(folder: Path, count: int, size: tuple[int, int], suffix: str = ".jpg") -> Path:
    """Return a folder of pictures of `size` (width, height) with the spectrum of photographs, 1/f."""
    import numpy as np
    from PIL import Image

    target = folder / f"{count}-{size[0]}x{size[1]}{suffix.replace('.', '-')}"
    if target.exists():
        return target
    target.mkdir()
    width, height = size
    rng = np.random.default_rng(0)
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    radius[0, 0] = radius[0, 1] if width > 1 else 1
    drawn = []
    for _ in range(min(count, 16)):
        waves = np.fft.rfft2(rng.standard_normal((3, height, width))) / radius
        scene = np.fft.irfft2(waves, (height, width))
        scene = 128 + 48 * (scene - scene.mean()) / scene.std()
        drawn.append(np.clip(np.moveaxis(scene, 0, -1), 0, 255).astype(np.uint8))
    for number in range(count):
        pixels = np.roll(drawn[number % len(drawn)], 7 * number, axis=1)
        Image.fromarray(pixels).save(
            target / f"{number:05d}{suffix}", **({"quality": 90} if suffix == ".jpg" else {})
        )
    return target


def saliency(*arguments: str) -> list[str]:
    """Return the command line of one `saliency`."""
    return [sys.executable, "-m", "saliency_cli", *arguments]

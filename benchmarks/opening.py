"""What opening a model costs: the reading for danger on a cold command, older files against tf_keras alone.

The reading runs in a process of its own beside TensorFlow's import. Its cost is the wall time of the whole
command with it and without it, in turn; the bound is 5 % or 50 ms, whichever is more.
"""

import statistics
import subprocess
import sys
from pathlib import Path

from common import Row, Spent, finish, interleaved, model, photographs, ratio, saliency, spend, workshop

ROUNDS = 9
LOADS = 5
HERE = Path(__file__).parent
# name, size of the picture
CASES = (("small", (28, 28)), ("mobilenet", (640, 480)))


def measure() -> list[Row]:
    with workshop() as folder:
        paths = [(name, model(folder, name), size) for name, size in CASES]
        paths.append(("mobilenet as SavedModel", exported(folder), (640, 480)))
        rows = [screening(folder, name, str(path), size) for name, path, size in paths]
        return [*rows, *(legacy(folder, suffix) for suffix in (".h5", ".keras"))]


def screening(folder: Path, name: str, path: str, size: tuple[int, int]) -> Row:
    picture = str(next(photographs(folder, 1, size, ".png").iterdir()))
    arguments = ("compute", path, picture, "-o", "map.png", "--overwrite")

    def screened() -> Spent:
        return spend(saliency(*arguments), folder)

    def unscreened() -> Spent:
        return spend([sys.executable, str(HERE / "unscreened.py"), *arguments], folder)

    interleaved(1, screened, unscreened)
    a, b = interleaved(ROUNDS, screened, unscreened)
    added = statistics.median(x.wall - y.wall for x, y in zip(a, b, strict=True))
    bound = max(0.05 * min(taken.wall for taken in b), 0.05)
    cpu = statistics.median(x.cpu - y.cpu for x, y in zip(a, b, strict=True))
    walls = [min(taken.wall for taken in side) for side in (a, b)]
    return Row(
        f"reading for danger, {name}, wall added to a cold command",
        "+20 ms",
        f"{1000 * added:+.0f} ms ({walls[0]:.2f} s : {walls[1]:.2f} s; CPU {1000 * cpu:+.0f} ms)",
        f"≤ +{1000 * bound:.0f} ms",
        added <= bound,
    )


def exported(folder: Path) -> Path:
    """Return the mobilenet as a SavedModel, written by another process."""
    path = folder / "mobilenet-saved"
    if not path.exists():
        code = "import keras,sys; keras.models.load_model(sys.argv[1]).export(sys.argv[2], verbose=False)"
        spend([sys.executable, "-c", code, str(model(folder, "mobilenet")), str(path)], folder)
    return path


def legacy(folder: Path, suffix: str) -> Row:
    path = folder / f"mobilenet-2{suffix}"
    if not path.exists():
        spend([sys.executable, str(HERE / "load.py"), "build", str(path)], folder)
    a, b = interleaved(LOADS, lambda: loaded("ours", path), lambda: loaded("theirs", path))
    ours, theirs = [taken.wall for taken in a], [taken.wall for taken in b]
    note = f"{min(ours):.2f} s : {min(theirs):.2f} s"
    return Row.ratio(f"loading MobileNetV2 of Keras 2, {suffix} : tf_keras", "1.2", ratio(ours, theirs), 1.5, note)


def loaded(which: str, path: Path) -> Spent:
    """Return what one load took in a new process, imports left out."""
    done = subprocess.run(
        [sys.executable, str(HERE / "load.py"), which, str(path)], capture_output=True, text=True, check=True
    )
    return Spent(float(done.stdout.splitlines()[-1]), 0.0, 0.0)


if __name__ == "__main__":
    finish(measure)

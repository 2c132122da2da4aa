"""Photographs to heat maps and arrays, whole processes: `saliency compute` against scripts with other packages.

Each package is used as its README shows it, in batches of 8 where it takes batches; a script reads 640×480 JPEGs,
asks for the predicted class, and writes a heat map (PNG) and the map (`.npy`) of every picture, as ours does.
Importing, opening the model, reading and writing are all in the time. `make test-peers` makes the environments.
"""

import shutil
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from common import Row, Spent, finish, interleaved, model, photographs, saliency, spend, workshop
from peers import PEERS, RIVALS, absent, interpreter

PICTURES, FEW, DRAWS, ROUNDS = 128, 8, 24, 3
COUNTS = {"gradient": PICTURES, "smoothgrad": FEW}
LABELS = {"gradient": "gradient", "smoothgrad": f"smoothgrad-{DRAWS}"}
# peer, method → predicted; the bound is 1 throughout: to be ahead
PREDICTED = {
    ("tf-keras-vis", "gradient"): "1.8", ("tf-keras-vis", "smoothgrad"): "2",
    ("Xplique", "gradient"): "1.3", ("Xplique", "smoothgrad"): "1.5",
    ("PAIR saliency", "gradient"): "5", ("PAIR saliency", "smoothgrad"): "6",
    ("Captum", "gradient"): "1.3", ("Captum", "smoothgrad"): "1.5",
}  # fmt: skip
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}


def ours(path: Path, photos: Path, method: str, folder: Path) -> Spent:
    """Carry the photographs through the command."""
    out = folder / "ours"
    shutil.rmtree(out, ignore_errors=True)
    command = saliency("compute", str(path), str(photos), "-o", str(out), "--preprocess", "symmetric", "-q")
    command += ["--method", method, "--format", "heatmap", "--format", "npy"]
    spent = spend([*command, *(["-p", f"draws={DRAWS}"] if method == "smoothgrad" else [])], folder, ENVIRONMENT)
    require_written(out, photos)
    return spent


def theirs(python: Path, script: str, path: Path, photos: Path, method: str, folder: Path, *more: str) -> Spent:
    """Carry them through a script with another package, run by the interpreter of its environment."""
    out = folder / script
    shutil.rmtree(out, ignore_errors=True)
    command = [python, RIVALS / f"whole_{script}.py", path, photos, out, method, DRAWS, *more]
    spent = spend([str(word) for word in command], folder, ENVIRONMENT)
    require_written(out, photos)
    return spent


def require_written(out: Path, photos: Path) -> None:
    """Raise `RuntimeError` where a side did not write a heat map and an array of every photograph."""
    count = len(list(photos.iterdir()))
    for suffix in ("png", "npy"):
        found = len(list(out.rglob(f"*.{suffix}")))
        if found != count:
            raise RuntimeError(f"{found} .{suffix} in '{out.name}', of {count} photographs")


def compared(
    what: str, method: str, own: Callable[[], Spent], others: Mapping[str, Callable[[], Spent]]
) -> list[Row]:
    """Return how many times as fast ours is as each other one, in turn."""
    alone, *found = interleaved(ROUNDS, own, *others.values())
    rows = []
    for name, taken in zip(others, found, strict=True):
        times = statistics.median(other.wall / one.wall for other, one in zip(taken, alone, strict=True))
        walls = [min(spent.wall for spent in side) for side in (taken, alone)]
        label = f"{COUNTS[method]} photographs to files, {LABELS[method]}, {what}, {name} : ours"
        note = f"{times:.2f} ({walls[0]:.1f} s : {walls[1]:.1f} s)"
        rows.append(Row(label, PREDICTED[name, method], note, "≥ 1", times >= 1))
    return rows


def on_keras(folder: Path, photos: Path, method: str) -> list[Row]:
    """Compare with the packages that take a Keras model."""
    path = model(folder, "mobilenetv2")
    package = next((PEERS / "pair").glob("lib/python*/site-packages"), None)
    known = {
        "tf-keras-vis": (interpreter("tf-keras-vis"), "tf_keras_vis"),
        "Xplique": (interpreter("xplique"), "xplique"),
        "PAIR saliency": (Path(sys.executable) if package else None, "pair", str(package)),
    }

    def by(python: Path, script: str, *more: str) -> Callable[[], Spent]:
        return lambda: theirs(python, script, path, photos, method, folder, *more)

    others = {name: by(python, *more) for name, (python, *more) in known.items() if python is not None}
    rows = compared("MobileNetV2", method, lambda: ours(path, photos, method, folder), others)
    return [*rows, *(absent(name) for name in known if name not in others)]


def on_pytorch(folder: Path, photos: Path, method: str) -> list[Row]:
    """Compare with Captum on a PyTorch twin of the same ResNet50."""
    python = interpreter("captum")
    if python is None:
        return [absent("Captum")]
    path = model(folder, "resnet50")
    weights = folder / "resnet50.npz"
    if not weights.exists():
        spend([sys.executable, str(RIVALS / "weights.py"), str(path), str(weights)], folder)
    return compared(
        "ResNet50", method,
        lambda: ours(path, photos, method, folder),
        {"Captum": lambda: theirs(python, "captum", weights, photos, method, folder)},
    )  # fmt: skip


def measure() -> list[Row]:
    with workshop() as folder:
        photos = {method: photographs(folder, count, (640, 480)) for method, count in COUNTS.items()}
        sides = (on_keras, on_pytorch)
        return [row for side in sides for method in COUNTS for row in side(folder, photos[method], method)]


if __name__ == "__main__":
    finish(measure)

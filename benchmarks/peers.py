"""Gradients, SmoothGrad and integrated gradients against other packages, each in an environment of its own.

The same weights, batch and threads on all sides; each side is a process that is warmed up and then works in turn with
the others, and tells the seconds from pictures in memory to maps in memory. `make test-peers` makes the environments.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from common import Row, finish, model, spend, workshop

HERE = Path(__file__).resolve().parent
RIVALS = HERE / "rivals"
PEERS = HERE.parent / ".peers"
ROUNDS, FEW_ROUNDS = 5, 3
PICTURES, FEW = 64, 8  # for the gradient, and for the methods that take many: whole batches on all sides
METHODS = ("gradient", "smoothgrad", "integrated-gradients")
LABELS = {"gradient": "gradient", "smoothgrad": "smoothgrad-24", "integrated-gradients": "integrated-gradients-50"}
# peer, method → predicted, bound: how many times as fast ours is to be
BOUNDS = {
    ("Xplique", "gradient"): ("1.4", 1.3),
    ("Xplique", "smoothgrad"): ("1.6", 1.4),
    ("Xplique", "integrated-gradients"): ("1.5", 1.4),
    ("tf-keras-vis", "gradient"): ("4", 3.0),
    ("tf-keras-vis, a picture a call", "smoothgrad"): ("9", 7.0),
    ("tf-keras-vis", "smoothgrad"): ("4", None),
    ("PAIR, eager callback", "gradient"): ("16", 15.0),
    ("PAIR, eager callback", "smoothgrad"): ("14", 12.0),
    ("PAIR, eager callback", "integrated-gradients"): ("14", 12.0),
    ("PAIR, compiled callback", "gradient"): ("2", 1.0),
    ("PAIR, compiled callback", "smoothgrad"): ("2", 1.0),
    ("PAIR, compiled callback", "integrated-gradients"): ("1.5", 1.0),
    ("Captum", "gradient"): ("1.2", 1.0),
    ("Captum", "smoothgrad"): ("1.2", 1.0),
    ("Captum", "integrated-gradients"): ("1.2", 1.0),
}


class Side:
    """A process that does what it is told and answers with the seconds it took."""

    def __init__(self, python: Path, script: str, path: Path, pictures: int, few: int, *more: str) -> None:
        self.pictures = {"gradient": pictures, "bare": pictures, "smoothgrad": few, "integrated-gradients": few}
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "KERAS"))}
        environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
        self.process = subprocess.Popen(
            [python, RIVALS / f"by_{script}.py", path, str(pictures), str(few), *more],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        if self._line() != "ready":
            raise RuntimeError(f"rivals/by_{script}.py did not get ready: run it by itself")

    def seconds(self, work: str) -> float:
        """Return the seconds a picture takes."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{work}\n")
        self.process.stdin.flush()
        return float(self._line()) / self.pictures[work]

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@contextmanager
def sides(*asked: Sequence[Any]) -> Iterator[list[Side]]:
    """Start one process after the other, and end them."""
    with ExitStack() as stack:
        started = []
        for arguments in asked:
            started.append(Side(*arguments))
            stack.callback(started[-1].close)
        yield started


def interpreter(peer: str) -> Path | None:
    """Return the Python of a peer's environment, None where it was never built."""
    return PEERS / peer / "bin" / "python" if (PEERS / peer / ".installed").exists() else None


def compared(what: str, ours: Side, others: Mapping[str, Side], method: str, rounds: int = ROUNDS) -> list[Row]:
    """Return how many times as fast ours is as each other one, in turn."""
    # tf-keras-vis has no integrated gradients.
    able = {name: side for name, side in others.items() if (name, method) in BOUNDS}
    found = [[side.seconds(method) for side in (ours, *able.values())] for _ in range(rounds)]
    rows = []
    for k, name in enumerate(able, start=1):
        predicted, bound = BOUNDS[name, method]
        times = statistics.median(taken[k] / taken[0] for taken in found)
        theirs, own = (1000 * min(taken[of] for taken in found) for of in (k, 0))
        label = f"{LABELS[method]}, {what}, {name} : ours"
        note = f"{times:.2f} ({theirs:.0f} : {own:.0f} ms a picture)"
        kept = () if bound is None else (f"≥ {bound:g}", times >= bound)
        rows.append(Row(label, predicted, note, *kept))
    return rows


def on_keras(folder: Path) -> list[Row]:
    """Compare with the packages that take a Keras model."""
    path = model(folder, "mobilenetv2")
    known = {"Xplique": ("xplique", "xplique"), "tf-keras-vis": ("tf-keras-vis", "tf_keras_vis")}
    there = {name: script for name, (peer, script) in known.items() if interpreter(peer)}
    pythons = {name: interpreter(known[name][0]) for name in there}
    asked = [(pythons[name], script, path, PICTURES, FEW) for name, script in there.items()]
    single = [(*each[:3], 1, 1) for each in asked if each[1] == "tf_keras_vis"]
    with sides((sys.executable, "saliency", path, PICTURES, FEW), *asked, *single) as (ours, *others):
        named = dict(zip([*there, *["tf-keras-vis, a picture a call"] * len(single)], others, strict=True))
        rows = [row for method in METHODS for row in compared("MobileNetV2", ours, named, method)]
    return [*rows, *(absent(name) for name in known if name not in there)]


def on_callbacks(folder: Path) -> list[Row]:
    """Compare with PAIR saliency, which takes any function: eager as in its README, and compiled."""
    package = next((PEERS / "pair").glob("lib/python*/site-packages"), None)
    if package is None:
        return [absent("PAIR")]
    path = model(folder, "mobilenetv2")
    compiled = (sys.executable, "pair", path, PICTURES, FEW, "compiled", str(package))
    eager = (sys.executable, "pair", path, 4, 1, "eager", str(package))
    rows = []
    with sides((sys.executable, "saliency", path, PICTURES, FEW), eager, compiled) as (ours, slow, fast):
        for method in METHODS:
            rows += compared("MobileNetV2", ours, {"PAIR, eager callback": slow}, method, FEW_ROUNDS)
            rows += compared("MobileNetV2", ours, {"PAIR, compiled callback": fast}, method)
    return rows


def on_pytorch(folder: Path) -> list[Row]:
    """Compare with Captum on a PyTorch twin of the same ResNet50."""
    python = interpreter("captum")
    if python is None:
        return [absent("Captum")]
    path = model(folder, "resnet50")
    weights = folder / "resnet50.npz"
    if not weights.exists():
        spend([sys.executable, str(RIVALS / "weights.py"), str(path), str(weights)], folder)
    theirs = (python, "captum", weights, PICTURES // 2, 1)
    with sides((sys.executable, "saliency", path, PICTURES // 2, FEW // 2), theirs) as (ours, captum):
        rows = [
            row for method in METHODS for row in compared("ResNet50", ours, {"Captum": captum}, method, FEW_ROUNDS)
        ]
        bare = statistics.median(captum.seconds("bare") / ours.seconds("gradient") for _ in range(ROUNDS))
    return [*rows, Row("gradient, ResNet50, PyTorch without Captum : ours", "1.2", f"{bare:.2f}")]


def absent(name: str) -> Row:
    """Return a row that says what was left out."""
    return Row(f"against {name}", "", "left out: its environment is not built (make test-peers)")


def measure() -> list[Row]:
    with workshop() as folder:
        return [row for compare in COMPARISONS for row in compare(folder)]


COMPARISONS = (on_keras, on_callbacks, on_pytorch)

if __name__ == "__main__":
    finish(measure)

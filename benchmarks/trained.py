"""Trained models with samples they were made for, each as a function from points to gradients.

The sample models, and models found in the wild where they lie beside the project (`../shared/wild`).
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from saliency_cli.autodiff.packing import Evaluator
from saliency_cli.differentiable import GRADIENT, Array
from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.request import ComputeRequest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WILD = ROOT.parent / "shared" / "wild"
SAMPLES = ROOT / "sample_models"
BATCH = 16
sys.path.insert(0, str(SAMPLES))


@dataclass(frozen=True, eq=False)
class Trained:
    """A model's name, samples of it as it takes them `(n, *shape)` float32, and what evaluates it."""

    name: str
    samples: Array
    evaluator: Evaluator
    key: str
    classes: int

    def top(self, sample: Array) -> int:
        """Return the class on top."""
        return int(self._evaluate(sample[None], np.zeros(self.classes, np.float32))[1][0])

    def gradients(self, points: Array, target: int) -> Array:
        """Return the gradients of one class's score at points `(n, *shape)`, float64."""
        weights = np.zeros(self.classes, np.float32)
        weights[target] = 1
        found = [self._evaluate(points[k : k + BATCH], weights)[0] for k in range(0, len(points), BATCH)]
        return np.concatenate(found)

    def _evaluate(self, points: Array, weights: Array) -> tuple[Array, Array]:
        batch = np.zeros((BATCH, *points.shape[1:]), np.float32)
        batch[: len(points)] = points
        rows = np.tile(weights, (BATCH, 1))
        found = self.evaluator({self.key: batch}, rows, np.zeros(BATCH, bool), np.zeros(BATCH, np.float32), GRADIENT)
        used = slice(None, len(points))
        return np.asarray(found.gradients[self.key][used], np.float64), found.tops[used]


def trained(count: int) -> Iterator[Trained]:
    """Open one model after the other, with up to `count` samples each."""
    for name, path, samples in (*_own(count), *_found(count)):
        engine = open_engine(ComputeRequest(str(path), batch_size=BATCH), single=False)
        yield Trained(name, samples, engine.evaluator, engine.specs[0].name, engine.classes)


def _own(count: int) -> Iterator[tuple[str, Path, Array]]:
    import data
    import shapes
    import signals

    pixels = [picture.pixels for picture in shapes.draw_many(10_001, count)]
    yield "shapes", SAMPLES / "shapes.keras", np.asarray(pixels, np.float32)
    yield "digits", SAMPLES / "nested.keras", data.digits(held_out=True)[0][:count].astype(np.float32)
    drawn = [signal.values for signal in signals.draw_many(10_001, count)]
    yield "signals", SAMPLES / "signal.keras", np.asarray(drawn, np.float32)
    yield "table", SAMPLES / "table.keras", data.wines(held_out=True)[0][:count].astype(np.float32)


def _found(count: int) -> Iterator[tuple[str, Path, Array]]:
    """Models in the wild on photographs, as each takes them."""
    folders = (WILD / "images" / "cnnexplainer", ROOT / "sample_images" / "photographs")
    files = [file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir())][:count]
    for name, file, size, scale, offset in (
        ("ResNet-8 (CIFAR-10)", "mlperf_resnet8_cifar10/pretrainedResnet.h5", 32, 1.0, 0.0),
        ("Tiny VGG", "cnnexplainer_tfjs/model.json", 64, 1 / 255, 0.0),
        ("MobileNetV2 0.35 (Teachable Machine)", "teachable_machine_h5/keras_model.h5", 224, 1 / 127.5, -1.0),
    ):
        if (WILD / file).exists():
            scaled = [np.asarray(Image.open(each).convert("RGB").resize((size, size)), np.float32) for each in files]
            yield name, WILD / file, np.asarray(scaled) * np.float32(scale) + np.float32(offset)

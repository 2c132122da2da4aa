"""How far folding batch normalisation changes scores and maps: in float64, and in float32 beside other roundings.

In float64 what is left is rounding, so a wrong formula would show. In float32 a ReLU near zero may flip, and one flip
changes a map visibly: as much as the same model answering in batches of 1 instead of 8 does.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from common import Row, finish, model, photographs, spend, workshop
from PIL import Image

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.runtime import keras
from saliency_cli.differentiable import GRADIENT, Array
from saliency_cli.models.keras3.live import wrap

BUILDERS = {
    "mobilenetv2": keras.applications.MobileNetV2,
    "resnet50": keras.applications.ResNet50,
    "efficientnetv2b0": keras.applications.EfficientNetV2B0,
}
PICTURES, EXACT = 64, 8  # in float32, in float64
BATCH, CLASS = 8, 7
OUTPUTS, GRADIENTS = 2e-5, 1e-9


def compute(path: Path, pictures: Path) -> dict[str, float]:
    """Return one model's differences. The process is spent afterwards: all that Keras makes in it is of float64."""
    live = keras.saving.load_model(path, compile=False)
    x = np.stack([np.asarray(Image.open(file), np.float32) for file in sorted(pictures.iterdir())])
    x = x if path.stem == "efficientnetv2b0" else x / 127.5 - 1  # the one that scales its input itself
    plain, folded = (answers(live, x, BATCH, fold=fold) for fold in (False, True))
    alone = answers(live, x, 1, fold=False)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    exact = BUILDERS[path.stem](weights=None)
    exact.set_weights(live.get_weights())
    x = x[:EXACT].astype(np.float64)
    exact_plain, exact_folded = (answers(exact, x, BATCH, fold=fold) for fold in (False, True))
    assert folded.count == exact_folded.count
    gradients = {
        "float64": apart(exact_plain.gradients, exact_folded.gradients),
        "float32": apart(plain.gradients, folded.gradients),
        "batches": apart(plain.gradients, alone.gradients),
        "plain": apart(exact_plain.gradients, plain.gradients[:EXACT]),
        "folded": apart(exact_plain.gradients, folded.gradients[:EXACT]),
    }
    found = {"count": folded.count, "scores": float(np.abs(plain.scores - folded.scores).max())}
    for name, values in gradients.items():
        found |= {f"{name} median": float(np.median(values)), f"{name} worst": float(values.max())}
    return found


class Answers(NamedTuple):
    """The scores `(n, classes)` and float64 gradients of n pictures, and how many normalisations were folded."""

    scores: Array
    gradients: Array
    count: int


def answers(live: object, x: Array, batch: int, *, fold: bool) -> Answers:
    """Return what a model answers in batches of one size."""
    opened = wrap(live, fixed=True)
    compiled = Compiled(opened, opened.outputs[0].name, batch=batch, fold=fold)
    count = len(compiled.facts.folded)
    rows = np.tile(np.eye(compiled.facts.classes, dtype=np.float32)[CLASS], (batch, 1))
    name = opened.inputs[0].name
    scores, gradients = [], []
    for start in range(0, len(x), batch):
        given = {name: x[start : start + batch]}
        found = compiled(given, rows, np.zeros(batch, bool), np.zeros(batch, np.float32), GRADIENT)
        scores.append(found.scores)
        gradients.append(found.gradients[name])
    return Answers(np.concatenate(scores), np.concatenate(gradients).astype(np.float64), count)


def apart(one: Array, other: Array) -> Array:
    """Return each picture's relative L2 difference of gradients."""
    places = (1, 2, 3)
    return np.sqrt(np.square(one - other).sum(places) / np.square(one).sum(places))


def rows(name: str, found: dict[str, float]) -> list[Row]:
    told, scores, worst = f"folding, {name}", found["scores"], found["float64 worst"]
    count = f"{found['count']:.0f} normalisations"

    def both(what: str) -> str:
        return f"median {found[f'{what} median']:.1e}, worst {found[f'{what} worst']:.1e}"

    single = f"{both('float32')}; batch 1 against 8: {both('batches')}"
    truth = f"{both('folded')}; not folded: {both('plain')}"
    return [
        Row(f"{told}: largest difference of scores", "1e-6", f"{scores:.1e} ({count})", "≤ 2e-5", scores <= OUTPUTS),
        Row(f"{told}: of gradients in float64, relative L2", "1e-13", f"{worst:.1e}", "≤ 1e-9", worst <= GRADIENTS),
        Row(f"{told}: of gradients in float32, {PICTURES} pictures", "like batches", single),
        Row(f"{told}: gradients in float32 against float64", "alike", truth),
    ]


def measure() -> list[Row]:
    found = []
    with workshop() as folder:
        pictures = photographs(folder, PICTURES, (224, 224), ".png")
        for name in BUILDERS:
            result = folder / "folding.json"
            spend([sys.executable, __file__, str(model(folder, name)), str(pictures), str(result)], folder)
            found += rows(name, json.loads(result.read_text()))
    return found


if __name__ == "__main__":
    if len(sys.argv) == 4:
        Path(sys.argv[3]).write_text(json.dumps(compute(Path(sys.argv[1]), Path(sys.argv[2]))))
    else:
        finish(measure)

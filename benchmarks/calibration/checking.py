"""One check of a variant against its base, by every rule the default profiles are made of."""

from pathlib import Path

import keras
import numpy as np
from PIL import Image
from training import Task

from saliency_cli.runs.check.check import check
from saliency_cli.runs.check.request import CheckRequest
from saliency_cli.runs.check.updating import update_baseline
from saliency_cli.runs.listening import Silent

POLICY = """\
version = 1
profile = "custom"
model = "base.keras"
inputs = ["inputs"]
baseline = "baseline"
preprocess = "none"

[compute]
method = "smoothgrad"
options = {draws = 16, noise = 0.1}

[[rule]]
id = "pearson-p05"
metric = "pearson"
versus = "baseline"
agg = "p05"
min = -0.999

[[rule]]
id = "pearson-median"
metric = "pearson"
versus = "baseline"
min = -0.999

[[rule]]
id = "top-median"
metric = "topk-intersection"
options = {k = 0.05}
versus = "baseline"
min = 0.001

[[rule]]
id = "sensitivity"
metric = "grad-l2"
max-increase = 1000000
"""


def prepare(folder: Path, base: keras.Model, task: Task) -> None:
    """Write a policy, its inputs and the baseline of the base model into a folder."""
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    for number, x in enumerate(task.held):
        if x.ndim == 3:
            Image.fromarray(x.astype(np.uint8)).save(inputs / f"{number:03}.png")
        else:
            np.save(inputs / f"{number:03}.npy", x)
    (folder / "saliency.toml").write_text(POLICY)
    base.save(folder / "base.keras")
    update_baseline(CheckRequest(folder / "saliency.toml", yes=True), Silent())


def values(folder: Path, variant: keras.Model) -> dict[str, float]:
    """Return each rule's value for a variant; the sensitivity as a ratio to the base's."""
    path = folder / "variant.keras"
    variant.save(path)
    record = check(CheckRequest(folder / "saliency.toml", model=str(path)), Silent()).record
    found = {rule.id: rule for rule in record.rules}
    broken = [f"{rule.id}: {rule.message}" for rule in record.rules if rule.value is None]
    if broken or record.failed_inputs:
        raise RuntimeError(f"{broken} {record.failed_inputs}")
    told = {name: float(rule.value or 0) for name, rule in found.items() if name != "sensitivity"}
    return told | {"ratio": float(found["sensitivity"].value or 0) / float(found["sensitivity"].baseline or 1)}

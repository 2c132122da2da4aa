"""A check of 64 pictures with five gradient-based rules on MobileNetV2, against the gradients it needs.

SmoothGrad of 16 draws needs 17 gradients a picture, the loss's gradient one more; the norm of the target's
gradient is the one SmoothGrad begins with, and both rules about maps share one map.
"""

from dataclasses import replace
from pathlib import Path

from bare import bare
from common import Row, clocked, finish, interleaved, model, photographs, ratio, workshop

from saliency_cli.runs.check.check import check
from saliency_cli.runs.check.request import CheckRequest
from saliency_cli.runs.check.updating import update_baseline
from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.listening import Silent

ROUNDS = 3
PICTURES = 64
DRAWS = 16
POLICY = f"""\
version = 1
profile = "custom"
model = "{{model}}"
inputs = ["{{inputs}}"]
baseline = "baseline"
preprocess = "symmetric"

[compute]
method = "smoothgrad"
options = {{{{draws = {DRAWS}, noise = 0.1}}}}

[[rule]]
id = "not-zero"
metric = "nonzero"
agg = "min"
min = 1

[[rule]]
id = "sensitivity"
metric = "grad-l2"
max-increase = 0.25

[[rule]]
id = "loss"
metric = "loss-grad-l2"
max-increase = 0.25

[[rule]]
id = "evidence"
metric = "pearson"
versus = "baseline"
min = 0.85

[[rule]]
id = "top"
metric = "topk-intersection"
versus = "baseline"
min = 0.65
"""


def measure() -> list[Row]:
    with workshop() as folder:
        path = model(folder, "mobilenet")
        inputs = photographs(folder, PICTURES, (256, 256))
        policy = Path(folder) / "saliency.toml"
        policy.write_text(POLICY.format(model=path.name, inputs=inputs.name))
        request = CheckRequest(policy, batch_size=8)
        update_baseline(replace(request, yes=True), Silent())
        engines = {}

        def opened(asked, *, single):
            """Open the model once: what a check costs beyond its gradients is asked here, not the loading."""
            if asked.model not in engines:
                engines[asked.model] = open_engine(asked, single=single)
            return engines[asked.model]

        check(request, Silent(), opened)  # traces
        loop = bare(path, 8)
        batches = PICTURES * (DRAWS + 2) // 8
        ours, theirs = interleaved(
            ROUNDS,
            lambda: clocked(lambda: check(request, Silent(), opened)),
            lambda: clocked(lambda: loop(batches)),
        )
        wall = ratio([s.wall for s in ours], [s.wall for s in theirs])
        note = f"{min(s.wall for s in ours):.1f} : {min(s.wall for s in theirs):.1f} s"
        what = f"check of {PICTURES} pictures, five rules, mobilenet : its gradients, wall"
        return [Row.ratio(what, "1.15", wall, 1.25, note)]


if __name__ == "__main__":
    finish(measure)

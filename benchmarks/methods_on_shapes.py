"""Every method on pictures whose truth is known: the table of docs/methods-on-shapes.md, by `make shapes`.

Each picture holds one warm object that decides its class and cold distractors that don't. A method is asked about the
true class of held-out pictures, and its maps are measured against the object's mask.
"""

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "sample_models"))

import shapes as drawn

import saliency_cli as sal
from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.errors import SaliencyError
from saliency_cli.runs.settings import METHODS

PAGE = HERE.parent / "docs" / "methods-on-shapes.md"
PICTURES = 24
TIMED = 4
METRICS = ("mass-in-mask", "mass-lift", "pointing:tolerance=0.0", "deletion", "insertion", "model-randomisation")


class Counting:
    """Counts the points every model of this process is asked for."""

    def __init__(self) -> None:
        self.rows = 0
        plain = Compiled.__call__

        def counted(compiled: Compiled, *arguments: Any) -> Any:
            self.rows += compiled.batch
            return plain(compiled, *arguments)

        Compiled.__call__ = counted  # type: ignore[method-assign]


COUNTING = Counting()


def row(model: sal.SaliencyModel, name: str, pictures: list[drawn.Picture], references: Path) -> list[str]:
    """Return one line of the table, or why there is none."""
    options = {}
    if any(option.name == "baselines" and not option.default for option in METHODS.options(name)):
        options["baselines"] = str(references)
    found, seconds, rows = [], [], []
    for number, picture in enumerate(pictures):
        target = drawn.CLASSES.index(picture.classes[0])
        asked = {"method": name, "options": options, "target": target, "batch_size": 1}
        x = picture.pixels.astype(np.float32)
        measured = {"metrics": METRICS, "mask": picture.masks[0], "valid_range": (0, 255)}
        try:
            if number < TIMED:
                model.attribute(x, **asked)
                began, before = time.perf_counter(), COUNTING.rows
                model.attribute(x, **asked)
                seconds.append(time.perf_counter() - began)
                rows.append(COUNTING.rows - before)
            found.append(model.attribute(x, **asked, **measured).metrics)
        except SaliencyError as error:
            return [f"`{name}`", *[""] * 6, f"refuses: {error.message}"]
    values = {metric: [each[metric] for each in found if each[metric] is not None] for metric in METRICS}
    middle = {metric: statistics.median(seen) if seen else float("nan") for metric, seen in values.items()}
    pointing = statistics.mean(values["pointing:tolerance=0.0"]) if values["pointing:tolerance=0.0"] else float("nan")
    return [
        f"`{name}`",
        f"{middle['mass-in-mask']:.2f}",
        f"{pointing:.0%}",
        f"{middle['deletion']:.2f}",
        f"{middle['insertion']:.2f}",
        f"{middle['model-randomisation']:.2f}",
        f"{statistics.median(rows):.0f}",
        f"{1000 * statistics.median(seconds):.0f} ms",
    ]


def main() -> None:
    pictures = drawn.draw_many(900, PICTURES)
    references = Path("/tmp") / "saliency-shapes-references.npy" if len(sys.argv) < 2 else Path(sys.argv[1])
    np.save(references, np.stack([one.pixels.astype(np.float32) for one in drawn.draw_many(901, 16)]))
    lines = [
        "| method | mass in it | points at it | deletion | insertion | top layer redrawn | points asked | time |"
    ]
    lines += ["| --- | --: | --: | --: | --: | --: | --: | --: |"]
    for name in METHODS.names():
        model = sal.load(HERE.parent / "sample_models" / "shapes.keras")
        cells = row(model, name, pictures, references)
        print(*cells, sep="  ", flush=True)
        lines.append(f"| {' | '.join(cells)} |")
    begin, end = "<!-- table -->", "<!-- end of table -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    body = "\n".join(lines)
    PAGE.write_text(f"{before}{begin}\n\n{body}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()

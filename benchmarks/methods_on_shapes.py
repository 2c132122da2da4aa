"""Every method on pictures whose truth is known: the tables of docs/methods-on-shapes.md, by `make shapes`.

Each picture holds one warm object that decides its class and cold distractors that don't. A method is asked about the
true class of held-out pictures, and its maps are measured against the object's mask.

    python benchmarks/methods_on_shapes.py [MODEL[,…] [METHOD[,…]]]

Rows are kept in out/shapes.jsonl as they are found, and those that are there are not measured again: a run that was
stopped goes on. Remove the file to begin anew.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import shapes_relu
from shapes_relu import drawn

import saliency_cli as sal
from saliency_cli.autodiff.packing import Packer
from saliency_cli.errors import SaliencyError
from saliency_cli.runs.settings import METHODS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "methods-on-shapes.md"
FOUND = ROOT / "out" / "shapes.jsonl"
PICTURES = 24
TIMED = 3
METRICS = ("mass-in-mask", "pointing:tolerance=0.0", "deletion", "insertion", "model-randomisation")
HEADS = ("method", "mass in it", "points at it", "deletion", "insertion", "top layer redrawn", "points asked", "time")


class Counting:
    """Counts the points that models of this process are asked for, those that only fill a batch left out."""

    def __init__(self) -> None:
        self.points = 0
        plain = Packer._send  # noqa: SLF001 - where batches leave

        def counted(packer: Packer, device: Any, batch: Any) -> Any:
            self.points += len(batch.rows)
            return plain(packer, device, batch)

        Packer._send = counted  # type: ignore[method-assign]  # noqa: SLF001


COUNTING = Counting()


def model(name: str) -> sal.SaliencyModel:
    """Open one of the two models, the one of ReLUs trained first where that was not done yet."""
    path = ROOT / "sample_models" / "shapes.keras"
    if name == "relu":
        path = FOUND.parent / "shapes-relu.keras"
        if not path.exists():
            print(f"{shapes_relu.build(path):.1%} of other pictures are named rightly", flush=True)
    return sal.load(path)


def measured(opened: sal.SaliencyModel, name: str, pictures: list[drawn.Picture], references: Path) -> dict[str, Any]:
    """Return one row of a table by its heads, or under `refused` why there is none."""
    options = {}
    if any(option.name == "baselines" and not option.default for option in METHODS.options(name)):
        options["baselines"] = str(references)
    found, seconds, points = [], [], []
    for number, picture in enumerate(pictures):
        target = drawn.CLASSES.index(picture.classes[0])
        asked = {"method": name, "options": options, "target": target}
        x = picture.pixels.astype(np.float32)
        try:
            for attempt in range(2 if number == 0 else 1 if number < TIMED else 0):
                began, before = time.perf_counter(), COUNTING.points
                opened.attribute(x, **asked)
                if (number, attempt) != (0, 0):  # which compiles
                    seconds.append(time.perf_counter() - began)
                    points.append(COUNTING.points - before)
            aside = {"metrics": METRICS, "mask": picture.masks[0], "valid_range": (0, 255)}
            found.append(opened.attribute(x, **asked, **aside).metrics)
        except SaliencyError as error:
            return {"refused": error.message}
    values = {metric: [float(each[metric]) for each in found if each[metric] is not None] for metric in METRICS}
    middle = {metric: statistics.median(seen) if seen else None for metric, seen in values.items()}
    pointing = values["pointing:tolerance=0.0"]
    return {
        "maps": len(pointing),
        "mass in it": middle["mass-in-mask"],
        "points at it": statistics.mean(pointing) if pointing else None,
        "deletion": middle["deletion"],
        "insertion": middle["insertion"],
        "top layer redrawn": middle["model-randomisation"],
        "points asked": statistics.median(points),
        "time": 1000 * statistics.median(seconds),
    }


def cells(name: str, row: dict[str, Any]) -> str:
    """Return one line of a table."""
    shown = {"points at it": "{:.0%}", "points asked": "{:.0f}", "time": "{:.0f} ms"}
    if "refused" in row:
        return f"| `{name}` | {'|'.join([' '] * (len(HEADS) - 2))} | refuses: {row['refused']} |"
    told = ["—" if row[head] is None else shown.get(head, "{:.2f}").format(row[head]) for head in HEADS[1:]]
    return f"| `{name}` | {' | '.join(told)} |"


def write() -> None:
    """Write the tables of all rows found into the page."""
    rows = kept()
    text = PAGE.read_text(encoding="utf-8")
    for which in ("shapes", "relu"):
        begin, end = f"<!-- table of {which} -->", f"<!-- end of {which} -->"
        lines = [f"| {' | '.join(HEADS)} |", f"| --- | {' | '.join(['--:'] * (len(HEADS) - 1))} |"]
        lines += [cells(name, rows[which, name]) for name in METHODS.names() if (which, name) in rows]
        before, _, rest = text.partition(begin)
        text = "\n".join([f"{before}{begin}\n", *lines, "", f"{end}{rest.partition(end)[2]}"])
    PAGE.write_text(text, encoding="utf-8")


def kept() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows found before, by model and method."""
    lines = FOUND.read_text(encoding="utf-8").splitlines() if FOUND.exists() else []
    return {(model, name): row for model, name, row in map(json.loads, lines)}


def main(models: str = "shapes,relu", methods: str = "") -> None:
    """Measure what is asked for and was not found yet, and write the page."""
    FOUND.parent.mkdir(exist_ok=True)
    pictures = drawn.draw_many(900, PICTURES)
    references = FOUND.parent / "shapes-references.npy"
    np.save(references, np.stack([one.pixels.astype(np.float32) for one in drawn.draw_many(901, 16)]))
    for which in models.split(","):
        opened = model(which)
        for name in methods.split(",") if methods else METHODS.names():
            if (which, name) not in kept():
                row = measured(opened, name, pictures, references)
                with FOUND.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([which, name, row]) + "\n")
                print(which, cells(name, row), flush=True)
    write()


if __name__ == "__main__":
    main(*sys.argv[1:])

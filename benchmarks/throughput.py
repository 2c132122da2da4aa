"""A folder of photographs through MobileNetV2 into overlays and arrays, files and all.

The bound: the wall time of the run (without opening the model) within 1.15 × the larger of the engine's own
wall time and (engine CPU + our CPU) / cores. Our CPU is the sum of the stages, each measured by itself.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bare import bare
from common import CORES, Row, Spent, clocked, finish, interleaved, model, photographs, workshop

from saliency_cli.differentiable import content_hash
from saliency_cli.preprocessing import prepare_picture
from saliency_cli.records import ItemRecord
from saliency_cli.rendering.encoding import encode_picture
from saliency_cli.rendering.overlay import overlay
from saliency_cli.runs.attributing import Attributor, Found
from saliency_cli.runs.compute import compute
from saliency_cli.runs.destination import write_whole
from saliency_cli.runs.engine import Engine, open_engine
from saliency_cli.runs.feeding import Fed, Feeder
from saliency_cli.runs.journal import Journal
from saliency_cli.runs.reading import read_document
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import Source
from saliency_cli.runs.summary import summarise
from saliency_cli.writers.npy import Npy

PICTURES, BATCH, ROUNDS = 256, 8, 3
BOUND = 1.15


class Silent:
    """A listener that hears nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def timed(call: Callable[[], object], times: int = 60) -> float:
    """Return the CPU milliseconds of one call: the least of three averages."""
    call()
    found = []
    for _ in range(3):
        began = time.process_time()
        for _ in range(times // 3):
            call()
        found.append((time.process_time() - began) / (times // 3))
    return 1000 * min(found)


def attributed(engine: Engine, picture: Path) -> Found:
    """Return what the engine finds of one picture."""
    return Attributor(engine).attribute(str(picture), ComputeRequest(""), options={}, class_names=())


def stages(engine: Engine, picture: Path, folder: Path) -> dict[str, float]:
    """Return the CPU milliseconds each of our own stages takes of one picture."""
    feeder = Feeder.plan(engine.specs, engine.clues, "auto", "stretch", seed=0, differentiated=engine.connected)
    data = picture.read_bytes()
    document = read_document(picture.name, data)
    spec = engine.specs[0]
    (fed,) = feeder.feed(Source("x", (("", str(picture)),)))
    assert isinstance(fed, Fed)
    view = next(iter(attributed(engine, picture).views.values()))
    pixels = overlay(view)
    encoded = encode_picture(pixels, "JPEG", {"software": "saliency"})
    raw, _, _ = prepare_picture(document.arrays[""], spec, "stretch")
    array = Npy().encode([view])
    record = ItemRecord(id="x", status="ok")
    with Journal.open(folder / "journal", {}, resume=False, overwrite=False) as journal:
        return {
            "decode": timed(lambda: read_document(picture.name, data)),
            "prepare": timed(
                lambda: feeder.preparing[spec.name].apply(
                    prepare_picture(document.arrays[""], spec, "stretch")[0], spec.channels
                )
            ),
            "hash": timed(lambda: content_hash({"x": raw})),
            "summarise": timed(lambda: summarise(view.values, spec.channels, (), "")),
            "blend": timed(lambda: overlay(view)),
            "encode": timed(lambda: encode_picture(pixels, "JPEG", {"software": "saliency"})),
            "npy": timed(lambda: Npy().encode([view])),
            "write": timed(lambda: (write_whole(folder / "a.jpg", encoded), write_whole(folder / "a.npy", array))),
            "journal": timed(lambda: journal.append(record)),
        }


def measure() -> list[Row]:
    with workshop() as shared, tempfile.TemporaryDirectory(dir=shared) as name:
        folder, path = Path(name), model(shared, "mobilenet")
        pictures = photographs(shared, PICTURES, (640, 480))
        loop = bare(path, BATCH)
        engine = open_engine(ComputeRequest(str(path), batch_size=BATCH), single=False)
        first = next(pictures.iterdir())
        attributed(engine, first)
        request = ComputeRequest(
            str(path), (str(pictures),), out=str(folder / "out"), formats=("overlay", "npy"), batch_size=BATCH
        )

        def ours() -> Spent:
            shutil.rmtree(folder / "out", ignore_errors=True)
            return clocked(lambda: compute(request, Silent(), lambda *_, **__: engine))

        a, b = interleaved(ROUNDS, ours, lambda: clocked(lambda: loop(PICTURES // BATCH)))
        parts = stages(engine, first, folder)
        return rows(a, b, parts)


def rows(ours: list[Spent], engine: list[Spent], parts: dict[str, float]) -> list[Row]:
    """Return the bound's row, and what our CPU is spent on."""
    own = sum(parts.values()) / 1000 * PICTURES
    best = min(range(len(ours)), key=lambda i: ours[i].wall / engine[i].wall)
    found, bare_loop = ours[best], engine[best]
    floor = max(bare_loop.wall, (bare_loop.cpu + own) / CORES)
    each = 1000 / PICTURES
    note = (
        f"{each * found.wall:.1f} ms a picture; engine {each * bare_loop.wall:.1f} ms wall, "
        f"{each * bare_loop.cpu:.1f} ms CPU; own CPU {each * own:.1f} ms"
    )
    listed = " · ".join(f"{stage} {ms:.1f}" for stage, ms in parts.items())
    extra = each * (found.cpu - bare_loop.cpu)
    return [
        Row.ratio(f"{PICTURES} photographs, mobilenet, overlay+npy : floor", "1.05", found.wall / floor, BOUND, note),
        Row("CPU ms a picture by stage, each by itself", "10 in all", f"{listed}; in all {each * own:.1f}"),
        Row("CPU ms a picture beyond the engine's, in the run", "as the stages", f"{extra:.1f}"),
    ]  # fmt: skip


if __name__ == "__main__":
    finish(measure)

"""`--batch-size`, `--max-memory`: what fits is chosen once a run, and what turns out too large is halved."""

from dataclasses import replace

import numpy as np
import pytest
from run_tools import maps, pictures
from stand_in import MODELS, Quadratic, open_stand_in

from saliency_cli.autodiff import memory as machine
from saliency_cli.autodiff.halving import Halving, halved
from saliency_cli.differentiable import GRADIENT
from saliency_cli.errors import ModelError, UsageError
from saliency_cli.runs.memory import Room, parse_size, room_for, settle_batch, told

SIZES = [
    ("800000000", 800_000_000), ("2g", 2 * 10**9), ("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("500MB", 5 * 10**8),
    (" 10 kb ", 10_000), ("1kib", 1024), ("7b", 7), ("3TiB", 3 * 2**40),
]  # fmt: skip


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_a_size_is_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0GB", "-1", "1e9", "12XB", "ib", "GB", "1.GB", "1,5GB", "nan", "50%"])
def test_what_is_no_size_is_told(text):
    with pytest.raises(UsageError, match="is no size") as caught:
        parse_size(text)
    assert "500MB" in caught.value.hint


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (1, "1B"), (999, "999B"), (1000, "1kB"), (98_014, "99kB"), (1_534_900, "2MB"), (10**9, "1.0GB"),
        (3_010_000_000, "3.1GB"),
    ],
)  # fmt: skip
def test_a_size_that_is_told_can_be_typed_and_is_no_smaller(size, text):
    assert told(size) == text
    assert parse_size(text) >= size


def test_the_room_is_shared_by_the_workers(monkeypatch):
    monkeypatch.setattr(machine, "available", lambda: 8_000)
    assert room_for("1MB", "/CPU:0", 4) == Room(250_000, given=True, shared=4)
    assert room_for(None, "/CPU:0", 2) == Room(3_000)
    assert room_for(None, "/GPU:0", 1) == Room(None)
    monkeypatch.setattr(machine, "available", lambda: None)
    assert room_for(None, "/CPU:0", 2) == Room(None)


class Sized:
    """A compiled function that takes a kilobyte a row, and tells so with the margin left out."""

    def __init__(self, batch):
        self.batch = batch

    @property
    def footprint(self):
        return 1000 / 1.1 * self.batch


def settled(usual=16, asked=None, limit=None, *, given=True, fixed=False, points=None, build=Sized, device="/CPU:0"):
    return settle_batch(build, usual, asked, Room(limit, given), fixed=fixed, points=points, device=device)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 16),
        ({"limit": 16_001}, 16),
        ({"limit": 15_000}, 8),
        ({"limit": 7_000}, 1),
        ({"usual": 8, "limit": 7_000}, 1),
        ({"usual": 1, "limit": 2_000}, 1),
        ({"asked": 32, "limit": 32_001}, 32),
        ({"asked": "auto", "limit": 10**6}, 128),
        ({"asked": "auto", "limit": 100_000}, 64),
        ({"asked": "auto", "limit": 10**6, "points": 40}, 32),
        ({"asked": "auto", "limit": 10**6, "points": 3}, 8),
        ({"asked": "auto", "limit": 7_000}, 1),
        ({"asked": "auto", "usual": 1, "limit": 10**6}, 1),
    ],
)
def test_the_largest_that_fits_and_is_worth_it(options, size):
    found = settled(**({"usual": options["asked"]} if isinstance(options.get("asked"), int) else {}), **options)
    assert found.evaluator.batch == size
    assert found.record.limit == options.get("limit")
    assert found.record.predicted == pytest.approx(1000 * size, abs=1)
    fewer = options.get("asked") is None and size < options.get("usual", 16)
    assert bool(found.notes) == fewer
    if fewer:
        assert found.notes[0].startswith(f"batches of {size}, not {options.get('usual', 16)}")


def test_a_cache_is_quick_for_no_more_on_a_cpu():
    class Large(Sized):
        @property
        def footprint(self):
            return 10**7 * self.batch

    assert settled(asked="auto", build=Large).evaluator.batch == 32
    assert settled(asked="auto", build=Large, device="/GPU:0").evaluator.batch == 128


def test_what_does_not_fit_is_refused_with_what_would():
    with pytest.raises(ModelError, match="one sample takes about 1kB, and --max-memory leaves it 500B") as one:
        settled(limit=500)
    assert one.value.reason == "memory"
    assert one.value.hint.startswith("--max-memory 1kB at least")
    with pytest.raises(UsageError, match="a batch of 32 takes about 32kB, and --max-memory leaves it 9kB") as batch:
        settle_batch(Sized, 32, 32, Room(9_000, given=True, shared=2), fixed=False, points=None, device="/CPU:0")
    assert batch.value.hint == "--batch-size auto, or --max-memory 64kB at least"
    with pytest.raises(UsageError) as fixed:
        settled(usual=4, limit=900, fixed=True)
    assert fixed.value.hint == "--max-memory 4kB at least"


def test_what_the_machine_has_no_room_for_is_made_smaller_and_never_refused():
    def build(size):
        if size > 8:
            raise ModelError("too large", reason="memory")
        return Sized(size)

    assert settled(limit=None, given=False, build=build).evaluator.batch == 8
    assert settled(limit=10, given=False).evaluator.batch == 1


def scarce(most):
    """Return how evaluators of the stand-in are built on a machine that holds `most` rows at a time."""

    class Scarce(Quadratic):
        def __call__(self, *arguments):
            if self.batch > most:
                raise ModelError("memory ran out", reason="memory") if self.batch % 2 else MemoryError
            return super().__call__(*arguments)

    return lambda size: Scarce("picture", MODELS["picture"], size, None)


@pytest.mark.parametrize(
    ("batch", "most", "note"),
    [(16, 8, "of 8, not 16"), (40, 20, "of 16, not 40"), (12, 1, "1, not 12"), (9, 4, "1, not 9")],
)
def test_halves_add_up_to_the_batch(batch, most, note):
    rng = np.random.default_rng(5)
    inputs = {"x": rng.random((batch, 8, 8, 3), np.float32)}
    rows = rng.random((batch, 3)).astype(np.float32), np.arange(batch) % 2 == 0, np.zeros(batch, np.float32)
    whole, build = scarce(batch)(batch), scarce(most)
    halving = Halving(build(batch), build)
    assert (halving.batch, halving.note) == (batch, "")
    for _ in range(2):
        found, expected = halving(inputs, *rows, GRADIENT), whole(inputs, *rows, GRADIENT)
        for name in ("values", "tops", "logits", "scores"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        np.testing.assert_array_equal(found.gradients["x"], expected.gradients["x"])
        assert note in halving.note
        assert "memory ran out" in halving.note


def test_sizes_go_down_by_eights_to_one():
    sizes = [128]
    while sizes[-1] > 1:
        sizes.append(halved(sizes[-1]))
    assert sizes == [128, 64, 32, 16, 8, 1]
    assert [halved(size) for size in (40, 24, 12, 9)] == [16, 8, 1, 1]


def test_one_sample_that_memory_does_not_hold_is_an_error_and_so_is_another_fault():
    def failing(reason):
        class Failing(Quadratic):
            def __call__(self, *_):
                raise ModelError("it fails", reason=reason)

        return lambda size: Failing("picture", MODELS["picture"], size, None)

    for reason, size in (("memory", 1), ("other", 16)):
        halving = Halving(failing(reason)(16), failing(reason))
        with pytest.raises(ModelError, match="it fails"):
            halving({"x": np.zeros((16, 8, 8, 3), np.float32)}, *[np.zeros(16)] * 3)
        assert halving._evaluator.batch == size


def test_a_run_that_ran_out_has_the_same_maps_and_says_so(compute):
    """In the records of what was evaluated in halves, once to the listener, and never in a map's bytes."""
    pictures("in", 11)
    build = scarce(1)

    def opened(request, *, single):
        engine = open_stand_in(request, single=single)
        halving = Halving(build(engine.evaluator.batch), build)
        return replace(engine, evaluator=halving, ran_out=lambda: halving.note)

    compute("in", out="plenty", formats=("npy",))
    report, heard = compute("in", out="out", formats=("npy",), open_engine=opened)
    assert maps("out") == maps("plenty")
    assert report.run.counts.ok == 11
    note = f"in batches of 1, not {report.run.batch_size}: memory ran out"
    assert [each.split(": ", 1)[1] for each in heard.notices if "ran out" in each] == [note]
    assert all(record.sources["x"].notes == [note] for record in heard.records)

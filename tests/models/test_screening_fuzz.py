"""Damaged HDF5: bytes of a good file flipped at random. Each ends as a message or passes; nothing hangs."""

import json
from concurrent.futures import ThreadPoolExecutor

import h5py
import hostile
import numpy as np
import pytest

from saliency_cli.errors import ModelError
from saliency_cli.models.screening.parent import screen

REASONS = {"damaged", "refused-link", "refused-file", "refused-size", "refused-code", "custom-class"}


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    """A small file with what real ones have: groups, lists of names, packed and plain arrays."""
    path = tmp_path_factory.mktemp("seed") / "seed.h5"

    def fill(file):
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"dense", b"packed"]
        for name in ("dense", "packed"):
            inner = group.create_group(name)
            inner.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            inner.create_dataset(
                "kernel:0", data=np.arange(64, dtype="f4").reshape(8, 8), chunks=(4, 4), compression=4
            )
            inner.create_dataset("bias:0", data=np.zeros(8, "f4"))

    return hostile.keras_hdf5(path, hostile.sequential(hostile.dense()), fill).read_bytes()


def flipped(good: bytes, number: int) -> bytes:
    drawn = np.random.default_rng(number)
    data = bytearray(good)
    for at in drawn.integers(0, len(data), drawn.integers(1, 9)):
        data[at] = drawn.integers(0, 256)
    return bytes(data)


def outcome(data: bytes, path) -> str:
    path.write_bytes(data)
    reason = "passed"
    try:
        screen(path, trust=False)
    except ModelError as error:
        reason = error.reason if len(error.message) < 600 else "too long a message"
    path.unlink()
    return reason


def tally(good: bytes, numbers: range, folder) -> dict[str, int]:
    found: dict[str, int] = {}
    with ThreadPoolExecutor(2) as pool:
        for reason in pool.map(lambda n: outcome(flipped(good, n), folder / f"{n}.h5"), numbers):
            found[reason] = found.get(reason, 0) + 1
    return found


def test_flipped_bytes_end_as_a_message_or_pass(seed, tmp_path):
    found = tally(seed, range(300), tmp_path)
    assert set(found) <= REASONS | {"passed", "not-a-model"}
    assert found["passed"] > 50, found
    assert found["damaged"] > 20, found


@pytest.mark.slow
def test_thousands_of_flipped_bytes_end_as_a_message_or_pass(seed, tmp_path):
    found = tally(seed, range(300, 5_300), tmp_path)
    print(json.dumps(found))
    assert set(found) <= REASONS | {"passed", "not-a-model"}
    assert found["passed"] > 500


def test_every_cut_of_a_file_ends_as_a_message(seed, tmp_path):
    for length in range(1, len(seed), len(seed) // 12):
        assert outcome(seed[:length], tmp_path / "cut.h5") in ("damaged", "passed")


def test_the_seed_itself_passes(seed, tmp_path):
    assert outcome(seed, tmp_path / "seed.h5") == "passed"
    (tmp_path / "again.h5").write_bytes(seed)
    with h5py.File(tmp_path / "again.h5") as file:
        assert file["model_weights/packed/kernel:0"].chunks == (4, 4)

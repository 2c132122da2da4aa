"""Everything that can go wrong, one file a case: see `tests/cases/README.md`."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import filelock
import numpy as np
import pytest
from PIL import Image
from run_tools import array, picture, tree

CASES = sorted((Path(__file__).parents[1] / "cases").glob("*.toml"))


def _changed(name, change):
    Path(name).write_bytes(change(Path(name).read_bytes()))


def _truncated(name, _):
    picture(name)
    _changed(name, lambda data: data[:200])


def _cut_array(name, _):
    array(name, (8, 8, 3))
    _changed(name, lambda data: data[:-100])


def _nan(name, detail):
    values = np.ones(_shape(detail), np.float32)
    values.flat[1] = np.nan
    np.save(name, values)


def _shape(detail):
    return tuple(int(size) for size in detail.split("x"))


KINDS = {
    "picture": lambda name, _: picture(name),
    "white": lambda name, _: Image.new("RGB", (8, 8), "white").save(name),
    "truncated": _truncated,
    "text": lambda name, detail: Path(name).write_text(detail),
    "bytes": lambda name, detail: Path(name).write_bytes(bytes.fromhex(detail)),
    "array": lambda name, detail: array(name, _shape(detail)),
    "cut-array": _cut_array,
    "nan": _nan,
    "pickle": lambda name, _: np.save(name, np.array([{}], object), allow_pickle=True),
    "pair": lambda name, _: np.savez(name, left=np.ones((8, 8, 3), np.float32), right=np.ones(4, np.float32)),
    "folder": lambda name, _: Path(name).mkdir(),
}


@pytest.fixture
def prepare(compute):
    """Return a function: name, kind → the file is there. `run` is a finished run, `locked` one being written."""
    held = []

    def make(name, kind):
        kind, _, detail = kind.partition(":")
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        if kind in KINDS:
            KINDS[kind](name, detail)
            return
        compute("good.png", out=name)
        if kind == "locked":
            held.append(filelock.FileLock(Path(name) / ".lock"))
            held[-1].acquire()

    yield make
    for lock in held:
        lock.release()


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_case(path, saliency, prepare):
    case = tomllib.loads(path.read_text())
    for name, kind in case.get("files", {}).items():
        prepare(name, kind)
    command = shlex.split(case["command"])
    told = saliency(*command, *(["--jsonl"] if "reason" in case else []), stdin=case.get("stdin", "").encode())
    assert told.code == case["code"], told.err
    lines = told.err.splitlines()
    for expected in case["stderr"]:
        pattern = ".*".join(map(re.escape, expected.split("…")))
        assert any(re.fullmatch(pattern, line) for line in lines), f"{expected!r} is not among\n{told.err}"
    assert "Traceback" not in told.err
    if "stdout" in case:
        assert told.out == case["stdout"]
    if "reason" in case:
        records = [json.loads(line) for line in told.out.splitlines()]
        failed = {record["id"]: record["error"]["reason"] for record in records if record["status"] == "error"}
        assert failed == {name.strip("'"): reason for name, reason in case["reason"].items()}
        assert [record["id"] for record in records if record["status"] == "ok"] == case["done"]
    if "there" in case:
        assert tree(".") == case["there"]

"""`--files-from`: names one a line, answered as they arrive."""

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from run_tools import array, called, journal, maps, picture, pictures, start

from saliency_cli.errors import UsageError


def listed(data):
    Path("list").write_bytes(data)
    return "list"


@pytest.mark.parametrize(
    ("data", "null"),
    [
        (b"in/0.png\nin/1.png\n", False),
        (b"in/0.png\nin/1.png", False),
        (b"in/0.png\r\nin/1.png\r\n", False),
        (b"in/0.png\r\n\r\n  \nin/1.png\r", False),
        (b"\xef\xbb\xbfin/0.png\nin/1.png\n", False),
        (b"in/0.png\0in/1.png\0", True),
        (b"in/0.png\0\0in/1.png", True),
    ],
)
def test_lines_of_every_kind(compute, data, null):
    pictures("in", 2)
    report, heard = compute(files_from=listed(data), null_separated=null, out="out")
    assert (report.exit_code, heard.done) == (0, ["in/0.png", "in/1.png"])
    assert heard.totals == [None]


def test_nul_separated_names_are_taken_to_the_byte(compute):
    names = [b"a\nb.png", b"a\r", b" ", b"\xff.png", b"tab\tb.png"]
    for name in names:
        called(name)
    _, heard = compute(files_from=listed(b"\0".join(b"in/" + name for name in names)), null_separated=True, out="out")
    assert (len(heard.done), heard.failed) == (5, {})


def test_a_long_list_comes_in_pieces(compute):
    pictures("in", 1)
    _, heard = compute(files_from=listed(b"in/0.png\n" + b"x" * 70_000 + b"\nin/0.png"))
    assert heard.done == ["in/0.png", "in/0.png"]
    assert len(heard.failed) == 1


def test_pairs_on_a_line(compute):
    picture("x.png")
    picture("a=b.png")
    array("y.npy", (4,))
    lines = b"left=x.png\tright=y.npy\nx.png\ty.npy\nleft=a=b.png\tright=y.npy\nx.png\nnone=x.png\tright=y.npy\n"
    _, heard = compute(files_from=listed(lines), model="pair.keras", out="out", formats=("npy",))
    assert heard.done == ["x.png+y.npy", "x.png+y.npy", "a=b.png+y.npy"]
    assert heard.failed["x.png"].reason == "several-inputs"
    assert {error.reason for error in heard.failed.values()} >= {"several-inputs"}
    assert len(heard.records) == 5


def test_a_line_with_a_dash_is_a_file_s_name(compute):
    picture("in.png")
    Path("in.png").rename("-")
    _, heard = compute(files_from=listed(b"-\n"))
    assert heard.done == ["-"]


def test_arguments_come_before_lines(compute):
    pictures("in", 3)
    _, heard = compute("in/2.png", files_from=listed(b"in/0.png\n"))
    assert heard.done == ["in/2.png", "in/0.png"]


def test_a_bad_line_stops_nothing(compute):
    pictures("in", 2)
    Path("in/bad.png").write_text("text")
    _, heard = compute(files_from=listed(b"in/0.png\nnone.png\nin\nin/bad.png\nin/1.png\n"), out="out")
    assert heard.done == ["in/0.png", "in/1.png"]
    assert [(i, e.reason) for i, e in heard.failed.items()] == [
        ("none.png", "missing-file"), ("in", "not-a-file"), ("in/bad.png", "not-a-picture"),
    ]  # fmt: skip


def test_the_same_line_again_is_answered_again_and_journalled_once(compute):
    picture("x.png")
    _, heard = compute(files_from=listed(b"x.png\nx.png\nx.png\n"), out="out")
    assert heard.done == ["x.png"] * 3
    assert [line["id"] for line in journal("out")] == ["x.png"]


def test_a_fifo_of_names(compute):
    pictures("in", 2)
    os.mkfifo("names")
    feeding = threading.Thread(target=lambda: Path("names").write_bytes(b"in/0.png\nin/1.png\n"))
    feeding.start()
    _, heard = compute(files_from="names")
    feeding.join()
    assert heard.done == ["in/0.png", "in/1.png"]


def test_an_empty_list_is_an_empty_run(compute):
    report, heard = compute(files_from=listed(b""), out="out")
    assert (report.exit_code, heard.records, journal("out"), maps("out")) == (0, [], [], {})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"files_from": "nowhere"}, "there is no file 'nowhere'"),
        ({"files_from": "."}, "there is no file '.'"),
        ({"files_from": "-", "inputs": ("-",)}, "stdin can be read once"),
        ({"files_from": "list", "named_inputs": (("x", "x.png"),)}, "both with --input and with --files-from"),
        ({"files_from": "list", "out": "o.png"}, "--files-from"),
        ({"files_from": "list", "dry_run": True}, "--dry-run can't tell"),
    ],
)
def test_lists_that_cannot_be_meant(compute, fields, words):
    listed(b"")
    with pytest.raises(UsageError, match=words):
        compute(*fields.pop("inputs", ()), **fields)


def test_every_line_is_answered_before_the_next_is_sent(here):
    pictures("in", 5)
    with start(
        "compute", "picture.keras", "--files-from", "-", "--jsonl", "-o", "out", "--batch-size", "4",
        cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
    ) as process:  # fmt: skip
        guard = threading.Timer(30, process.kill)
        guard.start()
        for name in ("0", "1", "missing", "2", "3"):
            process.stdin.write(f"in/{name}.png\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert answer["id"] == f"in/{name}.png"
            assert answer["status"] == ("error" if name == "missing" else "ok")
            assert len(journal("out")) == len(set(journal_ids())) > 0
        process.stdin.write("in/4.png")  # the last line needs no end
        process.stdin.close()
        assert json.loads(process.stdout.readline())["id"] == "in/4.png"
        assert process.wait(10) == 3
        guard.cancel()
        process.stderr.read()


def journal_ids():
    return [line["id"] for line in journal("out")]


def test_many_lines_at_once_share_batches(compute, monkeypatch):
    from stand_in import Quadratic

    batches = []
    original = Quadratic.__call__
    monkeypatch.setattr(Quadratic, "__call__", lambda self, *a: batches.append(1) or original(self, *a))
    pictures("in", 16)
    compute(files_from=listed(b"".join(b"in/%d.png\n" % n for n in range(16))), batch_size=8)
    assert len(batches) == 2

"""What a run shows: a person's lines, a pipe's paths, a program's JSON."""

import json
import math
import sys

import pytest

from saliency_cli.cli import progress, terminal
from saliency_cli.cli.lines import cells, duration, line, shorten
from saliency_cli.cli.terminal import Display, Terminal
from saliency_cli.records import (
    CountsRecord,
    ErrorRecord,
    InputMapRecord,
    ItemRecord,
    MapRecord,
    PredictionRecord,
    RunRecord,
    TargetRecord,
)
from saliency_cli.runs.report import Report


def item(name="cat.png", label="tabby", files=("cat.saliency.png",), l2=3.2, seconds=0.12):
    return ItemRecord(
        id=name,
        status="ok",
        prediction=PredictionRecord(output="out", kind="class", score=0.91, index=3, label=label),
        maps=[
            MapRecord(
                method="gradient",
                target=TargetRecord(text="top", output="out", space="logit", label=label, value=math.nan),
                inputs={"x": InputMapRecord(shape=[2, 2], l1=1, l2=l2, max=1, zeros=0, sum=0)},
                files={f"kind{number}": file for number, file in enumerate(files)},
            )
        ],
        seconds=seconds,
    )


def failure(name="bad.png", hint="open it in a viewer"):
    return ItemRecord(id=name, status="error", error=ErrorRecord(reason="r", message="not a picture", hint=hint))


@pytest.fixture
def as_person(monkeypatch):
    """Make stdout a terminal; stderr stays a pipe."""
    monkeypatch.setattr(terminal, "is_terminal", lambda stream: True)


def test_a_line_is_aligned_and_fits():
    assert line(item(), ["cat.saliency.png"], 80) == (
        "cat.png            tabby 0.91        |g| 3.2      0.12 s  cat.saliency.png"
    )


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    "record",
    [
        item("a" * 90 + "-0017.png", "giant schnauzer of the north", l2=1.2e-19, seconds=12345.6),
        item("猫" * 60 + ".png", "虎斑猫" * 9),
        item(label=None),
        item(seconds=59.96),
        ItemRecord(id="x.png", status="ok"),
    ],
    ids=lambda record: record.id[:9],
)
def test_no_line_is_wider_than_the_terminal(record, width):
    text = line(record, ["maps/" + "b" * 90 + ".png", "other"], width)
    assert cells(text) <= width
    assert "\n" not in text


def test_a_long_name_loses_its_middle():
    assert shorten("photograph-of-a-cat-0017.png", 15) == "photogr…017.png"
    assert cells(shorten("猫" * 20, 9)) <= 9


def test_a_name_cannot_steer_the_terminal():
    assert "\x1b" not in line(item("\x1b[2J.png", "\x1b[31m"), ["\x1b.png"], 80)


@pytest.mark.parametrize(("seconds", "text"), [(0.12, "0.12 s"), (3.21, "3.2 s"), (125, "2:05"), (3725, "1:02:05")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_a_person_gets_a_line(as_person, capfd):
    Terminal(Display()).item(item())
    assert capfd.readouterr().out == line(item(), ["cat.saliency.png"], 80) + "\n"


def test_a_pipe_gets_the_picture_s_path(capfd):
    Terminal(Display()).item(item(files=("maps/cat.png", "maps/cat.npy")))
    assert capfd.readouterr() == ("maps/cat.png\n", "")


def test_paths_lead_to_the_run_folder(capfd, tmp_path):
    Terminal(Display(out=str(tmp_path))).item(item(files=("maps/cat.png",)))
    assert capfd.readouterr().out == f"{tmp_path}/maps/cat.png\n"


def test_arrays_are_named_where_there_is_no_picture(capfd):
    Terminal(Display()).item(item(files=("a.npy", "a.json")))
    assert capfd.readouterr().out == "a.npy\na.json\n"


def test_a_name_that_is_no_text_reaches_the_pipe_whole(capfdbinary):
    Terminal(Display()).item(item(files=("caf\udce9.png",)))
    assert capfdbinary.readouterr().out == b"caf\xe9.png\n"


def test_with_the_picture_on_stdout_the_line_goes_to_stderr(capfd):
    Terminal(Display(out="-")).item(item(files=()))
    out, told = capfd.readouterr()
    assert out == ""
    assert told.startswith("cat.png ")


def test_a_failed_input_is_told_and_its_hint_once(capfd):
    listener = Terminal(Display(quiet=True))
    listener.item(failure())
    listener.item(failure("worse.png"))
    assert capfd.readouterr() == (
        "",
        "error: bad.png: not a picture\nhint: open it in a viewer\nerror: worse.png: not a picture\n",
    )


def test_warnings_are_told_once_and_quiet_silences_them(capfd):
    for quiet in (False, True):
        listener = Terminal(Display(quiet=quiet))
        for _ in range(2):
            listener.warning("the preparing is guessed")
            listener.notice("first of 12 frames")
        told = capfd.readouterr().err
        assert told == ("" if quiet else "warning: the preparing is guessed\nnote: first of 12 frames\n")


def test_quiet_prints_no_line(as_person, capfd):
    listener = Terminal(Display(quiet=True))
    listener.item(item())
    listener.item(item())
    listener.finished(Report(RunRecord(), failures=0, out=None))
    assert capfd.readouterr() == ("", "")


def test_verbose_tells_the_target(capfd):
    Terminal(Display(verbose=1)).item(item())
    assert "note: cat.png: gradient of tabby (logit) = nan\n" in capfd.readouterr().err


def test_the_summary_of_several(capfd, tmp_path):
    listener = Terminal(Display(out=str(tmp_path)))
    for record in (item(), item(), failure()):
        listener.item(record)
    capfd.readouterr()
    run = RunRecord(seconds=3.21, counts=CountsRecord(skipped=4), flags={"all-zero": 1})
    listener.finished(Report(run, failures=1, out=str(tmp_path)))
    assert capfd.readouterr() == ("", f"2 done, 4 done before, 1 failed, 1 all-zero in 3.2 s → {tmp_path}/\n")


def test_one_input_needs_no_summary(capfd):
    listener = Terminal(Display())
    listener.item(item())
    capfd.readouterr()
    listener.finished(Report(RunRecord(), failures=0, out=None))
    assert capfd.readouterr() == ("", "")


def test_json_is_one_document_with_the_items(capfd):
    listener = Terminal(Display(form="json"))
    listener.item(item())
    listener.item(failure())
    assert capfd.readouterr().out == ""
    listener.finished(Report(RunRecord(status="done"), failures=1, out=None))
    document = json.loads(capfd.readouterr().out)
    assert [entry["status"] for entry in document["items"]] == ["ok", "error"]
    assert document["items"][0]["maps"][0]["target"]["value"] is None  # NaN
    assert document["items"][1]["error"]["reason"] == "r"


def test_json_keeps_the_run_s_own_items(capfd):
    Terminal(Display(form="json")).finished(Report(RunRecord(items=[item("kept.png")]), failures=0, out=None))
    assert [entry["id"] for entry in json.loads(capfd.readouterr().out)["items"]] == ["kept.png"]


def test_jsonl_is_a_line_as_soon_as_a_sample_is_done(capfd):
    listener = Terminal(Display(form="jsonl"))
    listener.item(item())
    assert json.loads(capfd.readouterr().out)["id"] == "cat.png"
    listener.item(failure())
    out, told = capfd.readouterr()
    assert json.loads(out)["status"] == "error"
    assert told.startswith("error: bad.png")


@pytest.fixture
def terminal_stderr(monkeypatch):
    """Make stderr a terminal."""
    monkeypatch.setattr(progress, "is_terminal", lambda stream: stream is sys.stderr)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")


def test_loading_is_shown_at_once_and_erased(terminal_stderr, monkeypatch, capfd):
    monkeypatch.setenv("NO_COLOR", "1")  # is about colour, not about erasing
    listener = Terminal(Display())
    listener.loading("models/model.keras")
    assert capfd.readouterr().err == "\r\x1b[KLoading model.keras …"
    listener.close()
    assert capfd.readouterr().err == "\r\x1b[K"


def test_the_bar_shows_what_is_done_and_leaves_no_trace(terminal_stderr, capfd):
    listener = Terminal(Display())
    listener.planned(4)
    listener.item(item())
    assert capfd.readouterr() == ("cat.saliency.png\n", "")
    listener._progress.show()  # what the timer does after two seconds
    listener.item(item())
    listener.close()
    out, shown = capfd.readouterr()
    assert out == "cat.saliency.png\n"
    assert "1/4" in shown
    assert "left" in shown
    assert shown.endswith(("\x1b[2K", "\x1b[1A\x1b[2K", "\x1b[?25h\r\x1b[1A\x1b[2K"))


def test_the_bar_comes_by_itself_when_one_sample_is_slow(terminal_stderr, monkeypatch, capfd):
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    listener = Terminal(Display())
    listener.planned(1)
    listener._progress._timer.join()
    listener.close()
    assert "0/1" in capfd.readouterr().err


def test_quiet_shows_no_bar(terminal_stderr, monkeypatch, capfd):
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    listener = Terminal(Display(quiet=True))
    listener.loading("m.keras")
    listener.planned(4)
    listener.item(item())
    listener.close()
    assert capfd.readouterr().err == ""

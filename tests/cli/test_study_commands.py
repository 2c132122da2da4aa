"""What the commands beside `compute` say of themselves, and hand to a pipe."""

import re

import pytest

from saliency_cli.cli.tables import table
from saliency_cli.cli.terminal import Display, Terminal
from saliency_cli.records import ItemRecord, RunRecord
from saliency_cli.runs import studying
from saliency_cli.runs.report import Report

DEFAULTS = {
    "jacobian": "NAME.jacobian.npz and .png",
    "hessian": "NAME.hessian.npz and .png",
    "perturb": "NAME.perturb.after.png",
    "maximize": "NAME.maximize.png",
    "parameters": "nothing written",
}


@pytest.mark.parametrize("command", DEFAULTS)
def test_out_tells_the_command_s_own_default(saliency, command):
    code, told, _ = saliency(command, "--help")
    assert code == 0
    (out,) = re.findall(r"-o, --out PATH(.*?\])", " ".join(told.split()))
    assert DEFAULTS[command] in out
    assert "saliency.png" not in told
    assert "stdout" not in out, "only compute writes a picture there"
    assert "--jobs" not in told, "these commands have no workers"


def item(**files):
    return ItemRecord(id="in/cat.png", status="ok", results={"outcome": "x"}, files=files)


def test_a_pipe_gets_every_file_of_a_study(capfd):
    """The arrays are what `jacobian` is for, its picture only shows them."""
    Terminal(Display(tell=lambda _: "told")).item(item(grid="cat.jacobian.png", matrix="cat.jacobian.npz"))
    assert capfd.readouterr().out == "cat.jacobian.png\ncat.jacobian.npz\n"


def test_a_pipe_never_gets_the_input_for_a_file_that_was_not_written(capfd):
    """`saliency perturb … | xargs rm` must not remove what could not be flipped."""
    Terminal(Display(tell=lambda _: "not flipped")).item(item())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("fields", "files", "told"),
    [
        ({}, {}, "note: in/cat.png: not flipped\n"),
        ({}, {"after": "cat.png"}, ""),
        ({"quiet": True}, {}, ""),
        ({"dry_run": True}, {}, ""),
        ({"form": "json"}, {}, ""),
    ],
)
def test_a_lone_input_without_a_file_is_told_of_beside_the_pipe(capfd, fields, files, told):
    terminal = Terminal(Display(**{"tell": lambda _: "not flipped", **fields}))
    terminal.item(item(**files))
    terminal.finished(Report(RunRecord(status="done"), 0, None))
    captured = capfd.readouterr()
    assert captured.err == told
    assert ("not flipped" in captured.out) == 0


def test_of_several_inputs_the_summary_tells(capfd):
    terminal = Terminal(Display(tell=lambda _: "not flipped"))
    terminal.item(item())
    terminal.item(item())
    terminal.finished(Report(RunRecord(status="done"), 0, None))
    assert capfd.readouterr().err == "2 done in 0.00 s\n"


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ({"tried": 16, "flipped": 5, "already": 0}, "2 done, 5 of 16 flipped in 3.2 s"),
        ({"tried": 1600, "flipped": 0, "already": 3}, "2 done, 0 of 1,600 flipped, 3 already in 3.2 s"),
        ({"tried": 0, "flipped": 0, "already": 2}, "2 done, 2 already in 3.2 s"),
        ({}, "2 done in 3.2 s"),
    ],
)
def test_the_summary_of_perturb_tells_how_many_were_flipped(saliency, monkeypatch, capfd, results, told):
    def run_study(request, study, listen):
        listen.item(item())
        listen.item(item())
        report = Report(RunRecord(status="done", seconds=3.21, results=results), 0, request.out)
        listen.finished(report)
        return report

    monkeypatch.setattr(studying, "run_study", run_study)
    assert saliency("perturb", "model.keras", "a.png", "b.png") == (0, "", f"{told}\n")


@pytest.mark.parametrize(
    "command", [("perturb", "model.keras", "a.npz"), ("maximize", "model.keras", "--target", "0")]
)
def test_ranges_are_read_by_the_name_of_their_input(saliency, monkeypatch, command):
    seen = []

    def run_study(request, study, listen):
        seen.append(study.options()["valid_range"])
        return Report(RunRecord(status="done"), 0, request.out)

    monkeypatch.setattr(studying, "run_study", run_study)

    def given(*ranges):
        options = [word for each in ranges for word in ("--valid-range", each)]
        return saliency(*command, *options)

    for ranges in ((), ("-1,1",), ("img=0,1", "a=b=-2,3.5"), ("0,1", "age=0,120")):
        assert given(*ranges)[0] == 0
    assert seen == [None, (-1, 1), {"img": (0, 1), "a=b": (-2, 3.5)}, {"": (0, 1), "age": (0, 120)}]
    for ranges, words in (
        (("=0,1",), "'=0,1' is not NAME=LOW,HIGH"),
        (("img=1,0",), "'1,0' is not LOW,HIGH: the first must be below"),
        (("img=1",), "'1' is not LOW,HIGH"),
        (("img=0,1", "img=0,2"), "--valid-range is given twice for img"),
        (("0,1", "0,2"), "--valid-range is given twice"),
    ):
        code, _, error = given(*ranges)
        assert code == 2
        assert words in " ".join(error.split())


def test_rows_of_a_table_that_are_shortened_stay_different():
    rows = [[f"Lenet/conv{i}/Conv2D", "1,234", "of some length"] for i in range(12)]
    lines = table(["layer", "weights", "words"], rows, 40)[1:]
    assert len({line.split()[0] for line in lines}) == 12
    assert all(len(line) <= 40 for line in lines)
    assert "conv3/Conv2D" in lines[3]

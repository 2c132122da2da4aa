"""Whatever happens ends with the exit code that the design gives it."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from saliency_cli.cli.stopping import TerminatedError
from saliency_cli.errors import InputError, ModelError, OutputError, UsageError


def raising(error):
    def compute(request, listen):
        raise error

    return compute


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no"), 2),
        (InputError("no"), 3),
        (ModelError("no"), 4),
        (OutputError("no"), 5),
        (OSError(errno.ENOSPC, "No space left on device"), 5),
        (click.ClickException("no"), 2),
        (click.Abort(), 130),
        (KeyboardInterrupt(), 130),
        (TerminatedError(), 143),
        (SystemExit(7), 7),
        (SystemExit(None), 0),
        (SystemExit("words"), 70),
        (click.exceptions.Exit(4), 4),
        (ZeroDivisionError("no"), 70),
        (BrokenPipeError(errno.EPIPE, "of some worker, not of stdout"), 70),
    ],
    ids=repr,
)
def test_exit_code(saliency, fake_compute, tmp_path, monkeypatch, error, code):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fake_compute(raising(error))
    assert saliency("compute", "m.keras", "x.png")[0] == code


def test_a_saliency_error_is_two_plain_lines(saliency, fake_compute):
    fake_compute(raising(ModelError("'m.keras' is not a model", hint="saliency inspect m.keras")))
    assert saliency("compute", "m.keras", "x.png") == (
        4,
        "",
        "error: 'm.keras' is not a model\nhint: saliency inspect m.keras\n",
    )


def test_a_file_name_does_not_steer_the_terminal(saliency, fake_compute):
    fake_compute(raising(InputError("can't read '\x1b[2Jx.png'")))
    assert "\x1b" not in saliency("compute", "m.keras", "x.png")[2]


def test_a_bug_keeps_its_traceback_in_a_file(saliency, fake_compute, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fake_compute(raising(ZeroDivisionError("by zero")))
    code, _, told = saliency("compute", "m.keras", "x.png")
    (kept,) = tmp_path.iterdir()
    assert code == 70
    assert "error: this is a bug in saliency: ZeroDivisionError: by zero" in told
    assert f"report it at the issue tracker with {kept}" in told
    assert "Traceback" not in told
    assert "Traceback" in kept.read_text()


def test_debug_prints_the_traceback(saliency, fake_compute):
    fake_compute(raising(ModelError("broken")))
    told = saliency("compute", "m.keras", "x.png", "--debug")[2]
    assert "Traceback" in told
    assert told.endswith("error: broken\n")


def test_an_interrupt_says_what_is_done_and_what_to_type(saliency, fake_compute, tmp_path):
    def compute(request, listen):
        listen.planned(40)
        raise KeyboardInterrupt

    fake_compute(compute)
    code, _, told = saliency("compute", "m.keras", "x.png", "-o", str(tmp_path))
    assert code == 130
    assert told == "interrupted: 0 of 40 done\nhint: the same command with --resume goes on from there\n"
    told = saliency("compute", "m.keras", "x.png", "-o", str(tmp_path), "--overwrite")[2]
    assert told.endswith("with --resume in place of --overwrite goes on from there\n")


def test_without_a_folder_there_is_nothing_to_resume(saliency, fake_compute):
    fake_compute(raising(TerminatedError()))
    assert saliency("compute", "m.keras", "x.png")[2] == "terminated: before the first input was done\n"


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "0"}, False),
    ],
)
def test_colour_follows_the_environment(saliency, monkeypatch, environment, coloured):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in saliency("no-such-command")[2]) is coloured


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["metods"], "Did you mean one of: 'methods', 'metrics'?"),
        (["compute", "--ovrwrite", "x"], "Did you mean '--overwrite'?"),
        (["compute", "m.keras", "x.png", "--resize", "strech"], "Did you mean 'stretch'?"),
        (["completion", "bsh"], "Did you mean 'bash'?"),
        (["compute", "m.keras", "x.png", "--method", "gradiant"], "did you mean 'gradient'?"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_nearest(saliency, fake_methods, arguments, told):
    code, out, said = saliency(*arguments)
    assert (code, out) == (2, "")
    assert told in said


def test_a_model_in_the_place_of_a_command(saliency, tmp_path):
    wanted = "error: 'model.keras' is a file, not a command. Did you mean: saliency compute model.keras x.png?\n"
    assert saliency("model.keras", "x.png") == (2, "", wanted)
    existing = tmp_path / "no suffix"
    existing.touch()
    assert f"Did you mean: saliency compute '{existing}' x.png?" in saliency(str(existing), "x.png")[2]
    assert "is a folder, not a command" in saliency(str(tmp_path), "x.png")[2]


@pytest.mark.parametrize("arguments", [["--version"], ["-V"]])
def test_version(saliency, arguments):
    assert saliency(*arguments)[:2] == (0, "saliency 0.1.0\n")


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["compute", "-h"], ["methods", "-h"], ["inspect", "-h"]])
def test_help_goes_to_stdout(saliency, arguments):
    code, out, told = saliency(*arguments)
    assert (code, told) == (0, "")
    assert out.startswith("Usage: saliency")
    assert max(map(len, out.splitlines())) <= 80


def test_no_command_shows_the_help_and_is_a_usage_error(saliency):
    code, out, told = saliency()
    assert (code, out) == (2, "")
    assert told.startswith("Usage: saliency")


SCRIPT = """
import sys, types
from saliency_cli.cli import entry, parameters

class Methods:
    def summary(self, name): return name

def compute(request, listen):
    {body}

parameters.method_registry = Methods
module = types.ModuleType("saliency_cli.runs.compute")
module.compute = compute
sys.modules[module.__name__] = module
sys.argv[1:] = ["compute", "m.keras", "x.png"]
sys.exit(entry.main())
"""


def start(body, **pipes):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(body=body)], stderr=subprocess.PIPE, text=True, **pipes
    )


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [(signal.SIGINT, 130, "interrupted: "), (signal.SIGTERM, 143, "terminated: ")],
)
def test_a_signal_unwinds_the_run(number, code, told):
    body = (
        "import time\n    try: print('ready', flush=True); time.sleep(60)\n    finally: print('closed', flush=True)"
    )
    with start(body, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert out == "closed\n"
    assert said.startswith(told)


def test_a_reader_that_goes_away_is_no_error():
    body = "import click\n    for _ in range(100000): click.echo('x' * 100)"
    with start(body, stdout=subprocess.PIPE) as process:
        process.stdout.read(1)
        process.stdout.close()
        said = process.stderr.read()
        process.wait(timeout=30)
    assert (process.returncode, said) == (141, "")


def test_what_stays_in_the_buffer_counts_too():
    read, write = os.pipe()
    os.close(read)
    with start("print('x'); sys.exit(0)", stdout=write) as process:
        os.close(write)
        said = process.stderr.read()
        process.wait(timeout=30)
    assert (process.returncode, said) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to offer")
def test_a_full_disk_behind_stdout_is_an_output_error():
    with Path("/dev/full").open("w") as full, start("print('x'); raise SystemExit", stdout=full) as process:
        said = process.stderr.read()
        process.wait(timeout=30)
    assert process.returncode == 5
    assert said == "error: can't write the output: no space left on device\n"


def test_a_closed_stdout_is_accepted():
    done = subprocess.run(
        ["sh", "-c", f"exec '{sys.executable}' -m saliency_cli --version >&-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")

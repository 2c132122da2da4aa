"""Memory depends on the batch, not on the number of inputs."""

import os
import subprocess
from pathlib import Path

import pytest
from run_tools import picture, start


def peak(*options, **streams):
    """Return the peak memory in MiB of a run over one small picture under many names."""
    process = start(
        "compute", "picture.keras", "in", "--batch-size", "4", *options, cwd=".", stderr=subprocess.DEVNULL, **streams
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024


def link(count):
    source = Path(picture("source.png"))
    Path("in").mkdir(exist_ok=True)
    for number in range(count):
        target = Path(f"in/{number}.png")
        if not target.exists():
            target.hardlink_to(source)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [("-o", "out"), ("--format", "npy"), ("-o", "out", "--jsonl")],
    ids=["folder", "here", "jsonl"],
)
def test_memory_of_many_inputs(options):
    named = [option.replace("out", "few") for option in options]
    link(100)
    few = peak(*named, stdout=subprocess.DEVNULL)
    link(2000)
    many = peak(*options, stdout=subprocess.DEVNULL)
    assert many <= 1.05 * few, f"{few:.1f} MiB for 100 inputs, {many:.1f} MiB for 2,000"

"""What the commands beside `compute` say of themselves, and hand to a pipe."""

import re

import pytest

from saliency_cli.cli.terminal import Display, Terminal
from saliency_cli.records import ItemRecord

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

"""The same kills with TensorFlow at work: its threads hold no file of ours."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_tools import maps, pictures
from striking import require_finished, require_sound

MODEL = Path(__file__).parents[2] / "sample_models/shapes.keras"
COUNT = 150
COMMAND = (
    sys.executable, "-m", "saliency_cli", "compute", str(MODEL), "in", "--method", "smoothgrad", "-p", "draws=40",
    "--batch-size", "8", "--format", "npy", "--format", "heatmap", "-q",
)  # fmt: skip


def run(out, *more):
    return subprocess.Popen([*COMMAND, "-o", out, *more], stderr=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.real_model
def test_ten_kills_of_a_real_model():
    pictures("in", COUNT, size=(64, 64))
    began = time.monotonic()
    assert run("whole").wait() == 0
    lasts = time.monotonic() - began
    moments = random.Random(3)
    out, finished = "out0", 0
    for _ in range(10):
        before = {record["id"] for record in require_sound(out)} if Path(out).is_dir() else set()
        process = run(out, "--resume")
        try:
            process.wait(moments.uniform(0.4 * lasts, lasts))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if Path(out).is_dir():
            assert before <= {record["id"] for record in require_sound(out)}
        if process.returncode == 0:
            require_finished(maps("whole"), COUNT, out)
            finished += 1
            out = f"out{finished}"
    assert run(out, "--resume").wait() == 0
    require_finished(maps("whole"), COUNT, out)


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0, 3.0])
def test_ctrl_c_while_tensorflow_is_loading(seconds):
    pictures("in", COUNT, size=(64, 64))
    with subprocess.Popen([*COMMAND, "-o", "out"], stderr=subprocess.PIPE, text=True) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=20)[1]
    assert process.returncode == 130, told
    assert "Traceback" not in told

"""The same run with TensorFlow behind it: a model waits for names, and each is answered when it comes."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from run_tools import journal, named_files, pictures

MODEL = Path(__file__).parents[2] / "sample_models/shapes.keras"


def test_lines_are_answered_by_a_real_model(here):
    pictures("in", 3, size=(64, 64))
    command = [
        sys.executable, "-m", "saliency_cli", "compute", str(MODEL), "--files-from", "-", "--jsonl", "-o", "out",
        "--format", "npy", "--batch-size", "8", "-q",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    ) as process:  # fmt: skip
        guard = threading.Timer(90, process.kill)
        guard.start()
        for name in ("0", "none", "1", "2"):
            process.stdin.write(f"in/{name}.png\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert (answer["id"], answer["status"]) == (f"in/{name}.png", "error" if name == "none" else "ok")
            assert all(Path("out", file).is_file() for file in named_files(answer))
        process.stdin.close()
        assert process.wait(20) == 3
        guard.cancel()
        process.stderr.read()
    assert len(journal("out")) == 4

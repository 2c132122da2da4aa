"""A real Dask scheduler and its workers, each a process of its own, on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
IMPORTABLE = os.pathsep.join([str(HERE), str(HERE.parent / "runs"), os.environ.get("PYTHONPATH", "")]).rstrip(
    os.pathsep
)
SALIENCY = HERE / "odd_saliency.py"
PATIENCE = 60


class Cluster:
    """A scheduler, and nodes: a nanny and its worker each."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        self.file = folder / "scheduler.json"
        self._start("scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0", "--no-dashboard")

    def _start(self, kind, *options, **environment):
        command = [sys.executable, "-m", "distributed.cli.dask_" + kind, "--host", "127.0.0.1", *options]
        log = self.folder / f"{kind}-{len(self.processes)}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [*command, "--scheduler-file", str(self.file)],
                cwd=self.folder,
                stdout=file,
                stderr=file,
                env={**os.environ, "PYTHONPATH": IMPORTABLE, **environment},
                process_group=0,
            )
        self.processes.append(process)
        return process

    def add_node(self, **environment):
        """Start a nanny and its worker; return the nanny's process, whose group holds both."""
        return self._start("worker", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard", **environment)

    @staticmethod
    def kill(node):
        """End a whole node at once, as a machine does that loses its power."""
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)


def until(condition):
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


def saliency(*arguments, folder, start=False, **environment):
    """Run the command with the odd stand-in in a folder; return it done, or with `start` under way."""
    command = [sys.executable, str(SALIENCY), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": IMPORTABLE, **environment}
    given = {"cwd": folder, "env": environment, "text": True, "stdout": -1, "stderr": -1}
    return subprocess.Popen(command, **given) if start else subprocess.run(command, check=False, **given)


def pictures(folder, count, white=()):
    """Write `count` pictures, each of one colour of its own; those of `white` are white."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        colour = (255, 255, 255) if number in white else (number * 5 % 250, 250 - number * 3 % 250, 90)
        Image.new("RGB", (8, 8), colour).save(folder / f"{number:03}.png")
    return folder


def records(folder):
    """Return the journal's records by id, without what differs from run to run."""
    lines = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    assert len({line["id"] for line in lines}) == len(lines)
    return {line["id"]: {key: value for key, value in line.items() if key != "seconds"} for line in lines}


def maps(folder):
    """Return what the files of a run folder's maps hold, by name."""
    root = folder / "maps"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}

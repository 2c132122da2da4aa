"""Run every benchmark and write the table into docs/benchmarks.md, between its two markers."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from common import CORES, FOLDER, Row, table

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
SCRIPTS = ("startup", "cold", "opening", "engine", "throughput", "checking", "memory")


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory(prefix="saliency-benchmarks-") as folder:
        for name in sys.argv[1:] or SCRIPTS:
            print(name, file=sys.stderr, flush=True)
            done = subprocess.run(
                [sys.executable, str(HERE / f"{name}.py"), "--json"],
                env={**os.environ, FOLDER: folder},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            rows += [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]
    print(table(rows))
    if not sys.argv[1:] and PAGE.exists():
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        told = f"{CORES} cores, {platform.machine()}, Python {platform.python_version()}, {versions()}."
        PAGE.write_text(f"{before}{BEGIN}\n\n{told}\n\n{table(rows)}\n\n{END}{after}", encoding="utf-8")


def versions() -> str:
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "numpy", "pillow"))


if __name__ == "__main__":
    main()

"""Run every benchmark, or those named, and write their tables into docs/benchmarks.md, each under its own heading."""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from common import CORES, FOLDER, Row, table

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
SCRIPTS = (
    "startup", "cold", "opening", "gradients", "folding", "engine", "throughput", "checking", "memory", "peers",
    "end_to_end", "convergence", "draws", "jacobian", "parameters", "perturb", "sharded", "scaling", "cluster",
)  # fmt: skip


def main() -> None:
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
            found = table([Row(**row) for row in json.loads(done.stdout.splitlines()[-1])])
            print(found, flush=True)
            # At once: what was measured is kept when a later one fails.
            PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), name, found), encoding="utf-8")


def replaced(page: str, name: str, found: str) -> str:
    """Return the page with one benchmark's table replaced, or put in its place; those of others stay."""
    before, _, rest = page.partition(BEGIN)
    middle, _, after = rest.partition(END)
    _, *parts = re.split(r"^### (.+)\n", middle, flags=re.MULTILINE)
    tables = {title: text.strip() for title, text in zip(parts[::2], parts[1::2], strict=True)}
    tables[name] = found
    known = [script for script in SCRIPTS if script in tables]
    order = known + [title for title in tables if title not in known]
    told = f"{CORES} cores, {platform.machine()}, Python {platform.python_version()}, {versions()}."
    written = "\n\n".join(f"### {title}\n\n{tables[title]}" for title in order)
    return f"{before}{BEGIN}\n\n{told}\n\n{written}\n\n{END}{after}"


def versions() -> str:
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "numpy", "pillow"))


if __name__ == "__main__":
    main()

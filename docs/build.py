"""Write the generated pages: the command line's help, and the story of every method, metric and attack.

`make docs` writes them; a test fails when they are out of date.
"""

import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from saliency_cli.cli.group import COMMANDS, saliency
from saliency_cli.registry import Registry
from saliency_cli.runs.needs import METRICS
from saliency_cli.runs.settings import METHODS
from saliency_cli.studies.perturb import ATTACKS

HERE = Path(__file__).parent
WIDTH = 100


def command_line() -> str:
    """Return the help of every command."""
    page = ["# Command line", "", "Written by `make docs` from the commands' own help.", ""]
    for words in ([], *([name] for name in COMMANDS)):
        name = " ".join(["saliency", *words])
        result = CliRunner().invoke(saliency, [*words, "--help"], prog_name="saliency", terminal_width=WIDTH)
        page += [f"## {name}", "", "```text", result.output.rstrip(), "```", ""]
    return "\n".join(page)


def methods() -> str:
    """Return every method's story and options."""
    page = ["# Methods", "", "Written by `make docs` from the methods' own files in `saliency_cli/methods/`.", ""]
    for name in METHODS.names():
        page += _plugin(METHODS, name, [])
    return "\n".join(page)


def metrics() -> str:
    """Return every metric's story, what it needs and its options."""
    page = ["# Metrics", "", "Written by `make docs` from the metrics' own files in `saliency_cli/metrics/`.", ""]
    for name in METRICS.names():
        metric = METRICS.build(name, {})
        facts = (
            ("better", metric.better),
            ("range", f"{metric.lowest:g} to {metric.highest:g}"),
            ("unit", metric.unit or "none"),
            ("needs", ", ".join(sorted(metric.needs)) or "nothing"),
            ("cost", metric.cost),
        )
        page += _plugin(METRICS, name, [f"- {key}: {value}" for key, value in facts])
    return "\n".join(page)


def attacks() -> str:
    """Return every attack's story, its cost and its options."""
    page = ["# Attacks", "", "Written by `make docs` from the attacks' own files in `saliency_cli/attacks/`.", ""]
    page += ["How `saliency perturb --attack NAME` searches; what it writes is in [perturb](perturb.md).", ""]
    for name in ATTACKS.names():
        attack = ATTACKS.build(name, {})
        facts = [f"- cost with these defaults: {attack.cost}"]
        facts += ["- looks for the nearest point by itself; ε is no part of the search"] if attack.minimal else []
        page += _plugin(ATTACKS, name, facts)
    return "\n".join(page)


def _plugin(registry: Registry[Any], name: str, facts: list[str]) -> list[str]:
    lines = [f"## {name}", "", registry.summary(name), "", "```text", registry.story(name), "```", ""]
    lines += [*facts, ""] if facts else []
    options = registry.options(name)
    if options:
        lines += ["| option | default | what it sets |", "| --- | --- | --- |"]
        lines += [f"| `{option.name}` | `{option.default}` | {option.help} |" for option in options]
        lines += [""]
    return lines


PAGES = {"command-line.md": command_line, "methods.md": methods, "metrics.md": metrics, "attacks.md": attacks}


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
        sys.stdout.write(f"docs/{name}\n")


if __name__ == "__main__":
    main()

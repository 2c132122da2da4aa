"""Write the generated pages: the command line's help, and the story of every method.

`make docs` writes them; a test fails when they are out of date.
"""

import sys
from pathlib import Path

from click.testing import CliRunner

from saliency_cli.cli.group import saliency
from saliency_cli.runs.settings import METHODS

HERE = Path(__file__).parent
WIDTH = 100


def command_line() -> str:
    """Return the help of every command."""
    page = ["# Command line", "", "Written by `make docs` from the commands' own help.", ""]
    for words in ([], ["compute"], ["inspect"], ["methods"], ["completion"]):
        name = " ".join(["saliency", *words])
        result = CliRunner().invoke(saliency, [*words, "--help"], prog_name="saliency", terminal_width=WIDTH)
        page += [f"## {name}", "", "```text", result.output.rstrip(), "```", ""]
    return "\n".join(page)


def methods() -> str:
    """Return every method's story and options."""
    page = ["# Methods", "", "Written by `make docs` from the methods' own files in `saliency_cli/methods/`.", ""]
    for name in METHODS.names():
        page += [f"## {name}", "", METHODS.summary(name), "", "```text", METHODS.story(name), "```", ""]
        options = METHODS.options(name)
        if options:
            page += ["| option | default | what it sets |", "| --- | --- | --- |"]
            page += [f"| `{option.name}` | `{option.default}` | {option.help} |" for option in options]
            page += [""]
    return "\n".join(page)


PAGES = {"command-line.md": command_line, "methods.md": methods}


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
        sys.stdout.write(f"docs/{name}\n")


if __name__ == "__main__":
    main()

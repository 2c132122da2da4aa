"""A check written to files, and told to GitHub: which report goes where."""

import os
from collections.abc import Mapping
from pathlib import Path

from saliency_cli.reports import contact_sheet, github, gitlab, junit, markdown, metrics
from saliency_cli.reports.choosing import worst_inputs
from saliency_cli.runs.check.check import Checked
from saliency_cli.runs.destination import cannot_write, write_whole

TEXTS = {"junit": junit.encode, "markdown": markdown.encode, "gitlab": gitlab.encode, "metrics": metrics.encode}


def write_reports(checked: Checked, files: Mapping[str, str]) -> None:
    """Write the reports asked for, by kind: each whole or not at all. Raises `OutputError`."""
    for kind, file in files.items():
        data = _sheet(checked) if kind == "contact-sheet" else TEXTS[kind](checked.record).encode()
        write_whole(Path(file), data)


def _sheet(checked: Checked) -> bytes:
    """Draw the worst inputs, each beside what its map was."""
    items = {item.record.id: item for item in checked.run.items}
    tiles = []
    for worst in worst_inputs(checked.record):
        item = items[worst.id]
        reference = checked.baseline.find(item.key) if checked.baseline is not None else None
        tiles.append(
            contact_sheet.Tile(
                worst.id,
                worst.captions,
                picture=item.picture,
                plane=item.plane,
                reference=None if reference is None else reference.plane,
            )
        )
    return contact_sheet.draw(checked.record, tiles)


def tell_github(checked: Checked) -> str:
    """Append the step's summary where there is a place for it, and return the annotations to print."""
    if place := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(github.summary(checked.record))
        except OSError as error:
            raise cannot_write(Path(place), error) from error
    return github.annotations(checked.record, checked.lines)

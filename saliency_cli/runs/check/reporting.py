"""A check written to files, and told to GitHub: which report goes where."""

import os
from collections.abc import Mapping
from pathlib import Path

from saliency_cli.errors import OutputError
from saliency_cli.reports import contact_sheet, github, gitlab, junit, markdown, metrics
from saliency_cli.reports.choosing import worst_inputs
from saliency_cli.runs.check.check import Checked
from saliency_cli.runs.destination import cannot_write, write_whole

TEXTS = {"junit": junit.encode, "markdown": markdown.encode, "gitlab": gitlab.encode, "metrics": metrics.encode}


def write_reports(checked: Checked, files: Mapping[str, str]) -> None:
    """Write the reports asked for, by kind: each whole or not at all.

    Raises `OutputError` for the first that can't be written, the others written all the same.
    """
    errors = []
    for kind, file in files.items():
        data = _sheet(checked) if kind == "contact-sheet" else TEXTS[kind](checked.record).encode()
        try:
            write_whole(Path(file), data)
        except OutputError as error:
            errors.append(_unwritten(error, f"--{kind} FILE somewhere you may write"))
    if errors:
        raise errors[0]


def _unwritten(error: OutputError, hint: str) -> OutputError:
    """Return the error with what helps here: a report is no folder of maps."""
    again = "free some space, then check again"
    return OutputError(error.message, hint=again if error.reason == "disk-full" else hint, reason=error.reason)


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


def write_summary(checked: Checked) -> None:
    """Append the summary of GitHub's step where there is a place for it. Raises `OutputError`."""
    if place := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(github.summary(checked.record))
        except OSError as error:
            hint = "$GITHUB_STEP_SUMMARY names a file that may not be written; --no-github writes none"
            raise _unwritten(cannot_write(Path(place), error), hint) from error


def annotations(checked: Checked) -> str:
    """Return what GitHub shows at the policy's lines, to be printed."""
    return github.annotations(checked.record, checked.lines, file=_in_repository(checked.record.policy))


def _in_repository(policy: str) -> str:
    """Return the policy's path from the root of the repository GitHub has checked out, else as it is given."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if not workspace or not policy:
        return policy
    try:
        # The file's own name is kept: a link in the repository is a file of it.
        path = Path(policy).parent.resolve() / Path(policy).name
        return path.relative_to(Path(workspace).resolve()).as_posix()
    except (ValueError, OSError):
        return policy

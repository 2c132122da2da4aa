"""The listener at a terminal: results on stdout, everything else on stderr."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from saliency_cli.cli.lines import duration, line, pictures
from saliency_cli.cli.progress import Progress
from saliency_cli.cli.telling import is_terminal, say, tell, wants_colour

if TYPE_CHECKING:
    from collections.abc import Callable

    from saliency_cli.records import ItemRecord, RunRecord
    from saliency_cli.runs.report import Report


@dataclass(frozen=True)
class Display:
    """How a run shows itself. `out` is the request's: `-` leaves stdout to the picture.

    `tell` puts what was found of a sample into a few words, where that is no map; `sum_up` does
    so with what all samples together tell.
    """

    form: Literal["lines", "none", "json", "jsonl"] = "lines"
    quiet: bool = False
    verbose: int = 0
    out: str | None = None
    dry_run: bool = False
    tell: "Callable[[ItemRecord], str] | None" = None
    sum_up: "Callable[[RunRecord], str] | None" = None


class Terminal:
    """Prints a run as it goes. `done` and `failed` count the samples heard of."""

    def __init__(self, display: Display) -> None:
        self.display = display
        self.done = self.failed = 0
        self.total: int | None = None
        self._progress = Progress(quiet=display.quiet)
        self._told: set[str] = set()
        self._items: list[ItemRecord] = []
        self._unseen: str | None = None

    def loading(self, model_path: str) -> None:
        """Show at once that something happens: importing TensorFlow takes seconds."""
        self._progress.loading(model_path)

    def notice(self, text: str) -> None:
        """Print what was chosen for the user."""
        self._tell_once("note", text)

    def warning(self, text: str) -> None:
        """Print a warning, each text once."""
        self._tell_once("warning", text)

    def planned(self, total: int | None) -> None:
        """Begin to count."""
        self.total = total
        self._progress.start(total)

    def working(self, text: str, pixels: Any = None) -> None:
        """Show how far one sample has got, in place of the bar, with a small picture where colours are shown."""
        lines = []
        if pixels is not None and self._progress.active and wants_colour(sys.stderr):
            from saliency_cli.cli.preview import preview

            lines = preview(pixels)
        self._progress.say([*lines, text])

    def item(self, record: "ItemRecord") -> None:
        """Print one sample, as the display's form says."""
        self._progress.clear()
        if self.display.form == "jsonl":
            import msgspec

            click.echo(msgspec.json.encode(record).decode())  # echo flushes: each line is there when the sample is
        elif self.display.form == "json":
            self._items.append(record)
        if record.status == "error":
            self.failed += 1
            self._failure(record)
        else:
            self.done += 1
            if self.display.form == "lines" and not self.display.quiet:
                self._line(record)
            if self.display.verbose:
                self._story(record)
        self._progress.advance(self.done + self.failed)

    def finished(self, report: "Report") -> None:
        """Print the document of `--json`, and a summary of more than one sample."""
        self.close()
        if self.display.form == "json":
            import msgspec

            run = report.run
            if run.items is None:
                run = msgspec.structs.replace(run, items=self._items)
            click.echo(msgspec.json.format(msgspec.json.encode(run), indent=2))
        several = self.done + self.failed + report.run.counts.skipped > 1
        if several and not self.display.quiet:
            say(self._summary(report))
        elif self._unseen is not None and not several and not self.display.quiet:
            tell("note", self._unseen)

    def close(self) -> None:
        """Leave the terminal clean, however the run ended."""
        self._progress.close()

    def _tell_once(self, kind: Literal["note", "warning", "hint"], text: str) -> None:
        if text in self._told or self.display.quiet:
            return
        self._told.add(text)
        self._progress.clear()
        tell(kind, text)

    def _failure(self, record: "ItemRecord") -> None:
        error = record.error
        tell("error", f"{record.id}: {error.message if error else 'failed'}")
        # The same advice after each of 500 files would bury the files.
        if error and error.hint and error.hint not in self._told:
            self._told.add(error.hint)
            tell("hint", error.hint)

    def _line(self, record: "ItemRecord") -> None:
        """A person gets a line to read, a pipe the bare paths to go on with."""
        studied = self.display.tell is not None
        files = [self._path(file) for file in (record.files.values() if studied else pictures(record))]
        width = shutil.get_terminal_size().columns
        if self.display.out == "-":
            say(line(record, [], width, self._told_of(record)))
        elif is_terminal(sys.stdout):
            text = line(record, files, width, self._told_of(record))
            encoding = sys.stdout.encoding or "utf-8"
            click.echo(text.encode(encoding, "replace").decode(encoding), color=wants_colour(sys.stdout))
        elif files:
            # As bytes: a name need not be UTF-8, and what reads the pipe needs it exactly.
            click.echo(b"\n".join(os.fsencode(file) for file in files))
        elif not studied:
            click.echo(record.id)
        elif told := self._told_of(record):
            self._unseen = f"{record.id}: {told}"

    def _told_of(self, record: "ItemRecord") -> str | None:
        return self.display.tell(record) if self.display.tell and not self.display.dry_run else None

    def _path(self, file: str) -> str:
        """Records name files relative to the run folder."""
        out = self.display.out
        return str(Path(out) / file) if out and (Path(out).is_dir() or self._folder_to_be(out)) else file

    def _folder_to_be(self, out: str) -> bool:
        return self.display.dry_run and not Path(out).suffix

    def _story(self, record: "ItemRecord") -> None:
        for name, source in record.sources.items():
            prepared = source.preparing
            told = [f"{prepared.name} ({prepared.reason})"] if prepared else []
            tell("note", f"{record.id}: {name or 'input'}: {'; '.join([*told, *source.notes]) or source.path}")
        for part in record.maps:
            value = "" if part.target.value is None else f" = {part.target.value:.4g}"
            details = "".join(f", {key} {number:.3g}" for key, number in part.details.items() if number is not None)
            flags = f" [{', '.join(part.flags)}]" if part.flags else ""
            target = f"{part.target.label} ({part.target.space})"
            tell("note", f"{record.id}: {part.method} of {target}{value}{details}{flags}")

    def _summary(self, report: "Report") -> str:
        parts = [f"{self.done:,} {'planned' if self.display.dry_run else 'done'}"]
        if report.run.counts.skipped:
            parts.append(f"{report.run.counts.skipped:,} done before")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.display.sum_up and (summed := self.display.sum_up(report.run)):
            parts.append(summed)
        where = ""
        if report.out and report.out != "-":
            where = f" → {report.out.rstrip('/')}/" if Path(report.out).is_dir() else f" → {report.out}"
        flags = "".join(f", {count:,} {flag}" for flag, count in report.run.flags.items())
        return f"{', '.join(parts)}{flags} in {duration(report.run.seconds)}{where}"

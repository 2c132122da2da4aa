"""`--layout`: whether a run folder holds files for every input, or parts of rows with maps on request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from saliency_cli.errors import UsageError
from saliency_cli.records import InputSpec, RunRecord
from saliency_cli.runs.destination import Destination
from saliency_cli.runs.journal import Journal, read_run
from saliency_cli.runs.keeping import Keep, Keeping, parse_keep, ranking
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.naming import distinct_parts
from saliency_cli.runs.preparing import Prepared
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sharded_journal import ShardedJournal
from saliency_cli.runs.sharded_maps import ShardedPublisher, Shelf
from saliency_cli.runs.sharded_parts import StackNames
from saliency_cli.runs.sources import STDIN, Source
from saliency_cli.runs.writing import Publisher
from saliency_cli.subject import Metric

FILES_UP_TO = 10_000
"""More inputs than this are laid out in parts: so many folders of pictures are nobody's to look at."""


def choose_layout(
    request: ComputeRequest, destination: Destination, sources: list[Source] | None, specs: tuple[InputSpec, ...] = ()
) -> Keep | None:
    """Return which maps a sharded run keeps; None for the files layout.

    `auto` goes on as the run before where one is resumed; else it is sharded for --keep-maps, and for more than
    10,000 inputs that are known beforehand, unless --format asks for files of each. `specs`, where the model is
    open, tell how many samples an array holds.

    Raises `UsageError` for what can't be meant together.
    """
    keep = parse_keep(request.keep_maps) if request.keep_maps is not None else None
    if destination.kind != "folder":
        if request.layout == "sharded" or keep is not None:
            what = "--keep-maps" if keep is not None else "--layout sharded"
            raise UsageError(f"{what} is about a run folder", hint="-o DIR/")
        return None
    before = read_run(destination.root) if request.resume else None
    was = None if before is None else before.settings.get("layout", "files")
    if request.layout != "auto" and was not in (None, request.layout):
        raise UsageError(
            f"--resume: the run in '{destination.root}' has the layout {was}, and --layout is {request.layout}",
            hint="leave --layout away, or --overwrite to begin anew",
            reason="other-settings",
        )
    chosen = was or (request.layout if request.layout != "auto" else _by_itself(request, keep, sources, specs))
    if chosen == "files":
        if keep is not None:
            raise UsageError("--keep-maps chooses among the maps of --layout sharded", hint="leave --keep-maps away")
        return None
    if request.formats:
        raise UsageError(
            f"--format {request.formats[0]} writes files of every input, and the layout is sharded",
            hint="--keep-maps all keeps the maps, or --layout files",
        )
    return keep or parse_keep("none" if before is None else before.settings.get("keep_maps", "none"))


def _by_itself(
    request: ComputeRequest, keep: Keep | None, sources: list[Source] | None, specs: tuple[InputSpec, ...]
) -> Literal["files", "sharded"]:
    if keep is not None:
        return "sharded"
    many = not request.formats and _count(request, sources, specs) > FILES_UP_TO
    return "sharded" if many else "files"


def _count(request: ComputeRequest, sources: list[Source] | None, specs: tuple[InputSpec, ...]) -> int:
    """Return how many inputs are known beforehand: those named, their rows, or the lines of a file."""
    if sources is not None:
        few = len(sources) <= _ASKED and bool(specs)
        return sum(_rows(source, specs) for source in sources) if few else len(sources)
    lines = request.files_from
    if lines is None or lines == STDIN or not Path(lines).is_file():
        return 0
    return _count_of(Path(lines), b"\0" if request.null_separated else b"\n")


_ASKED = 100  # of so few files it is worth asking how many samples each holds


def _rows(source: Source, specs: tuple[InputSpec, ...]) -> int:
    """Return how many samples a source holds, where its first file tells: an array's header, a table's lines."""
    path = Path(source.parts[0][1])
    if source.error is not None or not path.is_file():
        return 1
    ranks = {len(spec.shape) for spec in specs}
    if path.suffix.lower() == ".npy":
        shape = _shape_of(path)
        return shape[0] if shape and len(shape) - 1 in ranks and len(shape) not in ranks else 1
    return _count_of(path, b"\n") if path.suffix.lower() == ".csv" and ranks <= {0, 1} else 1


def _shape_of(path: Path) -> tuple[int, ...]:
    import numpy as np

    try:
        return tuple(np.load(path, mmap_mode="r").shape)
    except (OSError, ValueError, EOFError):  # told by the reader, in its own words
        return ()


def _count_of(path: Path, separator: bytes) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(separator) for chunk in iter(lambda: file.read(1 << 20), b""))


@dataclass(frozen=True, eq=False)
class Sharded:
    """What a sharded run has in place of files of every input: who makes its records, and how stacks are named."""

    publisher: ShardedPublisher
    names: StackNames


def sharded(keep: Keep, prepared: Prepared, publisher: Publisher, run: RunRecord) -> Sharded:
    """Return the parts of a sharded run, and note in its record what it is."""
    run.settings |= {"layout": "sharded", "keep_maps": keep.text}
    shelf = Shelf(Keeping(keep, ranking(keep, prepared.measuring.metrics, prepared.request.seed)))
    specs = {spec.name: spec for spec in prepared.engine.specs}
    connected = prepared.engine.connected
    names = StackNames(
        distinct_parts(connected) if len(connected) > 1 else {},
        shapes=any(None in specs[name].shape for name in connected),
    )
    return Sharded(ShardedPublisher(publisher, shelf), names)


def sharded_journal(
    shelf: Shelf | None, run: RunRecord, metrics: Mapping[str, Metric], names: StackNames, listen: Listener
) -> Callable[..., Journal]:
    """Return how a sharded run's journal is opened. `shelf`: where this process's maps lie, None for workers'."""
    if shelf is None:
        keep = parse_keep(run.settings["keep_maps"])
        shelf = Shelf(Keeping(keep, ranking(keep, metrics, run.seed)))
    return partial(ShardedJournal.open, shelf=shelf, names=names, warn=listen.warning)

"""`--dry-run`: what a run would do and what its files would be called, told without the model."""

import time
from pathlib import Path

from saliency_cli.errors import SaliencyError, UsageError
from saliency_cli.records import CountsRecord, ErrorRecord, ItemRecord, RunRecord
from saliency_cli.runs.destination import Destination
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.naming import readable
from saliency_cli.runs.report import Report
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import STDIN, Source
from saliency_cli.runs.unstacking import unstacked

_SUFFIXES = {"npy": ".npy", "npz": ".npz", "json": ".json"}
_PHOTOGRAPHS = {b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp"}


def planned(
    request: ComputeRequest, destination: Destination, sources: list[Source] | None, listen: Listener, began: float
) -> Report:
    """Tell the listener of every input and the files it would get; nothing is written.

    What only the open model tells stays open: `<target>` stands for the classes of `top:3` or `all`. The samples of
    a stack are inputs of their own where its file and the model's tell how many they are (`unstacking`).
    """
    if sources is None:
        raise UsageError("--dry-run can't tell what --files-from will bring", hint="name the files instead")
    sources = sources if destination.kind == "file" else unstacked(request, sources)
    listen.planned(len(sources))
    counts = CountsRecord()
    for source in sources:
        error = source.error
        counts.error += error is not None
        counts.ok += error is None
        record = ItemRecord(
            id=source.id,
            status="error" if error else "ok",
            files={} if error else _files(request, destination, source),
            error=error_record(error) if error else None,
        )
        listen.item(record)
    run = RunRecord(status="planned", target=request.target, seed=request.seed, counts=counts)
    run.seconds = round(time.perf_counter() - began, 3)
    return Report(run, counts.error, request.out)


def error_record(error: SaliencyError) -> ErrorRecord:
    """Return what the JSON says of an error."""
    return ErrorRecord(reason=error.reason, message=readable(error.message), hint=readable(error.hint))


def _files(request: ComputeRequest, destination: Destination, source: Source) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in destination.formats:
        suffix = _SUFFIXES.get(name, ".png")
        if name == "overlay" and destination.picture_format is None:
            suffix = _photograph(source)
        for method in request.methods:
            file = destination.name(source.id, name, suffix, {"method": method, "target": "<target>"})
            found[name if len(request.methods) == 1 else f"{method}.{name}"] = file
    # The JSON of an item is one file, whatever the methods.
    return {key: file for i, (key, file) in enumerate(found.items()) if file not in list(found.values())[:i]}


def _photograph(source: Source) -> str:
    """Return the suffix of an overlay: a photograph's own where its first bytes tell."""
    path = source.parts[0][1]
    if path == STDIN or not Path(path).is_file():
        return ".png"
    with Path(path).open("rb") as file:
        start = file.read(12)
    return next((suffix for sign, suffix in _PHOTOGRAPHS.items() if start.startswith(sign)), ".png")

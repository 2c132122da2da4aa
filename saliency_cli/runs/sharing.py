"""`--shard i/n`: one run in one folder by several processes, each with every n-th input of one listing.

    shards/2-of-3.jsonl   the journal of a shard, in place of `items.jsonl`
    shards/2-of-3.json    its own `run.json`: how far it is
    shards/.2-of-3.lock   held while it is at work; the folder's `.lock` only while it begins and ends

Maps go where they go in any run. The folder's `run.json` says which shards are done; whoever is the last aggregates.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from saliency_cli.errors import OutputError, SaliencyError, UsageError
from saliency_cli.records import CountsRecord, RunRecord, ShardRecord
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import STDIN, Source

FOLDER = "shards"


@dataclass(frozen=True)
class Share:
    """Shard `index` of `of`, counted from 1; `listing` is a hash of all inputs of the run, in order."""

    index: int
    of: int
    listing: str

    @property
    def name(self) -> str:
        """How its files are called: names sort as the shards do."""
        return f"{self.index:0{len(str(self.of))}}-of-{self.of}"

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    def path(self, root: Path, suffix: str) -> Path:
        """Return one of its files in a run folder."""
        return root / FOLDER / f"{self.name}{suffix}"

    def lock(self, root: Path) -> Path:
        """Return the file that is locked while it is at work."""
        return root / FOLDER / f".{self.name}.lock"

    def taken(self, sources: Iterable[Source]) -> Iterator[Source]:
        """Yield those of a run's sources that are its own."""
        return islice(sources, min(self.index - 1, sys.maxsize), None, min(self.of, sys.maxsize))

    @property
    def settings(self) -> dict[str, Any]:
        """What every shard of a run has in common, beside the run's own settings."""
        return {"shards": self.of, "listing": self.listing}


def share_of(request: ComputeRequest, sources: list[Source] | None) -> Share | None:
    """Return a request's share of its inputs, None where it is about all of them.

    Raises `UsageError` for inputs that only one process could read.
    """
    if request.shard is None:
        return None
    index, of = request.shard
    if sources is not None:
        if any(path == STDIN for source in sources for _, path in source.parts):
            raise UsageError("--shard: every shard lists all inputs, and stdin can be read once", hint="a file")
        return Share(index, of, _digest(source.id.encode(errors="surrogateescape") for source in sources))
    lines = request.files_from
    if lines is None or lines == STDIN or not Path(lines).is_file():
        raise UsageError(
            f"--shard: every shard reads all of --files-from, and '{lines}' can be read once",
            hint="--files-from FILE, the same for every shard",
        )
    return Share(index, of, _digest_of_file(Path(lines), request))


def _digest(names: Iterable[bytes]) -> str:
    total = sha256()
    for name in names:
        total.update(name + b"\0")
    return total.hexdigest()


def _digest_of_file(path: Path, request: ComputeRequest) -> str:
    total = sha256(_digest(name.encode(errors="surrogateescape") for name in request.inputs).encode())
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                total.update(piece)
    except OSError as error:
        raise UsageError(f"--files-from: '{path}' can't be read: {error.strerror}") from None
    return total.hexdigest()


def difference(root: Path, before: RunRecord, run: RunRecord, share: Share) -> SaliencyError | None:
    """Return why a shard can't go into the folder of another run, None where it is the same."""
    return different_listing(root, before, share) or different_settings(
        root, before, run, f"--shard {share}", "another -o"
    )


def different_listing(root: Path, before: RunRecord, share: Share) -> SaliencyError | None:
    """Return why a share is none of the run in a folder, as far as is known before the model is opened."""
    settings = before.settings
    if "shards" not in settings:
        state = "a finished" if before.status == "done" else "an unfinished"
        return OutputError(
            f"'{root}' holds {state} run that is not in shards",
            hint="another -o, or the same command without --shard",
            reason="exists",
        )
    if settings["shards"] != share.of:
        return UsageError(
            f"--shard {share}: the run in '{root}' is in {settings['shards']} shards",
            hint=f"--shard {share.index}/{settings['shards']}, or another -o",
            reason="other-settings",
        )
    if settings["listing"] != share.listing:
        return UsageError(
            f"--shard {share}: the inputs are not those that the run in '{root}' began with",
            hint="name them the same way for every shard, and change none; or another -o",
            reason="other-inputs",
        )
    return None


def different_settings(root: Path, before: RunRecord, run: RunRecord, word: str, hint: str) -> UsageError | None:
    """Return an error that names the settings of a run that are not those of the run before, None if they are."""
    plain = msgspec.json.decode(msgspec.json.encode(run.settings))
    # A run of files says nothing of its layout.
    plain, was = {"layout": "files", **plain}, {"layout": "files", **before.settings}
    different = [key for key in plain if was.get(key) != plain[key]]
    if not different:
        return None
    shown = "; ".join(f"{key} was {was.get(key)}, now {plain[key]}" for key in different[:4])
    return UsageError(
        f"{word}: the run in '{root}' was made with other settings: {shown}",
        hint=f"give the same ones, or {hint}",
        reason="other-settings",
    )


def merged(run: RunRecord, root: Path) -> RunRecord:
    """Return the record of a whole run folder: the sums of its shards', `done` once all of them are.

    `seconds` is the sum of the shards' own.
    """
    counts, flags, seconds, told = CountsRecord(), dict[str, int](), 0.0, []
    for path in sorted((root / FOLDER).glob("[!.]*.json")):
        try:
            one = msgspec.json.decode(path.read_bytes(), type=RunRecord)
        except (OSError, msgspec.DecodeError):
            continue
        for name in ("ok", "error", "skipped"):
            setattr(counts, name, getattr(counts, name) + getattr(one.counts, name))
        for flag, count in one.flags.items():
            flags[flag] = flags.get(flag, 0) + count
        seconds += one.seconds
        number = int(path.stem.partition("-")[0])
        told.append(ShardRecord(shard=number, status=one.status, counts=one.counts, seconds=one.seconds))
    whole = len(told) == run.settings.get("shards") and all(one.status == "done" for one in told)
    return msgspec.structs.replace(
        run,
        status="done" if whole else "running",
        counts=counts,
        flags=dict(sorted(flags.items())),
        seconds=round(seconds, 3),
        shards=told,
        metrics=run.metrics if whole else {},
    )

"""What will be written of an input that flips, told by its file alone: no model is open."""

import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath

from saliency_cli.runs.naming import distinct_parts
from saliency_cli.runs.places import is_file
from saliency_cli.runs.reading import known_suffixes, picture_suffixes
from saliency_cli.runs.sources import Source
from saliency_cli.studies.perturb_files import PICTURES


def planned_files(source: Source, only: Sequence[str], kinds: Collection[str]) -> Mapping[str, str]:
    """Return each kind of file → its suffix. `kinds`: what is drawn beside the perturbed input itself.

    Several inputs of a model are told by their names, in `--input` or in an archive of arrays; which of them have a
    gradient only the model tells. A file that doesn't tell what it is may be a picture or an array.
    """
    named = {name: path for name, path in _named(source).items() if not only or name in only}
    ends = distinct_parts(list(named)) if len(named) > 1 else {}
    files: dict[str, str] = {}
    for name, path in (named or dict(source.parts)).items():
        end = f".{ends[name]}" if ends else ""
        files |= {f"{kind}{end}": suffix for kind, suffix in _of_one(path, kinds).items()}
    return files


def _named(source: Source) -> dict[str, str]:
    """Return the file of each input that has a name, with the arrays of an archive as files."""
    ((first, path), *others) = source.parts
    if first or others:
        return dict(source.parts)
    if PurePath(path).suffix.lower() != ".npz" or not is_file(path):
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            return {member.removesuffix(".npy"): member for member in archive.namelist()}
    except (OSError, zipfile.BadZipFile):  # what is wrong with it is told when it is read
        return {}


def _of_one(path: str, kinds: Collection[str]) -> dict[str, str]:
    suffix = PurePath(path).suffix.lower()
    drawn = {kind: ".png" for kind in PICTURES if kind in kinds}
    picture, array = {"after": ".png", **drawn}, {"array": ".npy", **{k: s for k, s in drawn.items() if k == "panel"}}
    if suffix in picture_suffixes():
        return picture
    return array if suffix in known_suffixes() else picture | array

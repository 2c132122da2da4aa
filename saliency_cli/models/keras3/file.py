"""A file of Keras 3 as its loader gets it: under the suffix it insists on, with another configuration if need be."""

import contextlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUFFIXES = {"keras-zip": ".keras", "keras-hdf5": ".h5"}


def read_config(path: Path, kind: str) -> dict[str, Any]:
    """Return the configuration in a file of one of the two formats."""
    config: dict[str, Any]
    if kind == "keras-zip":
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    else:
        import h5py

        with h5py.File(path, "r") as file:
            config = json.loads(file.attrs["model_config"])
    return config


@contextlib.contextmanager
def readable(path: Path, kind: str, config: dict[str, Any] | None = None) -> Iterator[Path]:
    """Give a name for Keras to load: the file's own, a link, or a copy in which `config` stands instead."""
    suffix = SUFFIXES[kind]
    if config is None and path.suffix == suffix:
        yield path
        return
    with tempfile.TemporaryDirectory() as directory:
        named = Path(directory, path.stem + suffix)
        if config is None:
            named.symlink_to(path.resolve())
        elif kind == "keras-zip":
            _copy_zip(path, named, config)
        else:
            _copy_hdf5(path, named, config)
        yield named


def _copy_zip(path: Path, copy: Path, config: dict[str, Any]) -> None:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for member in old.infolist():
            if member.filename == "config.json":
                new.writestr(member, json.dumps(config))
                continue
            with old.open(member) as source, new.open(member, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)


def _copy_hdf5(path: Path, copy: Path, config: dict[str, Any]) -> None:
    import h5py

    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)

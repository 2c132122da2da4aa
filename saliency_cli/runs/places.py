"""Questions to the file system that are answered no where `pathlib` would raise: a name too long, a NUL in it."""

import os


def exists(path: str | os.PathLike[str]) -> bool:
    """Return whether anything has this name."""
    return os.path.exists(path)  # noqa: PTH110


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder has this name."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: str | os.PathLike[str]) -> bool:
    """Return whether something that can be read to its end has this name: a file, or a pipe as in `<(…)`."""
    return exists(path) and not is_folder(path)


def same(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> bool:
    """Return whether two names are of one file."""
    return exists(first) and exists(second) and os.path.samefile(first, second)  # noqa: PTH121

"""Options as Python gives them, checked against what a dataclass declares: the command line has its own parser."""

import os
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from saliency_cli.errors import UsageError, nearest


def checked(study: str, declared: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options in the types of the fields of `declared`. One word is taken where several may be given.

    Raises `UsageError` naming the first that can't be so, with the words it may be.
    """
    hints = typing.get_type_hints(declared)
    return {name: _checked(study, name, hints[name], value) for name, value in options.items()}


def _checked(study: str, name: str, kind: Any, value: Any) -> Any:
    several = typing.get_origin(kind) is tuple
    plain = _plain((value,) if several and isinstance(value, (str, os.PathLike)) else value)
    try:
        return msgspec.convert(plain, kind, strict=True)
    except msgspec.ValidationError as error:
        words = _words(kind)
        meant = nearest(str(value), words) if words else ""
        raise UsageError(
            f"{study}: {name} can't be {value!r}",
            hint=meant or (f"there are: {', '.join(words)}" if words else str(error).replace("`", "")),
            reason="bad-option",
        ) from None


def _plain(value: Any) -> Any:
    """Return a value of NumPy's as Python's own, and a path as text."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _words(kind: Any) -> tuple[str, ...]:
    """Return the words that a type is one of, none where it is open."""
    parts: Sequence[Any] = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return tuple(map(str, parts))
    return tuple(word for part in parts for word in _words(part))

"""On which line of a TOML text a key or a table stands.

`tomllib` tells no lines, and neither does any other TOML reader we know of without private parts. So the
parser itself is asked: the shortest run of lines that it takes alone is one statement, and what it makes of
it says which key or table that statement is.
"""

import tomllib
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]


class Lines:
    """The first line of every key and table of a text that is TOML, by its path: `("rule", 0, "metric")`."""

    def __init__(self, text: str) -> None:
        self._found: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        table: Path = ()
        for number, statement in _statements(text.replace("\r\n", "\n")):
            parsed = tomllib.loads(statement)
            if statement.lstrip().startswith("["):
                table = self._entered(parsed)
                self._found.setdefault(table, number)
            else:
                self._note(table, parsed, number)

    def of(self, *path: str | int) -> int:
        """Return a key's line, or where it has none of its own, that of what it stands in; 1 for nothing."""
        while path:
            if path in self._found:
                return self._found[path]
            path = path[:-1]
        return 1

    def _entered(self, parsed: Any) -> Path:
        """Return the path of the table whose header was parsed, counting tables of an array."""
        path: Path = ()
        while parsed:
            if isinstance(parsed, list):
                self._counts[path] = self._counts.get(path, -1) + 1
                return (*path, self._counts[path])
            ((key, parsed),) = parsed.items()
            path = (*path, key)
            # A header inside an array of tables is about the last of them.
            if isinstance(parsed, dict) and path in self._counts:
                path = (*path, self._counts[path])
        return path

    def _note(self, path: Path, parsed: Any, number: int) -> None:
        """Note every key of a parsed value."""
        if isinstance(parsed, dict | list):
            entries: Any = parsed.items() if isinstance(parsed, dict) else enumerate(parsed)
            for key, value in entries:
                self._found.setdefault((*path, key), number)
                self._note((*path, key), value, number)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement and the number of its first line."""
    held: list[str] = []
    # Not `splitlines`, which also splits at signs that TOML lets stand inside a string.
    for number, line in enumerate(text.split("\n"), 1):
        if not held and (not line.strip() or line.lstrip().startswith("#")):
            continue
        held.append(line)
        statement = "\n".join(held)
        if _is_whole(statement):
            yield number - len(held) + 1, statement
            held = []


def _is_whole(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True

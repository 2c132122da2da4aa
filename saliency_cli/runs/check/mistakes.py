"""What is wrong in a policy, every mistake with its line, told together."""

from pathlib import Path

from saliency_cli.errors import UsageError, nearest
from saliency_cli.runs.check.lines import Lines
from saliency_cli.runs.naming import readable


class Mistakes:
    """The mistakes found so far in one policy."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.lines = path, Lines(text)
        self._found: list[tuple[int, str, str]] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, where: tuple[str | int, ...], what: str, hint: str = "") -> None:
        """Note one: where it stands, what was expected and what came, what to write instead."""
        self._found.append((self.lines.of(*where), what, hint))

    def unknown(self, where: tuple[str | int, ...], key: str, known: tuple[str, ...], inside: str) -> None:
        """Note a key that nobody knows, with the nearest that somebody does."""
        hint = nearest(key, known) or f"{inside} takes: {', '.join(known)}"
        self.add((*where, key), f"{inside} has no key '{key}'", hint)

    def settle(self) -> None:
        """Raise `UsageError` telling every mistake in the order of the lines, where there is one."""
        if not self._found:
            return
        told = sorted(dict.fromkeys(self._found), key=lambda mistake: mistake[0])
        several = len(told) > 1
        lines = [
            f"{readable(str(self.path))}:{line}: {what}" + (f" ({hint})" if several and hint else "")
            for line, what, hint in told
        ]
        hint = "" if several else told[0][2]
        raise UsageError("\n".join(lines), hint=hint, reason="bad-policy")

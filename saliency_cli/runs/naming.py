"""Texts become parts of file names: plain, short enough for any disk, and never two the same."""

import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import PurePosixPath

_LONGEST_PART = 80
_LONGEST_NAME = 255


def readable(text: str) -> str:
    """Return a text that JSON can hold: bytes of a path that are no UTF-8 are written out, after a backslash."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def plain(text: str) -> str:
    """Return a text as a part of a file name: letters, digits and a few signs, at most 80 bytes."""
    signs = re.sub(r"[^\w+=,@-]+", "_", text.strip()).strip("_") or "_"
    return signs.encode()[:_LONGEST_PART].decode(errors="ignore")


def distinct_parts(texts: Sequence[str]) -> dict[str, str]:
    """Return each text's plain form; those that would look alike get their position, `cat_dog~3`.

    Letter case does not tell apart: some disks don't keep it.
    """
    forms = [plain(text) for text in texts]
    alike = Counter(form.casefold() for form in forms)
    return {
        text: form if alike[form.casefold()] == 1 else f"{form}~{position}"
        for position, (text, form) in enumerate(zip(texts, forms, strict=True))
    }


def distinct_labels(names: Sequence[str]) -> tuple[str, ...]:
    """Return class names with those that occur twice numbered, `crane (134)`, so that a name means one class."""
    count = Counter(names)
    return tuple(name if count[name] == 1 else f"{name} ({index})" for index, name in enumerate(names))


def fitted(name: str, suffix: str = "") -> str:
    """Return `name + suffix` in at most 255 bytes: what is too long is cut and ends in a hash of the whole."""
    room = _LONGEST_NAME - len(suffix.encode())
    data = os.fsencode(name)
    if len(data) <= room:
        return name + suffix
    mark = "~" + sha256(data).hexdigest()[:8]
    return data[: room - len(mark)].decode(errors="ignore") + mark + suffix


class Stems:
    """What the pictures of the current folder are called after: an input's stem, while no other has it.

    Inputs known beforehand that share a stem go by their whole path, `a_1.png` and `b_1.png`; what then
    still meets (lines that come later) is numbered in the order it comes.
    """

    def __init__(self, identities: Iterable[str] = ()) -> None:
        known = list(dict.fromkeys(identities))
        self._shared = Counter(PurePosixPath(identity).stem for identity in known)
        self._taken: dict[str, str] = {}
        self._given: dict[str, str] = {}
        self._lock = threading.Lock()
        for identity in known:
            self.of(identity)

    def of(self, identity: str) -> str:
        """Return the stem of an id: the same whenever it is asked for."""
        with self._lock:
            if identity not in self._given:
                self._given[identity] = self._claim(identity)
            return self._given[identity]

    def _claim(self, identity: str) -> str:
        whole, hash_sign, row = identity, "", ""
        if found := re.search(r"#(\d+)$", identity):
            whole, hash_sign, row = identity[: found.start()], "#", found[1]
        path = PurePosixPath(whole)
        flat = whole.lstrip("/").replace("/", "_")
        bases = [flat] if self._shared[path.stem] > 1 else [path.stem, flat]
        candidates = [f"{base}{hash_sign}{row}" for base in bases]
        number = 1
        while (stem := candidates.pop(0)) in self._taken:
            if not candidates:
                number += 1
                candidates = [f"{flat}{hash_sign}{row}~{number}"]
        self._taken[stem] = identity
        return stem


def labels_by_part(parts: Mapping[str, str], text: str) -> str:
    """Return a text's distinct plain form, or its plain form where it is none of those known beforehand."""
    return parts.get(text) or plain(text)

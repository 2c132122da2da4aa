"""The tables of a policy: their keys known, their values of the right kind."""

import re
import typing
from typing import Any, TypeVar

import msgspec

from saliency_cli.errors import nearest
from saliency_cli.runs.check.mistakes import Mistakes
from saliency_cli.runs.check.policy import Rule
from saliency_cli.runs.check.profiles import PROFILES
from saliency_cli.runs.check.sense import options_of
from saliency_cli.runs.settings import METHODS

Table = TypeVar("Table", bound=msgspec.Struct)

OWN = {"path", "rules", "label", "line", "of-profile"}  # fields that the reader fills in
# Keys that would run code: a policy comes with a change, and nobody has agreed to run what it names.
_REFUSED = {
    "trust-model": "--trust-model",
    "custom-objects": "--custom-objects FILE.py",
}


def take(tables: dict[str, Any], key: str, kind: type, mistakes: Mistakes) -> Any:
    """Take a table or array of tables out of the others."""
    found: Any = tables.pop(key, None)
    entries: Any = found if kind is list and isinstance(found, list) else []
    right = isinstance(found, kind) and all(isinstance(entry, dict) for entry in entries)
    if found is None or right:
        return found
    mistakes.add((key,), f"'{key}' was expected to be a table", "[compute]" if kind is dict else "[[rule]]")
    return None


def convert(
    kind: type[Table], given: dict[str, Any], where: tuple[str | int, ...], inside: str, mistakes: Mistakes
) -> Table | None:
    """Convert one table; None where that failed, with the mistake noted."""
    known = tuple(name for name in _keys(kind) if name not in OWN)
    for key in given:
        if key in _REFUSED:
            mistakes.add(
                (*where, key),
                f"'{key}' is no key of a policy: it lets code run, which only the command line may allow",
                f"saliency check {_REFUSED[key]}",
            )
        elif key not in known:
            _note_unknown(key, where, inside, known, given, mistakes)
    try:
        return msgspec.convert({key: value for key, value in given.items() if key in known}, kind)
    except msgspec.ValidationError as error:
        _note_wrong(error, kind, where, mistakes)
        return None


def _note_unknown(
    key: str,
    where: tuple[str | int, ...],
    inside: str,
    known: tuple[str, ...],
    given: dict[str, Any],
    mistakes: Mistakes,
) -> None:
    method = given.get("method") if where == ("compute",) else None
    if isinstance(method, str) and method in METHODS.names():
        fields = [option.name for option in METHODS.options(method)]
        if key.replace("-", "_") in fields:
            written = as_toml(given[key])
            mistakes.add((*where, key), f"'{key}' is an option of {method}", f"options = {{ {key} = {written} }}")
            return
    mistakes.unknown(where, key, (*known, "rule") if not where else known, inside)


def _note_wrong(
    error: msgspec.ValidationError, kind: type[msgspec.Struct], where: tuple[str | int, ...], mistakes: Mistakes
) -> None:
    """Note what msgspec found: it tells one mistake a table, and where, as `$.inputs[0]`."""
    text, _, path = str(error).partition(" - at ")
    parts = [int(part) if part.isdigit() else part for part in re.findall(r"[\w-]+", path.strip("`"))]
    text = text.replace("`", "'")
    missing = re.search(r"required field '([\w-]+)'", text)
    if missing:
        hint = {"version": "version = 1", "profile": f"profile = one of {', '.join(PROFILES)}"}.get(missing[1], "")
        mistakes.add(where, f"the key '{missing[1]}' is missing", hint)
        return
    key = f"'{parts[0]}': " if parts else ""
    if wrong := re.fullmatch(r"Invalid enum value '(.*)'", text):
        words = _words(kind, str(parts[0]))
        hint = nearest(wrong[1], words) or f"one of {', '.join(words)}"
        mistakes.add((*where, *parts), f"{key}there is no '{wrong[1]}'", hint)
        return
    mistakes.add((*where, *parts), f"{key}{text[:1].lower()}{text[1:]}")


def _words(kind: type[msgspec.Struct], key: str) -> tuple[str, ...]:
    """Return the words a key may be."""
    annotation = typing.get_type_hints(kind)[key.replace("-", "_")]
    found: list[str] = []
    for part in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(part) is typing.Literal:
            found += typing.get_args(part)
    return tuple(found)


def _keys(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(kind))


def convert_rule(table: dict[str, Any], place: int, mistakes: Mistakes) -> Rule | None:
    """Convert one `[[rule]]`: keys that are no rule's are taken for options of its metric, if that has them."""
    where = ("rule", place)
    named = f"rule '{table['id']}'" if isinstance(table.get("id"), str) else f"rule {place + 1}"
    options = dict(table["options"]) if isinstance(table.get("options"), dict) else {}
    known = options_of(table.get("metric"))
    for key in [key for key in table if key.replace("-", "_") in known and key not in _keys(Rule)]:
        options[key] = table[key]
    plain = {key: value for key, value in table.items() if key in _keys(Rule) or key not in options}
    if options:
        plain["options"] = options
    rule = convert(Rule, plain, where, named, mistakes)
    return rule and msgspec.structs.replace(rule, line=mistakes.lines.of(*where))


def as_toml(value: Any) -> str:
    """Return a plain value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return msgspec.json.encode(value).decode() if isinstance(value, str) else str(value)

"""Plug-ins told at a terminal: a line each, or everything about one."""

import shutil
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from saliency_cli.cli.telling import is_terminal
from saliency_cli.shortening import shorten

Facts = Callable[[str], dict[str, str]]

_BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}", "multiple_of": "a multiple of {}"}


def tell(registry: Any, names: Sequence[str], option_flag: str, *, as_json: bool, facts: Facts | None = None) -> None:
    """Print every plug-in in a line, or all about those named. `facts(name)`: more to say of one."""
    if names:
        stories = [_story(registry, each) | (facts(each) if facts else {}) for each in names]
        if as_json:
            import msgspec

            document = msgspec.json.encode(stories[0] if len(stories) == 1 else stories, enc_hook=str)
            click.echo(msgspec.json.format(document, indent=2))
        else:
            click.echo("\n\n".join("\n".join(_page(story, option_flag)) for story in stories))
        return
    summaries = {each: registry.summary(each) for each in registry.names()}
    if as_json:
        import json

        listed = [{"name": each, "summary": summary} for each, summary in summaries.items()]
        click.echo(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    _print_list(summaries)


def _print_list(summaries: dict[str, str]) -> None:
    longest = max(map(len, summaries), default=0)
    width = shutil.get_terminal_size().columns
    for name, summary in summaries.items():
        text = f"{name:{longest}}  {summary}"
        # Into a pipe goes the whole line; on a screen it must not wrap.
        click.echo(shorten(text, width) if is_terminal(sys.stdout) else text)


def _story(registry: Any, name: str) -> dict[str, Any]:
    options = [
        {
            "name": option.name,
            "type": _kind(option.annotation),
            "bounds": _bounds(option.annotation),
            "default": option.default,
            "help": option.help,
        }
        for option in registry.options(name)
    ]
    return {
        "name": name,
        "summary": registry.summary(name),
        "story": registry.story(name),
        "options": options,
    }


_KNOWN = ("name", "summary", "story", "options")


def _page(story: dict[str, Any], option_flag: str) -> Iterator[str]:
    yield story["name"]
    yield ""
    if story["story"].partition("\n")[0] != story["summary"]:  # a preset has a line of its own
        yield from (story["summary"], "")
    yield story["story"]
    if told := [(key, value) for key, value in story.items() if key not in _KNOWN]:
        yield ""
        yield from (f"{key.capitalize()}: {value}" for key, value in told)
    if not story["options"]:
        return
    yield from ("", f"Options ({option_flag}):")
    for option in story["options"]:
        bounds = ", ".join([option["type"], *option["bounds"]])
        default = "" if option["default"] is None else f"  [default: {option['default']}]"
        yield f"  {option['name']}  {bounds}{default}"
        yield from textwrap.wrap(option["help"], 78, initial_indent="      ", subsequent_indent="      ")


def _kind(annotation: Any) -> str:
    """Return a type as a user would say it."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) is typing.Literal:
        return "|".join(str(word) for word in typing.get_args(annotation))
    if annotation is type(None):
        return "none"
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(_kind(part) for part in typing.get_args(annotation))
    words = {str: "text", int: "whole number", float: "number", bool: "true|false"}
    return words.get(annotation) or str(getattr(annotation, "__name__", annotation))


def _bounds(annotation: Any) -> list[str]:
    """Return the bounds declared on a type, those of a part of a union included."""
    found = []
    for note in getattr(annotation, "__metadata__", ()):
        for name, text in _BOUNDS.items():
            if (value := getattr(note, name, None)) is not None:
                found.append(text.format(value))
    for part in typing.get_args(annotation):
        if typing.get_origin(part) is typing.Annotated:
            found += _bounds(part)
    return found

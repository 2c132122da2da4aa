"""Parameter types and help layout shared by the commands."""

import importlib.util
import pkgutil
from collections.abc import Iterable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from saliency_cli.errors import nearest


class Choice(click.Choice[str]):
    """One of some words; a misspelt one is answered with the nearest."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return Click's sentence and the suggestion."""
        meant = nearest(str(value), self.choices)
        return super().get_invalid_choice_message(value, ctx) + (f" {meant[:1].upper()}{meant[1:]}" if meant else "")


class NamedPath(click.ParamType[tuple[str, str]]):
    """`NAME=PATH`: a file for one named input of the model."""

    name = "name=path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split at the first `=`."""
        name, equals, path = str(value).partition("=")
        if not (name and equals and path):
            self.fail(f"'{value}' is not NAME=PATH", param, ctx)
        return name, path


class MethodNames(click.ParamType[tuple[str, ...]]):
    """Comma-separated names of methods, checked against the files of the room, not imported."""

    name = "method[,method…]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the names. Raises `saliency_cli.errors.UsageError` for an unknown one."""
        del param, ctx
        if isinstance(value, tuple):  # the default comes as it is
            return value
        names = tuple(name.strip() for name in str(value).split(",") if name.strip())
        for name in names:
            method_registry().summary(name)
        return names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Complete the name after the last comma."""
        del ctx, param
        before, comma, start = incomplete.rpartition(",")
        registry = method_registry()
        names = [name for name in registry.names() if name.startswith(start)]
        return [CompletionItem(before + comma + name, help=registry.summary(name)) for name in names]


class MethodName(click.ParamType[str]):
    """The name of one method."""

    name = "method"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name. Raises `saliency_cli.errors.UsageError` for an unknown one."""
        del param, ctx
        method_registry().summary(str(value))
        return str(value)


class MetricTexts(click.ParamType[str]):
    """`name` or `name:option=value,…`: the name is checked against the files of the room, not imported."""

    name = "metric"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text. Raises `saliency_cli.errors.UsageError` for an unknown metric."""
        del param, ctx
        metric_registry().summary(str(value).partition(":")[0].strip())
        return str(value).strip()

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Complete the name."""
        del ctx, param
        registry = metric_registry()
        return [
            CompletionItem(name, help=registry.summary(name))
            for name in registry.names()
            if name.startswith(incomplete)
        ]


class BatchSize(click.ParamType["int | str"]):
    """A number of points, 1 or more, or `auto`."""

    name = "n|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return the number, or the word."""
        if value == "auto":
            return "auto"
        try:
            return click.IntRange(min=1).convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is neither a whole number from 1 on nor `auto`", param, ctx)


class ByteSize(click.ParamType[str]):
    """A number of bytes as a text: `2GB`, `500MiB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text. Raises `saliency_cli.errors.UsageError` for what is no size."""
        del param, ctx
        from saliency_cli.runs.memory import parse_size

        parse_size(str(value))
        return str(value)


class NumberPair(click.ParamType[tuple[float, float]]):
    """`LOW,HIGH`, the first below the second."""

    name = "low,high"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Split at the comma."""
        if isinstance(value, tuple):
            return value
        try:
            low, high = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"'{value}' is not LOW,HIGH", param, ctx)
        if not low < high:
            self.fail(f"'{value}' is not LOW,HIGH: the first must be below the second", param, ctx)
        return low, high


class NamedPair(click.ParamType[tuple[str, tuple[float, float]]]):
    """`LOW,HIGH`, or `NAME=LOW,HIGH` for one named input of the model; without a name it is empty."""

    name = "[name=]low,high"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[float, float]]:
        """Split at the last `=`."""
        name, equals, pair = str(value).rpartition("=")
        if equals and not name:
            self.fail(f"'{value}' is not NAME=LOW,HIGH", param, ctx)
        return name, NumberPair().convert(pair, param, ctx)


class ShardText(click.ParamType[tuple[int, int]]):
    """`I/N`, counted from 1."""

    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Split at the slash."""
        if isinstance(value, tuple):
            return value
        first, slash, second = str(value).partition("/")
        if not (slash and first.isdecimal() and second.isdecimal()):
            self.fail(f"'{value}' is not I/N, such as 2/8", param, ctx)
        index, of = int(first), int(second)
        if not 1 <= index <= of:
            self.fail(f"'{value}': shards are counted from 1/{of or 'N'} to {of or 'N'}/{of or 'N'}", param, ctx)
        return index, of


def metric_registry() -> Any:
    """Return the registry of metrics, imported late to keep the start cheap."""
    from saliency_cli.registry import Registry

    return Registry[Any]("saliency_cli.metrics", "metric")


def method_registry() -> Any:
    """Return the registry of methods, imported late to keep the start cheap."""
    from saliency_cli.registry import Registry

    return Registry[Any]("saliency_cli.methods", "method")


def module_names(package: str) -> tuple[str, ...]:
    """Return the plug-in names of a room from its folder, not importing even the room itself."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    names = [info.name for info in pkgutil.iter_modules(folders) if not info.name.startswith("_")]
    return tuple(sorted(name.replace("_", "-") for name in names))


class SectionOption(click.Option):
    """An option that belongs to a section of the help."""

    def __init__(self, *arguments: Any, section: str, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.section = section


class SectionCommand(click.Command):
    """A command whose help starts with examples and groups its options."""

    examples: Sequence[tuple[str, str]] = ()
    sections: Sequence[str] = ()

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the description and the examples."""
        super().format_help_text(ctx, formatter)
        with formatter.section("Examples"):
            for command, meaning in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{command}\n")
                formatter.write(f"{'':{formatter.current_indent + 4}}{meaning}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list for each section; what has none (`--help`) goes to the last."""
        grouped: dict[str, list[tuple[str, str]]] = {section: [] for section in self.sections}
        for option in _options(self.get_params(ctx)):
            if record := option.get_help_record(ctx):
                grouped[getattr(option, "section", self.sections[-1])].append(record)
        for section, records in ((section, records) for section, records in grouped.items() if records):
            with formatter.section(section):
                formatter.write_dl(records)


def _options(parameters: Iterable[click.Parameter]) -> list[click.Option]:
    return [parameter for parameter in parameters if isinstance(parameter, click.Option)]

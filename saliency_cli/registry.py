"""Plug-ins found by file name: the file's name is the plug-in's name, its docstring its help."""

import ast
import importlib
import importlib.util
import pkgutil
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cached_property
from typing import Any, Generic, TypeVar

from saliency_cli.errors import UsageError, nearest

Plugin = TypeVar("Plugin")


class Option(typing.NamedTuple):
    """One option of a plug-in, as declared on its dataclass field."""

    name: str
    annotation: Any
    default: Any
    help: str


class Registry(Generic[Plugin]):
    """The plug-ins of one room.

    A plug-in is one module of `package` with a single name in `__all__`: a frozen dataclass whose
    fields are its options (`Annotated[int, msgspec.Meta(ge=1, description="…")] = 50`). A module may
    declare named presets as a literal: `PRESETS = {"vargrad": ("one line of help", {"form": "variance"})}`.
    Names and summaries are read from the source without importing the plug-in.
    """

    def __init__(self, package: str, kind: str) -> None:
        self.package = package
        self.kind = kind

    @cached_property
    def _modules(self) -> dict[str, str]:
        """Plug-in name → module name, presets included."""
        found: dict[str, str] = {}
        for info in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
            found[info.name.replace("_", "-")] = info.name
            found.update(dict.fromkeys(self._presets(info.name), info.name))
        return dict(sorted(found.items()))

    def _tree(self, module: str) -> ast.Module:
        spec = importlib.util.find_spec(f"{self.package}.{module}")
        assert spec is not None
        loader = typing.cast("importlib.abc.InspectLoader", spec.loader)
        return ast.parse(loader.get_source(f"{self.package}.{module}") or "")

    def _presets(self, module: str) -> dict[str, tuple[str, dict[str, str]]]:
        for node in self._tree(module).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PRESETS":
                return typing.cast(dict[str, tuple[str, dict[str, str]]], ast.literal_eval(node.value))
        return {}

    def names(self) -> tuple[str, ...]:
        """Return every plug-in's name, sorted, importing none of them."""
        return tuple(self._modules)

    def summary(self, name: str) -> str:
        """Return the plug-in's first docstring line (or its preset's line) without importing it."""
        module = self._module(name)
        presets = self._presets(module)
        if name in presets:
            return presets[name][0]
        return (ast.get_docstring(self._tree(module)) or "").partition("\n")[0]

    def story(self, name: str) -> str:
        """Return the whole docstring of the plug-in's module, without importing it."""
        return ast.get_docstring(self._tree(self._module(name))) or ""

    def _module(self, name: str) -> str:
        try:
            return self._modules[name.replace("_", "-")]
        except KeyError:
            known = self.names()
            raise UsageError(
                f"no {self.kind} is called '{name}'",
                hint=nearest(name, known) or f"there are: {', '.join(known)}",
                reason=f"unknown-{self.kind}",
            ) from None

    def load(self, name: str) -> type[Plugin]:
        """Import one plug-in and return its class."""
        module = importlib.import_module(f"{self.package}.{self._module(name)}")
        (public,) = module.__all__
        return typing.cast(type[Plugin], getattr(module, public))

    def options(self, name: str) -> tuple[Option, ...]:
        """Return the options the plug-in declares, a preset's own defaults applied."""
        plugin: Any = self.load(name)
        preset = self._presets(self._module(name)).get(name, ("", {}))[1]
        hints = typing.get_type_hints(plugin, include_extras=True)
        found = []
        for field in fields(plugin):
            default = preset.get(field.name, None if field.default is MISSING else field.default)
            found.append(Option(field.name, hints[field.name], default, _description(hints[field.name])))
        return tuple(found)

    def build(self, name: str, settings: Mapping[str, object]) -> Plugin:
        """Construct a plug-in from text or typed settings.

        Raises `UsageError` naming every mistake at once: unknown options (with the nearest known one)
        and values of the wrong type or out of bounds.
        """
        import msgspec

        options = {option.name: option for option in self.options(name)}
        values: dict[str, Any] = dict(self._presets(self._module(name)).get(name, ("", {}))[1])
        mistakes = []
        for key, value in settings.items():
            field = key.replace("-", "_")
            if field not in options:
                known = nearest(key, tuple(options)) or f"its options: {', '.join(options) or 'none'}"
                mistakes.append(f"{name} has no option '{key}' ({known})")
                continue
            try:
                values[field] = msgspec.convert(value, options[field].annotation, strict=False)
            except msgspec.ValidationError as error:
                mistakes.append(f"{key}={value}: {str(error).lower().replace('`', '')}")
        if mistakes:
            raise UsageError("; ".join(mistakes), hint=f"saliency {self.kind}s {name}", reason="bad-option")
        return self.load(name)(**values)


def _description(annotation: Any) -> str:
    for note in getattr(annotation, "__metadata__", ()):
        if description := getattr(note, "description", None):
            return str(description)
    return ""

"""The methods of a run, built from `--method` and `-p`, every mistake told together."""

from collections.abc import Mapping
from typing import Any

from saliency_cli.differentiable import Method
from saliency_cli.errors import UsageError, nearest
from saliency_cli.records import MethodRecord
from saliency_cli.registry import Registry

METHODS: Registry[Method] = Registry("saliency_cli.methods", "method")
_NOTHING: Mapping[str, str] = {}


def build_methods(names: tuple[str, ...], options: tuple[str, ...]) -> dict[str, Method]:
    """Return the methods by name.

    `options` are `key=value` or `method.key=value`; a plain key goes to every method that has it. Raises
    `UsageError` for unknown methods, options nobody has, and values out of bounds.
    """
    names = tuple(dict.fromkeys(names))
    known = {name: {option.name for option in METHODS.options(name)} for name in names}
    settings: dict[str, dict[str, str]] = {name: {} for name in names}
    mistakes = []
    for text in options:
        key, equals, value = text.partition("=")
        method, dot, field = key.rpartition(".")
        field = field.replace("-", "_")
        takers = [name for name in ([method] if dot else names) if field in known.get(name, ())]
        if not equals:
            mistakes.append(f"'{text}' is not key=value")
        elif dot and method not in names:
            mistakes.append(f"'{method}' is not among the methods asked for ({', '.join(names)})")
        elif not takers:
            mistakes.append(_nobody_has(field, {method: known[method]} if dot else known))
        for name in takers if equals else ():
            settings[name][field] = value
    built = {}
    for name in names:
        try:
            built[name] = METHODS.build(name, settings[name])
        except UsageError as error:
            mistakes.append(f"{name}: {error.message}")
    if mistakes:
        hint = "saliency methods " + (names[0] if len(names) == 1 else "NAME") + " shows the options"
        raise UsageError("; ".join(mistakes), hint=hint, reason="bad-option")
    return built


def _nobody_has(field: str, known: Mapping[str, set[str]]) -> str:
    every = sorted(set().union(*known.values()))
    who = ", ".join(known)
    return f"{who} has no option '{field}' ({nearest(field, every) or 'there are: ' + (', '.join(every) or 'none')})"


def describe_methods(methods: Mapping[str, Method], reasons: Mapping[str, str] = _NOTHING) -> list[MethodRecord]:
    """Return each method with every option, its unit, its exact definition, and why what was found is what it is."""
    described = []
    for name, method in methods.items():
        options: dict[str, Any] = {option.name: getattr(method, option.name) for option in METHODS.options(name)}
        told = definition(METHODS, name)
        reason = reasons.get(name, "")
        described.append(MethodRecord(name=name, options=options, definition=told, unit=method.unit, reason=reason))
    return described


def definition(registry: Registry[Any], name: str) -> str:
    """Return the paragraph under `Definition` in a plug-in's docstring."""
    lines = registry.story(name).splitlines()
    start = lines.index("Definition") + 1
    taken = []
    for line in lines[start:]:
        if not line.strip():
            break
        taken.append(line.strip())
    return " ".join(taken)

"""A Python file the user named by a flag: run, and what it defines handed back."""

import importlib.util
from pathlib import Path
from typing import Any

from saliency_cli.errors import UsageError


def run_python(file: str, flag: str, usage: str) -> dict[str, Any]:
    """Run a Python file and return its public callables by name.

    `flag` is what the user typed and `usage` what they should have, for the message of the `UsageError`
    where the file is missing, is no Python, or raises.
    """
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"{flag}: there is no file '{file}'", hint=usage)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{flag}: '{file}' is not a Python file", hint=usage)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{flag}: '{file}' can't be run: {type(error).__name__}: {error}", hint=usage) from error
    return {name: value for name, value in vars(module).items() if not name.startswith("_") and callable(value)}

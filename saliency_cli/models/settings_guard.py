"""What loading a model must leave as it was: Keras's global settings, the search path, and the memory.

A second wall behind `screening`: it looks at what happened, whatever in the file made it happen.
"""

import contextlib
import functools
import random
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.errors import ModelError

_SPARE = 1 << 24
"""Numbers a model may hold beside its file's: states of random generators, windows of a spectrogram."""


@contextlib.contextmanager
def guarded(path: Path | str, numbers: int | None = None) -> Iterator[None]:
    """Load a model inside this block. Raises `ModelError` if the load changed a global setting.

    `numbers`: how many numbers the file holds; variables that would take much more are refused before
    they are allocated. The current folder can't be imported from inside the block, and what drew random
    numbers there leaves Python's and NumPy's generators as they were.
    """
    before = _settings()
    generators = _generators()
    with _no_current_folder(), _no_foreign_modules(), _bounded(path, numbers):
        try:
            yield
        finally:
            changed = _restore(before)
            for put_back in generators:
                put_back()
    if changed:
        raise ModelError(
            f"'{path}' is refused: loading it changed Keras's {changed[0]} for every other model",
            hint="save the model again without it",
            reason="refused-settings",
        )


def _settings() -> dict[str, tuple[Any, Callable[[Any], object], Callable[[], Any]]]:
    """Return each setting's name, its value, how to write it and how to read it."""
    config = keras.config
    accessors: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
        "floatx": (config.floatx, config.set_floatx),
        "epsilon": (config.epsilon, config.set_epsilon),
        "image data format": (config.image_data_format, config.set_image_data_format),
        "dtype policy": (config.dtype_policy, config.set_dtype_policy),
        "backend": (config.backend, _keep),
        "interactive logging": (config.is_interactive_logging_enabled, _switch(config, "interactive_logging")),
        "traceback filtering": (config.is_traceback_filtering_enabled, _switch(config, "traceback_filtering")),
        **_keras_state(),
        **_older_keras(),
        "eager functions": (tf.config.functions_run_eagerly, tf.config.run_functions_eagerly),
    }
    return {name: (read(), write, read) for name, (read, write) in accessors.items()}


def _keras_state() -> dict[str, tuple[Callable[[], Any], Callable[[Any], object]]]:
    """Return what Keras keeps without a public way to put it back: the safe mode and the seed."""
    from keras.src.backend.common import global_state

    def at(key: str) -> tuple[Callable[[], Any], Callable[[Any], object]]:
        return lambda: global_state.get_global_attribute(key), lambda value: global_state.set_global_attribute(
            key, value
        )

    return {"safe mode": at("safe_mode_saving"), "random seed": at("global_random_seed")}


def _older_keras() -> dict[str, tuple[Callable[[], Any], Callable[[Any], object]]]:
    """Return the settings of `tf_keras`, where an older model has had it imported."""
    older = sys.modules.get("tf_keras")
    if older is None:
        return {}
    backend, policies = older.backend, older.mixed_precision
    return {
        "older floatx": (backend.floatx, backend.set_floatx),
        "older epsilon": (backend.epsilon, backend.set_epsilon),
        "older image data format": (backend.image_data_format, backend.set_image_data_format),
        "older dtype policy": (lambda: policies.global_policy().name, policies.set_global_policy),
    }


def _switch(config: Any, name: str) -> Callable[[Any], object]:
    def write(on: Any) -> object:
        return getattr(config, f"{'enable' if on else 'disable'}_{name}")()

    return write


def _keep(_: Any) -> None:
    """Stand in for a setting that can't be written: its change is only told."""


def _restore(before: dict[str, tuple[Any, Callable[[Any], object], Callable[[], Any]]]) -> list[str]:
    """Put every setting back that is not as before; return the names of those."""
    changed = []
    for name, (value, write, read) in before.items():
        if read() != value:
            changed.append(name)
            write(value)
    return changed


def _generators() -> list[Callable[[], object]]:
    """Return what puts the random generators of Python and NumPy back where they are now."""
    import numpy as np

    state, drawn = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global generator is the point
    return [lambda: random.setstate(state), lambda: np.random.set_state(drawn)]  # noqa: NPY002


@contextlib.contextmanager
def _no_current_folder() -> Iterator[None]:
    """Keep what lies beside a model, in the current folder, from being imported while it loads."""
    kept = list(sys.path)
    sys.path[:] = [entry for entry in kept if not _is_here(entry)]
    sys.path_importer_cache.pop("", None)
    try:
        yield
    finally:
        sys.path[:] = kept


def _is_here(entry: str) -> bool:
    if entry in ("", "."):
        return True
    try:
        return Path(entry).resolve() == Path.cwd()
    except OSError:
        return False  # the current folder is gone: nothing can be imported from it


@contextlib.contextmanager
def _bounded(path: Path | str, numbers: int | None) -> Iterator[None]:
    """Refuse variables that add up to much more than the file holds, before they are allocated."""
    if numbers is None:
        yield
        return
    budget = 4 * numbers + _SPARE
    spent = 0

    def count(shape: Any) -> None:
        nonlocal spent
        spent += _count(shape)
        if spent > budget:
            raise ModelError(
                f"'{path}' is refused: it declares more than {budget:,} weights, but holds {numbers:,} numbers",
                hint="was it saved whole, with its weights?",
                reason="refused-size",
            )

    with contextlib.ExitStack() as stack:
        stack.enter_context(_counting(keras.Variable, "__init__", count))
        if "tf_keras" in sys.modules:
            stack.enter_context(_counting(sys.modules["tf_keras"].layers.Layer, "add_weight", count))
        yield


@contextlib.contextmanager
def _no_foreign_modules() -> Iterator[None]:
    """Keep `tf_keras` from importing whatever module a configuration names; Keras 3 imports its own only."""
    reader = sys.modules.get("tf_keras.src.saving.serialization_lib")
    if reader is None:
        yield
        return
    kept = reader.importlib

    def import_module(name: str) -> Any:
        if name.partition(".")[0] != "tf_keras":
            raise ModuleNotFoundError(f"a model file may not name the module {name}")
        return kept.import_module(name)

    reader.importlib = types.SimpleNamespace(import_module=import_module)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        reader.importlib = kept  # type: ignore[attr-defined]


@contextlib.contextmanager
def _counting(kind: Any, method: str, count: Callable[[Any], None]) -> Iterator[None]:
    """Tell `count` the shape of every variable, for the length of the block; both methods take it second."""
    original = getattr(kind, method)
    own = method in vars(kind)

    @functools.wraps(original)
    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        count(options.get("shape", arguments[1] if len(arguments) > 1 else None))
        return original(self, *arguments, **options)

    setattr(kind, method, counted)
    try:
        yield
    finally:
        if own:
            setattr(kind, method, original)
        else:
            delattr(kind, method)


def _count(shape: Any) -> int:
    product = 1
    for length in shape if isinstance(shape, list | tuple) else ():
        product *= length if isinstance(length, int) else 1
    return product

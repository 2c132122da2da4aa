"""TensorFlow and Keras, imported once and without a word on the terminal.

Every module that computes takes `tf` and `keras` from here, so that the environment is set before the
first import whoever comes first.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from saliency_cli.errors import ModelError, UsageError


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send what native code writes to stderr into a file, and show it only if the block fails."""
    try:
        stderr = sys.__stderr__.fileno() if sys.__stderr__ else -1
        kept = os.dup(stderr)
    except (OSError, ValueError):
        yield
        return
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), stderr)
        try:
            yield
        except BaseException:
            os.dup2(kept, stderr)
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(kept, stderr)
            os.close(kept)


@contextlib.contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Make `import name` fail for the length of the block, unless it is already imported."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


# What Keras imports if it finds it and gradients never need: 0.3–0.5 s each of a cold start.
_UNNEEDED = ("matplotlib", "sklearn", "pandas")


def _import() -> tuple[Any, Any]:
    if "tensorflow" in sys.modules:
        import keras
        import tensorflow as tf

        return tf, keras
    os.environ["KERAS_BACKEND"] = "tensorflow"
    verbose = os.environ.get("SALIENCY_TENSORFLOW_LOG") == "1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0" if verbose else "3"
    with contextlib.ExitStack() as stack:
        if not verbose:
            stack.enter_context(_quiet())
        # Only for the command and its workers: a notebook may want Keras's own use of them later.
        ours = "saliency_cli.cli.entry" in sys.modules or "saliency_cli.engines.child" in sys.modules
        for name in _UNNEEDED if ours else ():
            stack.enter_context(_hidden(name))
        import keras
        import tensorflow as tf
    return tf, keras


tf, keras = _import()

if keras.backend.backend() != "tensorflow":
    raise ModelError(
        f"Keras runs on {keras.backend.backend()} in this process, and gradients are taken by TensorFlow",
        hint="set KERAS_BACKEND=tensorflow before Keras is imported",
    )


def _set_threads(threads: int) -> None:
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(min(threads, 2))
    except RuntimeError:  # for good, once TensorFlow has begun: a cluster's worker may have served another run
        known = tf.config.threading.get_intra_op_parallelism_threads() or "all"
        raise UsageError(
            f"{threads} threads were asked for, and TensorFlow is at work in this process with {known}",
            hint=f"--threads {known}" if known != "all" else "leave --threads out; or start the workers again",
        ) from None


def configure(threads: int | None, device: str | None) -> str:
    """Set the number of threads and choose the device; return the device's TensorFlow name.

    `device`: `cpu`, `gpu`, `gpu:1`, or None for the first GPU if there is one. Raises `UsageError` for a
    device this machine lacks.
    """
    if threads is not None:
        _set_threads(threads)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # A process that takes the whole card leaves nothing for its neighbours.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, enable=True)
    if device is None:
        return "/GPU:0" if gpus else "/CPU:0"
    kind, _, index = device.lower().partition(":")
    known = {"cpu": 1, "gpu": len(gpus)}
    number = int(index) if index.isdigit() else 0
    if kind not in known or (index and not index.isdigit()) or number >= known[kind]:
        there = ["cpu", *(f"gpu:{i}" for i in range(len(gpus)))]
        raise UsageError(f"there is no device '{device}'", hint=f"this machine has: {', '.join(there)}")
    return f"/{kind.upper()}:{number}"

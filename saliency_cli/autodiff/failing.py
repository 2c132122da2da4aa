"""A model that fails when it is called: told as its own fault or its input's, with what it said."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from saliency_cli.errors import InputError, ModelError, SaliencyError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m|\[[01]m")
_NODE = re.compile(r"([^\n]+)\n?\s*\[\[\{\{node ([^}]+)\}\}\]\]")
_WHERE = re.compile(r"when calling (.+?)\.call\(\)")


@contextmanager
def failures_told(batch: int) -> Iterator[None]:
    """Raise `ModelError` for whatever a model's forward pass raises while it is traced at a batch size."""
    try:
        yield
    except (SaliencyError, MemoryError):
        raise
    except Exception as error:
        where, said = _told(str(error))
        raise ModelError(
            f"the model can't be computed for a batch of {batch}: {where}{type(error).__name__}: {said}",
            hint="it has to answer model(x, training=False) for inputs of the shape it declares"
            + ("" if batch == 1 else "; --batch-size 1 where it takes one sample at a time"),
            reason="failing-model",
        ) from error


def _told(text: str) -> tuple[str, str]:
    """Return where Keras says it happened and what was said, without its colours and lists of arguments."""
    lines = [line.strip() for line in _COLOURS.sub("", text).splitlines() if line.strip()]
    found = _WHERE.search(lines[0]) if lines else None
    if found is None:
        return "", lines[0][:300] if lines else "no reason given"
    return f"in the layer {found[1]}: ", (lines[1] if len(lines) > 1 else lines[0])[:300]


def refused_by_model(text: str) -> InputError:
    """Return the error of an input at which an operation of the model failed, from what TensorFlow said of it."""
    found = _NODE.search(text)
    said = found[1].strip() if found else (text.strip().splitlines() or ["no reason given"])[-1]
    where = f" ('{found[2]}')" if found else ""
    return InputError(
        f"the model can't be computed at this input: {said[:300]}{where}",
        hint="an embedding takes whole numbers from 0 to below its size; saliency inspect MODEL shows the inputs",
        reason="refused-by-model",
    )

"""SavedModel directories: screened, loaded, and flattened to one graph.

Written by `tf.saved_model.save`, `model.export` of Keras 2 and 3, `model.save(folder)` of Keras 2, and
TensorFlow 1. A signature's inputs and outputs keep their names; its variables become the graph's weights
and its function calls are replaced by what they call.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saliency_cli.autodiff.model import Model
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.flattened import GraphSource, build
from saliency_cli.models.graphs.saved_model_reading import SavedModelFile, look_at, recognise
from saliency_cli.models.options import OpenOptions

__all__ = ["load", "recognise"]


def load(path: Path, options: OpenOptions) -> Model:
    """Load a SavedModel directory. Raises `ModelError` for one that is refused, broken or of strings."""
    found = look_at(path, signature=options.signature, trust=options.trust)
    with _as_looked_at(path, found) as folder, _silent():
        try:
            loaded = tf.saved_model.load(folder, tags=list(found.tags) if found.several else None)
            source = _flattened(loaded.signatures[found.signature])
        except ModelError:
            raise
        except Exception as error:
            first = str(error).strip().partition("\n")[0][:300] or type(error).__name__
            raise ModelError(
                f"TensorFlow can't load '{path}': {first}",
                hint="was it copied whole, with its variables? --debug shows where it stopped",
                reason="unloadable",
            ) from error
        return build(
            source,
            name=path.resolve().name,
            kind="saved-model",
            path=path.as_posix(),
            sha256=found.sha256,
            writer=found.writer,
        )


@contextlib.contextmanager
def _as_looked_at(path: Path, found: SavedModelFile) -> Iterator[str]:
    """Give TensorFlow a folder with the very bytes that were looked at, and links to the variables."""
    _register_optimizer()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "saved_model.pb").write_bytes(found.content)
        for part in ("variables", "assets"):
            if (path / part).is_dir():
                Path(directory, part).symlink_to((path / part).resolve())
        yield directory


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep TensorFlow's warnings about old variables off the terminal."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Optimizer(tf.__internal__.tracking.AutoTrackable):  # type: ignore[misc]
    """What stands for the optimizer of a model that Keras 2 saved compiled: it takes slots and drops them."""

    def add_slot(self, *_: Any, **__: Any) -> None:
        """Accept a slot variable."""


def _register_optimizer() -> None:
    """Let a Keras 2 optimizer be revived: only Keras 2 itself registers that type, and loading fails without."""
    registry = tf.__internal__.saved_model.load
    if "optimizer" not in registry.registered_identifiers():
        version = registry.VersionedTypeRegistration(
            object_factory=lambda _: _Optimizer(), version=2, min_producer_version=1, min_consumer_version=1
        )
        registry.register_revived_type("optimizer", lambda _: False, versions=[version])


def _flattened(function: Any) -> GraphSource:
    """Return a signature's graph with its variables as constants, by the signature's own names.

    Loops and branches stay whole operations: lowered to switches they have no gradient.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    flat = convert_variables_to_constants_v2(function, lower_control_flow=False)
    if any(tensor.dtype == tf.resource for tensor in flat.inputs):
        raise ModelError(
            "the model looks values up in a table, which is kept outside its graph",
            hint="export the part of the model behind the lookup",
            reason="unsupported-table",
        )
    # Both lists are in the function's own order, which is not that of the signature's sorted names.
    names = list(function._arg_keywords)  # noqa: SLF001 - the public signature doesn't keep the order
    inputs = {name: tensor.name for name, tensor in zip(names, flat.inputs, strict=True)}
    shapes = {name: _shape(spec) for name, spec in function.structured_input_signature[1].items()}
    keys = sorted(function.structured_outputs, key=_by_number)
    flat_keys = sorted(function.structured_outputs)
    tensors = dict(zip(flat_keys, flat.outputs, strict=True))
    return GraphSource(
        flat.graph.as_graph_def(),
        inputs,
        {key: tensors[key].name for key in keys},
        {name: shape for name, shape in shapes.items() if shape is not None},
    )


def _by_number(name: str) -> tuple[str, int, str]:
    """Sort `output_2` before `output_10`."""
    head, _, tail = name.rpartition("_")
    return (head, int(tail), "") if tail.isdigit() else (name, -1, "")


def _shape(spec: Any) -> tuple[int | None, ...] | None:
    return tuple(spec.shape) if spec.shape.rank is not None else None

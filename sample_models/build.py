"""Build the sample models: `python sample_models/build.py [NAME ...]`.

Needs TensorFlow, Keras and the extra `samples`; takes a few minutes. The same machine and versions
give the same files to the byte.
"""

from __future__ import annotations

import json
import re
import sys
import time
import zipfile
from pathlib import Path

import data
import exact
import keras
import shapes
import signals
import tensorflow as tf
import trained

HERE = Path(__file__).resolve().parent
BUILDERS = {
    builder.__name__: builder
    for builder in (
        trained.shapes,
        trained.two_inputs_two_outputs,
        trained.signal,
        trained.table,
        trained.nested,
        exact.linear,
        exact.quadratic,
        exact.product,
        exact.binary,
        exact.saturated,
        exact.dead,
    )
}
CLASS_NAMES = {"shapes": shapes.CLASSES, "signal": signals.CLASSES, "table": data.CULTIVARS}


def build(name: str, folder: Path = HERE) -> Path:
    """Build one model from its seed and save it, with its class names where it has any.

    Args:
        name: A key of `BUILDERS`.
        folder: Where to.

    Returns:
        The model's file.
    """
    keras.utils.clear_session()  # names that Keras gives don't depend on what was built before
    keras.utils.set_random_seed(20)
    model = BUILDERS[name]()
    # A copy that was never compiled: an optimizer's state would treble the file.
    bare = model.__class__.from_config(model.get_config())
    bare.set_weights(model.get_weights())
    path = folder / f"{name}.keras"
    bare.save(path)
    _settle(path)
    if name in CLASS_NAMES:
        names = "".join(f"{word}\n" for word in CLASS_NAMES[name])
        (folder / f"{name}.txt").write_text(names, encoding="utf-8")
    return path


def _settle(path: Path) -> None:
    """Take date and memory addresses out of a model file, so that building it again changes nothing."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(members["metadata.json"])
    metadata["date_saved"] = "2000-01-01@00:00:00"
    members["metadata.json"] = json.dumps(metadata).encode()
    config = members["config.json"].decode()
    for number, address in enumerate(dict.fromkeys(re.findall(r'"shared_object_id": (\d+)', config)), 1):
        config = config.replace(f'"shared_object_id": {address}', f'"shared_object_id": {number}')
    members["config.json"] = config.encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)  # dated 1980
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def main(names: list[str]) -> None:
    """Build the models named, or all."""
    unknown = [name for name in names if name not in BUILDERS]
    if unknown:
        sys.exit(f"no such model: {', '.join(unknown)}; there are {', '.join(BUILDERS)}")
    tf.config.experimental.enable_op_determinism()
    for name in names or BUILDERS:
        started = time.perf_counter()
        path = build(name)
        print(f"{path.name:32} {path.stat().st_size:8,} bytes {time.perf_counter() - started:6.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])

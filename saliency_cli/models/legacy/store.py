"""The store of Keras 2.12 and later: each object's variables under its path, in a zip or a `.weights.h5`."""

import zipfile
from typing import Any

import numpy as np

from saliency_cli.errors import ModelError
from saliency_cli.models.legacy.config import Legacy

# Groups of a store that belong to training, not to the model.
_TRAINING = ("optimizer", "metrics", "_metrics", "compiled_metrics", "compiled_loss", "train_function")


def from_store(model: Any, legacy: Legacy, archive: zipfile.ZipFile | None) -> None:
    """Assign every variable of a store. Raises `ModelError` where one is left over, or one of the model is."""
    from tf_keras.src.saving import saving_lib

    name = "model.weights.h5" if archive else legacy.path
    store = saving_lib.H5IOStore(name, archive=archive, mode="r")
    wanted: set[str] = set()
    get = store.get

    def remembered(path: str) -> Any:
        wanted.add(f"{path}/vars".lstrip("/"))
        return get(path)

    store.get = remembered
    missing = {id(variable): variable for variable in model.weights}
    for variable in missing.values():
        _mark(variable)
    has_assets = archive is not None and any(member.startswith("assets/") for member in archive.namelist())
    assets = saving_lib.DiskIOStore("assets", archive=archive, mode="r") if has_assets else None
    try:
        saving_lib._load_state(model, store, assets, inner_path="", visited_trackables=set())
        held = _variables(store.h5_file)
    finally:
        store.close()
        if assets is not None:
            assets.close()
    left = sorted(held - wanted)
    if left:
        raise unfitting(legacy, f"the weights at '{left[0]}' found no place")
    lost = [variable.name for variable in missing.values() if _marked(variable)]
    if lost:
        raise unfitting(legacy, f"it holds nothing for {len(lost)} of the model's variables, among them '{lost[0]}'")


def _variables(file: Any) -> set[str]:
    """Return the paths of a store's groups that hold variables of the model."""
    import h5py

    held: set[str] = set()

    def visit(path: str, item: Any) -> None:
        group = path.rpartition("/")[0]
        if isinstance(item, h5py.Dataset) and not path.startswith(_TRAINING) and "seed_generator" not in path:
            held.add(group)

    file.visititems(visit)
    return held


def _mark(variable: Any) -> None:
    """Fill a variable with a value that a file doesn't hold, to know afterwards whether it was assigned."""
    if variable.dtype.is_floating:
        variable.assign(np.full(variable.shape, np.nan))


def _marked(variable: Any) -> bool:
    return bool(variable.dtype.is_floating and np.size(variable) and np.isnan(variable.numpy()).all())


def unfitting(legacy: Legacy, what: str) -> ModelError:
    """Return the error of weights that don't fit the model they stand with."""
    where = f"the configuration in '{legacy.architecture}'" if legacy.architecture else "its own configuration"
    return ModelError(
        f"the weights in '{legacy.path}' don't fit {where}: {what}",
        hint="the file is broken, or not a whole model; save it again from the Keras that wrote it",
        reason="weights-mismatch",
    )

"""The weights of an older Keras's file, each put into its variable: all of them, and none left over.

Keras matched weights to layers by their order. The names in the file are checked beside it, because an
order that differs between two weights of one shape would be wrong without a word.
"""

import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from saliency_cli.errors import ModelError
from saliency_cli.models.legacy.config import Legacy
from saliency_cli.models.legacy.runtime import import_tf_keras
from saliency_cli.models.legacy.store import from_store, unfitting

Array = np.ndarray[Any, Any]


class Saved(NamedTuple):
    """One layer's weights as the file has them."""

    layer: str
    names: list[str]
    arrays: list[Array]


def assign_weights(model: Any, legacy: Legacy) -> None:
    """Assign every weight of the file. Raises `ModelError` where one is left over, or a variable is."""
    import h5py

    import_tf_keras()
    try:
        if legacy.kind == "legacy-zip":
            with zipfile.ZipFile(legacy.path) as archive:
                from_store(model, legacy, archive)
            return
        with h5py.File(legacy.path, "r") as file:
            weights = file.get("model_weights", file)
            in_store = "layer_names" not in weights.attrs and "layer_names0" not in weights.attrs
            if not in_store:
                _from_layers(model, legacy, weights)
        if in_store:
            from_store(model, legacy, None)
    except ModelError:
        raise
    except Exception as error:
        raise unfitting(legacy, str(error).strip().partition("\n")[0][:300]) from error


def _from_layers(model: Any, legacy: Legacy, weights: Any) -> None:
    saved = [entry for entry in _saved(weights) if entry.arrays]
    layers = [layer for layer in model.layers if layer.weights]
    if legacy.major == 1 and len(layers) != len(saved):
        # A Keras 1 Sequential wrote the layers of a nested one beside its own.
        layers = [layer for layer in _flat(model) if layer.weights]
    if len(layers) != len(saved):
        raise unfitting(legacy, f"it holds weights of {len(saved)} layers and the model has {len(layers)}")
    pairs = [pair for layer, entry in zip(layers, saved, strict=True) for pair in _of_layer(layer, entry, legacy)]
    own = model._trainable_weights + model._non_trainable_weights
    if own:
        arrays = _named(weights["top_level_model_weights"])[1] if "top_level_model_weights" in weights else []
        if len(arrays) != len(own):
            raise unfitting(legacy, f"it holds {len(arrays)} weights of the model itself, which has {len(own)}")
        pairs += zip(own, arrays, strict=True)
    _put(model, legacy, pairs)


def _put(model: Any, legacy: Legacy, pairs: list[tuple[Any, Array]]) -> None:
    for variable, array in pairs:
        if tuple(variable.shape) != array.shape:
            raise unfitting(legacy, f"'{variable.name}' is {tuple(variable.shape)} and the file's is {array.shape}")
        variable.assign(array.astype(variable.dtype.as_numpy_dtype))
    assigned = {id(variable) for variable, _ in pairs}
    lost = [variable.name for variable in model.weights if id(variable) not in assigned]
    if lost:
        raise unfitting(legacy, f"it holds nothing for {len(lost)} of the model's variables, among them '{lost[0]}'")
    if len(assigned) != len(pairs):
        raise unfitting(legacy, "it holds one variable twice")
    for layer in model._flatten_layers():
        layer.finalize_state()


def _saved(group: Any) -> Iterator[Saved]:
    for layer in _names(group, "layer_names"):
        yield Saved(layer, *_named(group[layer]))


def _named(group: Any) -> tuple[list[str], list[Array]]:
    names = _names(group, "weight_names")
    return names, [np.asarray(group[name]) for name in names]


def _names(group: Any, attribute: str) -> list[str]:
    """Return a list of names kept in an attribute, or in numbered parts of one too long for HDF5."""
    parts = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(f"{attribute}{len(parts)}")
    values = [value for part in parts for value in group.attrs[part]]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _flat(model: Any) -> list[Any]:
    layers = []
    for layer in model.layers:
        layers += _flat(layer) if hasattr(layer, "layers") else [layer]
    return layers


def _of_layer(layer: Any, saved: Saved, legacy: Legacy) -> list[tuple[Any, Array]]:
    from tf_keras.src.saving.legacy.hdf5_format import preprocess_weights_for_loading

    variables = [*layer.trainable_weights, *layer.non_trainable_weights]
    version = "1" if legacy.major == 1 else legacy.version
    arrays = preprocess_weights_for_loading(layer, list(saved.arrays), version, legacy.backend or None)
    if legacy.major != 1:
        _require_unturned(layer, saved, arrays, legacy)
    if len(arrays) != len(variables):
        raise unfitting(legacy, f"layer '{layer.name}' has {len(variables)} weights and the file {len(arrays)}")
    if legacy.backend == "theano":
        arrays = [_turned(variable, array) for variable, array in zip(variables, arrays, strict=True)]
    if len(saved.names) == len(arrays) and legacy.major != 1:
        variables = _by_name(variables, saved.names, legacy)
    return list(zip(variables, arrays, strict=True))


def _require_unturned(layer: Any, saved: Saved, arrays: list[Array], legacy: Legacy) -> None:
    """Refuse what tf_keras does with a kernel that doesn't fit: it turns the axes, and it may fit by chance."""
    for before, after in zip(saved.arrays, arrays, strict=False):
        if before.ndim > 3 and before.shape != after.shape:
            raise unfitting(legacy, f"layer '{layer.name}' takes no kernel of the shape {before.shape}")


def _turned(variable: Any, array: Array) -> Array:
    """Theano convolves with the kernel turned around, TensorFlow doesn't."""
    spatial = tuple(range(array.ndim - 2))
    return np.flip(array, spatial) if spatial and variable.name.rpartition("/")[2].startswith("kernel") else array


def _by_name(variables: list[Any], names: list[str], legacy: Legacy) -> list[Any]:
    """Return the variables in the file's order, which its names decide where the usual order contradicts them."""
    wanted = [_role(name) for name in names]
    given = [_role(variable.name) for variable in variables]
    if wanted == given or sorted(wanted) != sorted(given):
        return variables
    by_name = {_key(variable.name): variable for variable in variables}
    found = [by_name.get(_key(name)) for name in names]
    if len(by_name) == len(variables) and all(variable is not None for variable in found):
        return found
    raise unfitting(legacy, f"its weights stand in another order than the model's: {names[0]}, …")


def _role(name: str) -> str:
    return name.rpartition("/")[2].partition(":")[0]


def _key(name: str) -> str:
    return "/".join(name.partition(":")[0].split("/")[-2:])

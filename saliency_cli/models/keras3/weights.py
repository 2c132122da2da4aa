"""The floating variables of a live Keras model by name: `backbone/conv/kernel`. For both Kerases."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from saliency_cli.autodiff.model import Weight
from saliency_cli.autodiff.runtime import tf

Variable = Any


class Named(NamedTuple):
    """A variable and the path of the layer that holds it itself ("" for the model)."""

    layer: str
    variable: Variable


def named_variables(model: Any, paths: Mapping[str, Any]) -> dict[str, Named]:
    """Return every floating variable of a model by its layer's path and its own name, in the model's order.

    `paths`: the layers below the model. A variable that several layers hold is named after the first.
    """
    found: dict[str, Named] = {}
    seen: set[int] = set()
    for path, layer in {**paths, "": model}.items():
        for variable in _own(layer):
            if id(variable) in seen or not tf.as_dtype(variable.dtype).is_floating:
                continue
            seen.add(id(variable))
            own = str(variable.name).partition(":")[0].rpartition("/")[2]
            name = f"{path}/{own}" if path else own
            while name in found:
                name += "'"
            found[name] = Named(path, variable)
    return found


def _own(layer: Any) -> list[Variable]:
    kinds = ("_trainable_variables", "_non_trainable_variables", "_trainable_weights", "_non_trainable_weights")
    return [variable for kind in kinds for variable in vars(layer).get(kind, ())]


def owned_weights(model: Any, paths: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of a model that can be given other values."""
    trained = {id(variable) for variable in model.trainable_weights}
    return tuple(
        Weight(
            name,
            layer,
            tuple(variable.shape),
            tf.as_dtype(variable.dtype).name,
            _reader(variable),
            trainable=id(variable) in trained,
        )
        for name, (layer, variable) in named_variables(model, paths).items()
    )


def _reader(variable: Variable) -> Any:
    return lambda: tf.convert_to_tensor(variable, variable.dtype)

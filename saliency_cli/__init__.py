"""Saliency maps of any saved Keras model: what is it looking at, and how much?

```python
import saliency_cli as sal

model = sal.load("model.keras")  # or sal.wrap(keras_model)
attribution = model.attribute(x, method="smoothgrad")
```

Importing this package costs nothing: NumPy and TensorFlow are imported by the first call.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
_MODULES = {
    **dict.fromkeys(("Attribution", "SaliencyModel", "attribute", "load", "wrap"), "saliency_cli.api"),
    **dict.fromkeys(("check", "compare", "evaluate"), "saliency_cli.judging"),
    **dict.fromkeys(("hessian", "jacobian", "maximize", "parameters", "perturb"), "saliency_cli.deriving"),
}
__all__ = [
    "Attribution",
    "SaliencyModel",
    "__version__",
    "attribute",
    "check",
    "compare",
    "evaluate",
    "hessian",
    "jacobian",
    "load",
    "maximize",
    "parameters",
    "perturb",
    "wrap",
]

if TYPE_CHECKING:
    from saliency_cli.api import Attribution, SaliencyModel, attribute, load, wrap
    from saliency_cli.deriving import hessian, jacobian, maximize, parameters, perturb
    from saliency_cli.judging import check, compare, evaluate


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'saliency_cli' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__

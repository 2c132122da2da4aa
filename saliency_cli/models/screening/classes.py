"""One class, function or name in a model's configuration, looked up in the allow-list of `screening.names`."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from saliency_cli.models.screening.names import (
    CLASSES,
    CODE_LAYERS,
    OPERATIONS,
    PLAIN,
    is_stock_class,
    is_stock_function,
    is_stock_symbol,
)

LONGEST_NAME = 1_000

_LIBRARIES = frozenset(
    {"tensorflow", "numpy", "scipy", "h5py", "PIL", "pip", "setuptools", "pkg_resources", "torch", "jax"}
)
_NUMBER_TYPES = ("float", "int", "uint", "bool", "bfloat", "complex")


@dataclass(frozen=True)
class Rules:
    """What the user allowed: code (`trust`), classes from a file (`custom`), Lambda layers replaced by name.

    `slashes`: layer names may hold `/`, as those of Keras 1 and 2 do. `trained`: how the outermost model was
    trained is part of the configuration, and is never built.
    """

    trust: bool = False
    custom: bool = False
    replaced: frozenset[str] = frozenset()
    slashes: bool = True
    trained: bool = False


@dataclass(frozen=True)
class Problem:
    """Why a configuration is refused: a word for scripts, a sentence, and one way out."""

    reason: str
    sentence: str
    hint: str


TRUST = "--trust-model if you made this model yourself: its code is run"
REPLACE = "name a stock layer that does the same"
CUSTOM = "--custom-objects FILE.py with it inside (the file will be run)"


def shown(name: str) -> str:
    """Return a name out of a file, short and without control characters, for a message."""
    letters = (letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name[:80])
    return "".join(letters)


def named(node: dict[str, Any], layer: str, rules: Rules) -> Iterator[Problem]:
    """Look at one dict that names a class or a function."""
    kind = node["class_name"]
    if not isinstance(kind, str):
        yield Problem("damaged", f"a class name in '{layer}' is no text", "was it saved whole?")
        return
    yield from _names(node, rules)
    if kind == "Lambda":
        sentence = f"layer '{layer}' (Lambda) carries Python code that would run on this computer"
        yield Problem("refused-code", sentence, REPLACE)
    elif kind in CODE_LAYERS or kind in ("__lambda__", "__typespec__", "TypeSpec", "CompositeTensor"):
        yield Problem("refused-code", f"'{layer}' holds a {kind}, which is code or points to code", TRUST)
    elif kind == "function":
        yield from _function(node, layer, rules)
    elif kind in ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "InstanceProperty"):
        yield from _operation(node, kind, layer)
    elif kind == "__numpy__" or kind == "__tensor__":
        yield from _array(node, layer)
    elif kind not in PLAIN:
        yield from _class(node, kind, layer, rules)


def _is_control(letter: str) -> bool:
    return letter < " " or "\x7f" <= letter < "\xa0"


def _names(node: dict[str, Any], rules: Rules) -> Iterator[Problem]:
    config = node.get("config")
    inner = config.get("name") if isinstance(config, dict) else None
    for name in (node.get("name"), inner):
        if not isinstance(name, str):
            continue
        bad = "\\" in name or ".." in name or name.startswith("/") or any(map(_is_control, name))
        if bad or len(name) > LONGEST_NAME or ("/" in name and not rules.slashes):
            sentence = f"the layer name '{shown(name)}' could be taken for a path"
            yield Problem("refused-file", sentence, "rename the layer and save the model again")
            return


def _class(node: dict[str, Any], kind: str, layer: str, rules: Rules) -> Iterator[Problem]:
    module = node.get("module")
    if "module" not in node or module == "":
        stock = kind in CLASSES
    else:
        stock = isinstance(module, str) and is_stock_class(module, kind)
    registered = node.get("registered_name")
    theirs = registered not in (None, "", kind, f"keras>{kind}")
    if stock and not theirs:
        return
    own = _keras_room(module) and not theirs
    if rules.custom and not own and not _elsewhere(module):
        return
    if own:
        what = shown(f"{module}.{kind}")
        yield Problem("refused-code", f"'{layer}' names {what}, which is not on the list of harmless classes", TRUST)
    else:
        what = str(registered) if theirs else f"{module}.{kind}" if module else kind
        yield Problem(
            "custom-class", f"'{layer}' needs {shown(what)}, which is not one of Keras's own layers", CUSTOM
        )


def _keras_room(module: Any) -> bool:
    """Whether a module is Keras's own, whose classes and functions a user's file does not define."""
    return isinstance(module, str) and module.removeprefix("tf_").partition(".")[0] == "keras"


def _elsewhere(module: Any) -> bool:
    """Whether a module is Python's own or a library's, which a user's file of layers does not stand for."""
    room = module.partition(".")[0] if isinstance(module, str) else ""
    return room in _LIBRARIES or (room in sys.stdlib_module_names and room not in ("builtins", "__main__"))


def _function(node: dict[str, Any], layer: str, rules: Rules) -> Iterator[Problem]:
    name, module, registered = node.get("config"), node.get("module"), node.get("registered_name")
    if (
        isinstance(name, str)
        and is_stock_function(str(module or "builtins"), name)
        and registered in (None, "", "function", name)
    ):
        return
    what = shown(f"{module}.{name}" if module and module != "builtins" else str(name))
    if rules.custom and not _keras_room(module) and not _keras_function(name) and not _elsewhere(module):
        return
    if _keras_room(module) or _keras_function(name):
        yield Problem("refused-code", f"'{layer}' calls {what}, which is no activation, loss or metric", TRUST)
    else:
        yield Problem("custom-class", f"'{layer}' calls the function {what}, which is not in Keras", CUSTOM)


def _keras_function(name: Any) -> bool:
    """Whether a name is Keras's own machinery, or a path into a package: a user's function is neither."""
    return not isinstance(name, str) or "." in name or name in ("get", "serialize", "deserialize")


def _operation(node: dict[str, Any], kind: str, layer: str) -> Iterator[Problem]:
    """Look at a layer of Keras 2 that calls TensorFlow by the name of a function or an operation."""
    config = node.get("config")
    config = config if isinstance(config, dict) else {}
    if kind == "TensorFlowOpLayer":
        definition = config.get("node_def")
        name = definition.get("op") if isinstance(definition, dict) else "an operation in binary form"
        good = name in OPERATIONS
    elif kind == "InstanceProperty":
        name = config.get("attr_name")
        good = name in ("shape", "dtype", "ndim")
    else:
        name = config.get("function")
        good = isinstance(name, str) and is_stock_symbol(name)
    if not good:
        sentence = (
            f"layer '{layer}' ({kind}) calls TensorFlow's {shown(str(name))}, which is not known to only compute"
        )
        yield Problem("refused-code", sentence, TRUST)


def _array(node: dict[str, Any], layer: str) -> Iterator[Problem]:
    config = node.get("config")
    dtype = config.get("dtype") if isinstance(config, dict) else None
    if not isinstance(dtype, str) or not (dtype.rstrip("0123456789") in _NUMBER_TYPES or dtype == "string"):
        yield Problem("refused-size", f"'{layer}' holds an array of type {shown(str(dtype))}", "save the model again")

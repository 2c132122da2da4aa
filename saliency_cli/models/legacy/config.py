"""What an older Keras left in a file, read without TensorFlow: its configuration, version and losses.

Three kinds of file were written by Keras before 3: HDF5 with the configuration in its attributes, a
`.keras` zip (Keras 2.12 to 2.15), and HDF5 of weights only, whose configuration is a JSON file beside it.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from saliency_cli.errors import ModelError

Config = dict[str, Any]
Kind = Literal["legacy-zip", "legacy-hdf5"]

# Arguments that only Keras 1 wrote: they date a file that doesn't name its Keras.
_KERAS_1 = ("nb_filter", "border_mode", "dim_ordering", "inner_init", "inner_activation", "W_regularizer")


@dataclass(frozen=True)
class Legacy:
    """A file of a Keras before 3. `version` is as written, `1` or `2` where the file doesn't say.

    `config` is the model's configuration as it stands in the file (or in `architecture`, the JSON file
    beside one that holds weights only). `backend` is that of the Keras that wrote it, where it says.
    """

    path: Path
    kind: Kind
    version: str
    config: Config
    backend: str = ""
    training: Any = None
    architecture: Path | None = None

    @property
    def major(self) -> int:
        """The major version of the Keras that wrote the file."""
        return 1 if self.version.startswith("1") else 2

    @property
    def writer(self) -> str:
        """The writer as a user calls it, `Keras 2.2.4`."""
        return f"Keras {self.version}"


def read_legacy(path: Path) -> Legacy | None:
    """Return what an older Keras left in a file, None for any other file (one of Keras 3 among them).

    Raises `ModelError` for a file that begins like such a model and is broken, and for weights alone.
    """
    with path.open("rb") as file:
        start = file.read(8)
    broken = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, LookupError, TypeError, ValueError)
    try:
        if start.startswith(b"PK\x03\x04"):
            return _zip(path)
        if start == b"\x89HDF\r\n\x1a\n":
            return _hdf5(path)
    except broken as error:  # too deep a nesting is a RuntimeError too
        raise ModelError(
            f"'{path}' is broken or truncated: {error}",
            hint="was it copied or downloaded whole?",
            reason="truncated",
        ) from None
    return None


def _zip(path: Path) -> Legacy | None:
    with zipfile.ZipFile(path) as archive:
        if not {"config.json", "metadata.json"} <= set(archive.namelist()):
            return None
        version = str(_object(archive.read("metadata.json")).get("keras_version", ""))
        if _is_keras_3(version):
            return None
        config = _object(archive.read("config.json"))
    training = config.pop("compile_config", None)
    return Legacy(path, "legacy-zip", version or "2", config, training=training)


def _hdf5(path: Path) -> Legacy | None:
    import h5py

    with h5py.File(path, "r") as file:
        weights = file.get("model_weights", file)
        version = _attribute(file, "keras_version") or _attribute(weights, "keras_version")
        backend = _attribute(file, "backend") or _attribute(weights, "backend")
        described = _attribute(file, "model_config")
        training = _attribute(file, "training_config")
        weights_only = "layer_names" in file.attrs or "layers" in file or "_layer_checkpoint_dependencies" in file
    if _is_keras_3(version):
        return None
    if described:
        config = _object(described)
        found = Legacy(path, "legacy-hdf5", version, config, backend, json.loads(training) if training else None)
    elif weights_only and (beside := architecture_beside(path)):
        document = _object(beside.read_bytes())
        version = version or str(document.get("keras_version", ""))
        if _is_keras_3(version):
            return None
        backend = backend or str(document.get("backend", ""))
        found = Legacy(path, "legacy-hdf5", version, document, backend, architecture=beside)
    else:
        return None
    return found if found.version else replace(found, version=_guessed(found.config))


def _object(text: str | bytes) -> Config:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"its JSON is a {type(value).__name__} where an object should be")  # noqa: TRY004
    return value


def _attribute(group: Any, name: str) -> str:
    value = group.attrs.get(name, b"")
    return value.decode() if isinstance(value, bytes) else str(value)


def _is_keras_3(version: str) -> bool:
    major = version.partition(".")[0]
    return major.isdigit() and int(major) >= 3


def _guessed(config: Config) -> str:
    """Return the major version of a file that names none, by arguments only Keras 1 wrote."""
    found = any(key in node["config"] for node in nodes(config) for key in _KERAS_1)
    return "1" if found else "2"


def architecture_beside(path: Path) -> Path | None:
    """Return the JSON file that describes the model of a weights-only file: same stem, `_weights` left out."""
    stem = path.name.removesuffix(path.suffix)
    bare = [stem.removesuffix(f"{sign}weights") for sign in "_-."]
    for name in dict.fromkeys((stem, *bare)):
        candidate = path.with_name(f"{name}.json")
        if candidate.is_file() and b'"class_name"' in candidate.read_bytes():
            return candidate
    return None


def nodes(config: Any) -> Iterator[Config]:
    """Yield every `{class_name, config}` below (and with) a configuration whose `config` is a dictionary."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("class_name"), str) and isinstance(value.get("config"), dict):
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def rewritten(value: Any, change: Callable[[Config], Config]) -> Any:
    """Return a copy of a configuration with every `{class_name, config}` changed, the inner ones first."""
    if isinstance(value, list):
        return [rewritten(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    copied = {key: rewritten(item, change) for key, item in value.items()}
    return change(copied) if isinstance(copied.get("class_name"), str) and "config" in copied else copied

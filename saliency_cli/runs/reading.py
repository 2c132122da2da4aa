"""Which reader reads a file: by its suffix, or by its content where that tells better."""

from dataclasses import replace
from functools import cache
from pathlib import PurePath

from saliency_cli.errors import InputError
from saliency_cli.readers import Document, Reader
from saliency_cli.registry import Registry

_READERS: Registry[Reader] = Registry("saliency_cli.readers", "reader")
# A suffix stands for the kind; several suffixes share a reader.
_STARTS = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF87a": ".gif",
    b"GIF89a": ".gif",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"\x93NUMPY": ".npy",
    b"PK\x03\x04": ".npz",
    b"PK\x05\x06": ".npz",
}

_MODEL_SUFFIXES = (".keras", ".h5", ".hdf5", ".pb", ".tflite", ".onnx")
_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_document(name: str, data: bytes) -> Document:
    """Decode a file's bytes by the suffix of `name`, or by content.

    The content decides, with a note, where it is clearly of another reader's kind than the suffix, and
    where the suffix is unknown or missing (`-`, for stdin).

    Raises:
        InputError: reason `model-as-input` for a saved model, `unknown-format` where neither tells,
            `empty-file`, or one of the reader's.
    """
    readers = _by_suffix()
    suffix = PurePath(name).suffix.lower()
    if suffix in _MODEL_SUFFIXES or data.startswith(_HDF5) or _is_keras_zip(data):
        raise InputError(
            f"'{name}' is a saved model, and an input was expected",
            hint="the model comes first and only once: saliency compute MODEL INPUT…",
            reason="model-as-input",
        )
    content = _suffix_of_content(data)
    by_name, by_content = readers.get(suffix), readers.get(content)
    if by_name is None and by_content is None:
        raise _unknown(name, suffix, data)
    if by_content is None or by_content == by_name:
        return _READERS.load(by_name or "")().read(data)
    document = _READERS.load(by_content)().read(data)
    if by_name is None:
        return document
    note = f"named {suffix}, read as {content.removeprefix('.')} by its content"
    return replace(document, notes=(note, *document.notes))


def _is_keras_zip(data: bytes) -> bool:
    """Whether a zip archive names the members of a Keras model in the directory at its end."""
    end = data[-65536:]
    return data.startswith(b"PK") and b"config.json" in end and b"model.weights.h5" in end


def known_suffixes() -> tuple[str, ...]:
    """Return every suffix some reader reads, sorted, lower case, with the dot."""
    return tuple(sorted(_by_suffix()))


def picture_suffixes() -> tuple[str, ...]:
    """Return the suffixes of pictures, sorted, lower case, with the dot."""
    return tuple(sorted(suffix for suffix, reader in _by_suffix().items() if reader == "image"))


@cache
def _by_suffix() -> dict[str, str]:
    return {suffix: name for name in _READERS.names() for suffix in _READERS.load(name).suffixes}


def _suffix_of_content(data: bytes) -> str:
    """Return the suffix its first bytes call for, or "" where they are no sure sign."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    # "BM" alone also starts a table whose first column is BMI; a bitmap's reserved bytes are zero.
    if data[:2] == b"BM" and data[6:10] == b"\0\0\0\0":
        return ".bmp"
    return next((suffix for start, suffix in _STARTS.items() if data.startswith(start)), "")


def _unknown(name: str, suffix: str, data: bytes) -> InputError:
    known = f"known suffixes: {', '.join(known_suffixes())}"
    if not data:
        return InputError(f"'{name}' is empty (0 bytes)", hint=known, reason="empty-file")
    came = f"the suffix '{suffix}'" if suffix else "a name without a suffix"
    return InputError(
        f"'{name}' has {came}, and its content is of no known kind", hint=known, reason="unknown-format"
    )

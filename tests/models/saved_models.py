"""Tiny saved models and files that are none, each written into a folder of its own."""

import json
import pickle
import zipfile

import h5py
import numpy as np

from saliency_cli.autodiff.runtime import keras

L = keras.layers


def tiny(name="tiny", seed=0):
    """A softmax classifier of four features, its weights a function of the seed."""
    x = keras.Input((4,), name="features")
    model = keras.Model(x, L.Dense(3, "softmax", name="classes")(L.Dense(5, "tanh", name="hidden")(x)), name=name)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in model.get_weights()])
    return model


def write_zip(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return path


def with_metadata(source, path, **changed):
    """A copy of a `.keras` file that says something else of itself."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | changed).encode()
            new.writestr(name, content)
    return path


def write_hdf5(path, **attributes):
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        file.create_group("model_weights")
    return path


def foreign_files():
    """Name → (bytes, words of the message, words of the hint, reason)."""
    array = b"\x93NUMPY\x01\x00" + b"\x00" * 90
    return {
        "empty.keras": (b"", "is empty", "copied or downloaded whole", "empty-file"),
        "pointer.keras": (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "Git LFS pointer",
            "git lfs pull",
            "git-lfs",
        ),
        "page.keras": (b"<!DOCTYPE html><html></html>", "HTML page", "download the model again", "html"),
        "page2.h5": (b"\n\n<HTML><body>404</body>", "HTML page", "download the model again", "html"),
        "picture.keras": (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "PNG picture", "the model comes first", "not-a-model"),
        "photo.keras": (b"\xff\xd8\xff\xe0" + b"\0" * 40, "JPEG picture", "the model comes first", "not-a-model"),
        "array.npy": (array, "NumPy array", "the model comes first", "not-a-model"),
        **{
            f"pickle{protocol}.pkl": (pickle.dumps({"a": [1]}, protocol), "a pickle", "save a Keras model", "pickle")
            for protocol in (2, 3, 4, 5)
        },
        "net.onnx": (
            b"\x08\x08\x12\x07pytorch\x1a\x05" + b"\0" * 40,
            "an ONNX model",
            "converted from",
            "unsupported-format",
        ),
        "net.tflite": (b"\x1c\0\0\0TFL3" + b"\0" * 40, "TensorFlow Lite", "converted from", "unsupported-format"),
        "model.json": (b' {"class_name": "Functional"}', "JSON", "give the .keras file", "unsupported-format"),
        "words.keras": (b"hello there", "not a model this version knows", "model.save('model.keras')", "not-a-model"),
        "one.keras": (b"P", "not a model this version knows", "", "not-a-model"),
    }

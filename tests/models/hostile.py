"""A corpus of hostile model files, built by hand: each would do one harmless thing, leave a marker file, or grow.

No file of it is kept: a test builds them in its own folder. Nothing here needs Keras, so nothing here is run.
"""

import base64
import io
import json
import marshal
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

LAYER = "evil_layer"


@dataclass(frozen=True)
class Attack:
    """`build` writes the file into a folder and returns its path; `reason` is how it must be refused."""

    name: str
    reason: str
    build: Callable[[Path], Path]
    names_layer: bool = False


def attacks() -> list[Attack]:
    """Return the whole corpus."""
    return [*_config_attacks(), *_zip_attacks(), *_hdf5_attacks(), *_place_attacks(), *_graph_attacks()]


# --- containers ---------------------------------------------------------------------------------------------


def sequential(*layers: Any, **more: Any) -> dict[str, Any]:
    """Return the configuration of a Keras 3 Sequential with an input and these layers."""
    first = stock("InputLayer", "given", batch_shape=[None, 4])
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "outer", "layers": [first, *layers]},
        "registered_name": None,
        **more,
    }


def stock(kind: str, name: str = LAYER, module: str | None = "keras.layers", **config: Any) -> dict[str, Any]:
    """Return the configuration of one layer."""
    return {"module": module, "class_name": kind, "config": {"name": name, **config}, "registered_name": None}


def dense(name: str = "dense", units: int = 2, **config: Any) -> dict[str, Any]:
    return stock("Dense", name, units=units, activation="relu", **config)


def weights(fill: Callable[[h5py.File], None] | None = None) -> bytes:
    """Return an HDF5 file with the weights of a small layer, and whatever `fill` adds."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("layers/dense/vars")
        group.create_dataset("0", data=np.ones((4, 2), np.float32))
        group.create_dataset("1", data=np.zeros(2, np.float32))
        if fill is not None:
            fill(file)
    return buffer.getvalue()


def members(config: Any, hdf5: bytes | None = None) -> dict[str, bytes]:
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    metadata = json.dumps({"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}).encode()
    return {"metadata.json": metadata, "config.json": text, "model.weights.h5": hdf5 or weights()}


def keras_zip(path: Path, held: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    return path


def keras_hdf5(path: Path, config: Any, fill: Callable[[h5py.File], None] | None = None) -> Path:
    path.write_bytes(weights(fill))
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"] = "3.15.1"
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = config if isinstance(config, bytes) else json.dumps(config)
    return path


# --- configurations that run code, read files or grow ----------------------------------------------------------


def _program(folder: Path) -> str:
    """Return the marshalled code of a function that would leave a marker."""
    code = compile(f"open({str(folder / 'marker')!r}, 'w').close()", "model", "exec")
    return base64.b64encode(marshal.dumps(code)).decode()


def _lambda(folder: Path, function: Any = None, **config: Any) -> dict[str, Any]:
    code = {"class_name": "__lambda__", "config": {"code": _program(folder), "defaults": None, "closure": None}}
    return stock("Lambda", function=function or code, **config)


def _function(module: str, name: str) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _named(folder: Path, module: str, name: str, **arguments: Any) -> dict[str, Any]:
    return sequential(_lambda(folder, _function(module, name), arguments=arguments))


def _configs(folder: Path) -> Iterator[tuple[str, str, Any]]:
    """Yield (name, reason, configuration) of every attack that works by what a configuration says."""
    marker = str(folder / "marker")
    code, file, size = "refused-code", "refused-file", "refused-size"
    secret = str(folder / "secret.txt")
    yield "lambda", code, sequential(_lambda(folder))
    yield "lambda-list", code, sequential(_lambda(folder, [_program(folder), None, None], function_type="lambda"))
    yield (
        "lambda-older",
        code,
        {
            "class_name": "Sequential",
            "config": [
                {"class_name": "Lambda", "config": {"name": LAYER, "function": [_program(folder), None, None]}}
            ],
        },
    )
    yield "lambda-nested", code, sequential(sequential(sequential(_lambda(folder))))
    yield "lambda-wrapped", code, sequential(stock("TimeDistributed", "around", layer=_lambda(folder)))
    yield (
        "lambda-activation",
        code,
        sequential(
            stock("Activation", activation={"class_name": "__lambda__", "config": {"code": _program(folder)}})
        ),
    )
    yield (
        "lambda-in-compile",
        code,
        sequential(
            {
                **sequential(dense()),
                "config": {"name": LAYER, "layers": []},
                "compile_config": {"loss": _lambda(folder)},
            }
        ),
    )
    yield (
        "merge-older",
        code,
        {
            "class_name": "Sequential",
            "config": [
                {"class_name": "Merge", "config": {"name": LAYER, "mode": _program(folder), "mode_type": "lambda"}}
            ],
        },
    )
    yield "saves-a-figure", code, _named(folder, "keras.utils", "save_img", path=marker)
    yield "starts-a-download", code, _named(folder, "keras.datasets.mnist", "load_data", path=marker)
    yield "builds-an-application", code, _named(folder, "keras.applications", "VGG16")
    yield "sets-the-policy", code, _named(folder, "keras.config", "set_dtype_policy", policy="float16")
    yield "sets-floatx", code, _named(folder, "keras.config", "set_floatx", value="float16")
    yield "sets-the-seed", code, _named(folder, "keras.utils", "set_random_seed", seed=1)
    for name in ("get_file", "save_img", "image_dataset_from_directory"):
        yield (
            f"activation-{name}",
            code,
            sequential(stock("Activation", activation=_function("keras.utils", name), path=marker)),
        )
    yield (
        "activation-load-model",
        code,
        sequential(stock("Activation", activation=_function("keras.models", "load_model"))),
    )
    yield (
        "activation-unsafe",
        code,
        sequential(stock("Activation", activation=_function("keras.config", "enable_unsafe_deserialization"))),
    )
    yield "activation-get", code, sequential(stock("Activation", activation=_function("builtins", "deserialize")))
    yield (
        "function-of-the-system",
        "custom-class",
        sequential(stock("Activation", activation=_function("os", "system"))),
    )
    yield "class-of-the-system", "custom-class", sequential(stock("Popen", module="subprocess", args=["true"]))
    yield "class-beside-the-model", "custom-class", sequential(stock("Trap", module="keras_hub.trap"))
    yield "class-by-path", code, sequential(stock("utils.get_file", module="keras"))
    yield "function-as-class", code, sequential(stock("load_model", module="keras.models"))
    yield "class-of-utils", code, sequential(stock("Sequence", module="keras.src.utils.python_utils"))
    yield "registered", "custom-class", sequential({**dense(LAYER), "registered_name": "their_package>Dense"})
    yield "custom", "custom-class", sequential(stock("Unheard", module=None))
    yield "custom-activation", "custom-class", sequential(stock("Dense", units=2, activation="unheard"))
    for kind in ("TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"):
        yield kind, code, sequential(stock(kind, state=_program(folder)))
    yield (
        "typespec",
        code,
        sequential(
            stock("Dense", units={"class_name": "__typespec__", "spec_name": "X", "module": "os", "config": []})
        ),
    )
    for kind in ("TFOpLambda", "SlicingOpLambda"):
        yield (
            kind,
            code,
            sequential(
                {
                    "class_name": kind,
                    "config": {"name": LAYER, "function": "io.write_file"},
                    "inbound_nodes": [[marker]],
                }
            ),
        )
    yield (
        "raw-operation",
        code,
        sequential({"class_name": "TFOpLambda", "config": {"name": LAYER, "function": "raw_ops.ReadFile"}}),
    )
    yield (
        "TensorFlowOpLayer",
        code,
        sequential({"class_name": "TensorFlowOpLayer", "config": {"name": LAYER, "node_def": {"op": "WriteFile"}}}),
    )
    yield (
        "binary-operation",
        code,
        sequential(
            {"class_name": "TensorFlowOpLayer", "config": {"name": LAYER, "node_def": "\n\x01a\x12\tWriteFile"}}
        ),
    )
    for kind in ("ClassMethod", "InstanceMethod"):
        yield kind, code, sequential({"class_name": kind, "config": {"name": LAYER, "method_name": "__reduce__"}})
    for kind in ("StringLookup", "TextVectorization", "IntegerLookup"):
        yield f"{kind}-file", file, sequential(stock(kind, vocabulary=secret))
    yield "name-climbs", file, sequential(dense(f"../../{LAYER}"))
    yield "name-slash", file, sequential(dense(f"a/{LAYER}"))
    yield "name-control", file, sequential(dense(f"{LAYER}\x1b[2J"))
    yield "units", size, sequential(dense(LAYER, units=2_000_000_000))
    yield "units-as-text", size, sequential(stock("Dense", units="2000000000"))
    yield "filters", size, sequential(stock("Conv2D", filters=10**12, kernel_size=[3, 3]))
    yield "kernel", size, sequential(stock("Conv2D", filters=1, kernel_size=[30_000, 30_000]))
    yield "embedding", size, sequential(stock("Embedding", input_dim=10**11, output_dim=1))
    yield (
        "slow-start",
        size,
        sequential(
            dense(LAYER, units=30_000, kernel_initializer=stock("Orthogonal", "start", module="keras.initializers"))
        ),
    )
    yield "transform", size, sequential(stock("MelSpectrogram", fft_length=2**24, num_mel_bins=2**20))
    yield (
        "array-type",
        size,
        sequential(
            stock("Dense", units={"class_name": "__numpy__", "config": {"value": ["a"], "dtype": "S1000000000"}})
        ),
    )
    yield "deep", size, f'{{"class_name": "Sequential", "config": {"[" * 5_000}{"]" * 5_000}}}'.encode()
    yield "deeper", size, b"[" * 50_000 + b"]" * 50_000
    yield "class-name-no-text", "damaged", sequential({"class_name": ["Dense"], "config": {"name": LAYER}})


_NAMELESS = {"deep", "deeper", "name-slash", "lambda-in-compile"}


def _config_attacks() -> Iterator[Attack]:
    for name, reason, _ in _configs(Path("unused")):
        named = name not in _NAMELESS
        yield Attack(f"zip-{name}", reason, _config_zip(name), named)
        if name not in ("name-slash", "deeper"):  # older files may hold slashes in names
            yield Attack(f"hdf5-{name}", reason, _config_hdf5(name), named)


def _config_of(name: str, folder: Path) -> Any:
    return next(config for known, _, config in _configs(folder) if known == name)


def _config_zip(name: str) -> Callable[[Path], Path]:
    return lambda folder: keras_zip(folder / "model.keras", members(_config_of(name, folder)))


def _config_hdf5(name: str) -> Callable[[Path], Path]:
    return lambda folder: keras_hdf5(folder / "model.h5", _config_of(name, folder))


# --- archives ---------------------------------------------------------------------------------------------------


def _good() -> dict[str, bytes]:
    return members(sequential(dense()))


def _extra(*named: str) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = keras_zip(folder / "model.keras", _good())
        with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
            warnings.simplefilter("ignore")  # a duplicate name warns
            for name in named:
                archive.writestr(name, b"{}")
        return path

    return build


def _patched(old: bytes, new: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = _extra("assets/old_name.txt")(folder)
        path.write_bytes(path.read_bytes().replace(old, new))
        return path

    return build


def _symlink(folder: Path) -> Path:
    path = keras_zip(folder / "model.keras", _good())
    link = zipfile.ZipInfo("assets/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, str(folder / "secret.txt"))
    return path


def _encrypted(folder: Path) -> Path:
    path = keras_zip(folder / "model.keras", _good())
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 8 : at + 10] = struct.pack("<H", 1)
    path.write_bytes(data)
    return path


def _many(folder: Path) -> Path:
    return _extra(*(f"assets/{index}" for index in range(2_100)))(folder)


def _bomb(member: str, size: int) -> Callable[[Path], Path]:
    return lambda folder: keras_zip(
        folder / "model.keras", {**_good(), member: b" " * size}, compression=zipfile.ZIP_DEFLATED
    )


def _truncated(folder: Path) -> Path:
    path = keras_zip(folder / "model.keras", _good())
    path.write_bytes(path.read_bytes()[:-200])
    return path


def _without_weights(folder: Path) -> Path:
    return keras_zip(folder / "model.keras", {k: v for k, v in _good().items() if k != "model.weights.h5"})


def _unusual(folder: Path) -> Path:
    return keras_zip(folder / "model.keras", _good(), compression=zipfile.ZIP_BZIP2)


def _zip_attacks() -> Iterator[Attack]:
    file, size = "refused-file", "refused-size"
    yield Attack("zip-two-configs", file, _extra("config.json"))
    yield Attack("zip-two-cases", file, _extra("assets/a", "assets/A"))
    yield Attack("zip-absolute", file, _extra("/tmp/marker"))
    yield Attack("zip-climbs", file, _extra("assets/../../marker"))
    yield Attack("zip-backslash", file, _extra("assets\\..\\marker"))
    yield Attack("zip-drive", file, _extra("C:/marker"))
    yield Attack("zip-nul", file, _patched(b"assets/old_name", b"assets/old\0name"))
    yield Attack("zip-pickle", file, _extra("data.pkl"))
    yield Attack("zip-code", file, _extra("model.py"))
    yield Attack("zip-link", "refused-link", _symlink)
    yield Attack("zip-encrypted", file, _encrypted)
    yield Attack("zip-unusual", file, _unusual)
    yield Attack("zip-many", size, _many)
    yield Attack("zip-bomb-config", size, _bomb("config.json", 256 << 20))
    yield Attack("zip-bomb-assets", size, _bomb("assets/a", 256 << 20))
    yield Attack("zip-bomb-weights", size, _bomb("model.weights.h5", 256 << 20))
    yield Attack("zip-truncated", "damaged", _truncated)
    yield Attack("zip-without-weights", "damaged", _without_weights)


# --- HDF5 -------------------------------------------------------------------------------------------------------


def _external_link(file: h5py.File) -> None:
    file["layers/out"] = h5py.ExternalLink("/etc/hostname", "/")


def _soft_link(file: h5py.File) -> None:
    file["layers/out"] = h5py.SoftLink("/layers/dense")


def _cycle(file: h5py.File) -> None:
    file["layers/dense/again"] = file["layers"]


def _external_storage(file: h5py.File) -> None:
    file.create_dataset("layers/out", (8,), "u1", external=[("/etc/hostname", 0, 8)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "data", (4,))
    file.create_virtual_dataset("layers/out", layout)


def _objects(file: h5py.File) -> None:
    file.create_dataset("layers/out", data=["text"], dtype=h5py.string_dtype())


def _references(file: h5py.File) -> None:
    file.create_dataset("layers/out", (2,), dtype=h5py.ref_dtype)


def _filter(file: h5py.File) -> None:
    file.create_dataset("layers/out", data=np.arange(64), chunks=(8,), scaleoffset=0)


def _shape_bomb(file: h5py.File) -> None:
    file.create_dataset("layers/out", (2**30 - 1,), "f4", chunks=(2**20,), compression="gzip")


def _many_bombs(file: h5py.File) -> None:
    for index in range(70):
        file.create_dataset(f"layers/out{index}", (15 << 20,), "f4", chunks=(2**20,), compression="gzip")


def _large_chunk(file: h5py.File) -> None:
    file.create_dataset("layers/out", (4,), "f4", chunks=(2**28,), maxshape=(None,))


def _deep_groups(file: h5py.File) -> None:
    file.create_group("/".join(["a"] * 100))


def _hdf5_attacks() -> Iterator[Attack]:
    link, file, size = "refused-link", "refused-file", "refused-size"
    for name, reason, fill in (
        ("external-link", link, _external_link),
        ("soft-link", link, _soft_link),
        ("cycle", link, _cycle),
        ("external-storage", link, _external_storage),
        ("virtual", link, _virtual),
        ("objects", file, _objects),
        ("references", file, _references),
        ("filter", file, _filter),
        ("shape-bomb", size, _shape_bomb),
        ("many-bombs", size, _many_bombs),
        ("large-chunk", size, _large_chunk),
        ("deep-groups", size, _deep_groups),
    ):
        yield Attack(f"hdf5-{name}", reason, _filled_hdf5(fill))
        yield Attack(f"zip-hdf5-{name}", reason, _filled_zip(fill))
    yield Attack("hdf5-trained", "refused-code", _trained)
    yield Attack("hdf5-truncated", "damaged", _cut_hdf5)
    yield Attack("hdf5-noise", "damaged", _noise)


def _trained(folder: Path) -> Path:
    """What is left away in a `.keras` file, the training of the outermost model, is built from an HDF5 file."""
    return keras_hdf5(folder / "model.h5", sequential(dense(), compile_config={"loss": _lambda(folder)}))


def _filled_hdf5(fill: Callable[[h5py.File], None]) -> Callable[[Path], Path]:
    return lambda folder: keras_hdf5(folder / "model.h5", sequential(dense()), fill)


def _filled_zip(fill: Callable[[h5py.File], None]) -> Callable[[Path], Path]:
    return lambda folder: keras_zip(folder / "model.keras", members(sequential(dense()), weights(fill)))


def _cut_hdf5(folder: Path) -> Path:
    path = keras_hdf5(folder / "model.h5", sequential(dense()))
    path.write_bytes(path.read_bytes()[:-512])
    return path


def _noise(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + np.random.default_rng(0).bytes(4_000))
    return path


# --- places -----------------------------------------------------------------------------------------------------


def _folder(folder: Path, config: Any | None = None) -> Path:
    place = folder / "model"
    (place / "assets").mkdir(parents=True)
    for name, data in members(config or sequential(dense())).items():
        (place / name).write_bytes(data)
    return place


def _folder_link(folder: Path) -> Path:
    place = _folder(folder)
    (place / "assets" / "vocabulary.txt").symlink_to(folder / "secret.txt")
    return place


def _folder_pipe(folder: Path) -> Path:
    import os

    place = _folder(folder)
    os.mkfifo(place / "assets" / "pipe")
    return place


def _pipe(folder: Path) -> Path:
    import os

    path = folder / "model.keras"
    with suppress(FileExistsError):
        os.mkfifo(path)
    return path


def _remote(scheme: str) -> Callable[[Path], Path]:
    return lambda _: Path(f"{scheme}://somebody/model.keras")


def _architecture(folder: Path) -> Path:
    path = folder / "model.json"
    path.write_text(json.dumps(sequential(_lambda(folder))), encoding="utf-8")
    return path


def _browser(folder: Path) -> Path:
    place = folder / "model"
    place.mkdir()
    topology = {"model_config": sequential(_lambda(folder)), "keras_version": "2.4.0"}
    (place / "model.json").write_text(
        json.dumps({"modelTopology": topology, "weightsManifest": []}), encoding="utf-8"
    )
    return place


def _place_attacks() -> Iterator[Attack]:
    yield Attack("folder-link", "refused-link", _folder_link)
    yield Attack("folder-pipe", "refused-file", _folder_pipe)
    yield Attack("folder-lambda", "refused-code", lambda folder: _folder(folder, sequential(_lambda(folder))), True)
    yield Attack("architecture-lambda", "refused-code", _architecture, True)
    yield Attack("browser-lambda", "refused-code", _browser, True)
    yield Attack("pipe", "refused-file", _pipe)
    for scheme in ("hf", "gs", "s3", "https"):
        yield Attack(f"remote-{scheme}", "refused-remote", _remote(scheme))


# --- graphs -----------------------------------------------------------------------------------------------------


def _message(kind: str) -> Any:
    from saliency_cli.models.graphs.messages import _classes

    return _classes()[kind]()


def _add_nodes(graph: Any, nodes: Iterable[tuple[str, ...]], sizes: dict[str, list[int]]) -> None:
    """Add nodes (name, operation, inputs…) to a graph; those in `sizes` declare a shape of floats."""
    for name, kind, *inputs in nodes:
        node = graph.node.add(name=name, op=kind, input=inputs)
        node.attr["dtype"].type = 1
        for size in sizes.get(name, ()):
            if kind == "Const":
                node.attr["value"].tensor.dtype = 1
                node.attr["value"].tensor.tensor_shape.dim.add(size=size)
            else:
                node.attr["shape"].shape.dim.add(size=size)


def frozen_graph(path: Path, nodes: Iterable[tuple[str, ...]], **sizes: list[int]) -> Path:
    """Write a frozen graph of these nodes."""
    graph = _message("Graph")
    _add_nodes(graph, nodes, sizes)
    path.write_bytes(graph.SerializeToString())
    return path


def saved_model(path: Path, nodes: Iterable[tuple[str, ...]], asset: str = "", **sizes: list[int]) -> Path:
    """Write a SavedModel whose signature takes `x` and gives `y`."""
    message = _message("SavedModel")
    graph = message.meta_graphs.add()
    _add_nodes(graph.graph_def, nodes, sizes)
    signature = graph.signature_def["serving_default"]
    for ends, name in ((signature.inputs, "x"), (signature.outputs, "y")):
        ends[name].name, ends[name].dtype = f"{name}:0", 1
    if asset:
        graph.asset_file_def.add(filename=asset)
    path.mkdir()
    (path / "saved_model.pb").write_bytes(message.SerializeToString())
    return path


_LINE = (("x", "Placeholder"), ("y", "Relu", "x"))
_VAST = [1 << 20, 1 << 20]


def _text_graph(folder: Path) -> Path:
    (folder / "model").mkdir()
    (folder / "model" / "saved_model.pbtxt").write_text("saved_model_schema_version: 1")
    return folder / "model"


def _noisy_graph(folder: Path) -> Path:
    path = saved_model(folder / "model", _LINE)
    (path / "saved_model.pb").write_bytes(np.random.default_rng(0).bytes(100_000))
    return path


def _many_files(folder: Path) -> Path:
    path = saved_model(folder / "model", _LINE)
    for index in range(10_100):
        (path / f"{index}").touch()
    return path


def _vast_file(name: str, size: int) -> Callable[[Path], Path]:
    """A file of a size that takes no place on the disk."""

    def build(folder: Path) -> Path:
        path = saved_model(folder / "model", _LINE)
        if name == "model.json":
            (path / "saved_model.pb").unlink()
            (path / name).write_text("{")
        with (path / name).open("r+b" if (path / name).exists() else "wb") as file:
            file.truncate(size)
        return path

    return build


def browser_graph(folder: Path, nodes: list[dict[str, Any]], manifest: Any = ()) -> Path:
    """Write a TensorFlow.js graph-model."""
    path = folder / "model"
    path.mkdir()
    document = {"modelTopology": {"node": nodes}, "weightsManifest": list(manifest)}
    (path / "model.json").write_text(json.dumps(document), encoding="utf-8")
    return path


def _shards(*paths: str, shape: tuple[int, ...] = (2,)) -> Callable[[Path], Path]:
    manifest = [{"paths": list(paths), "weights": [{"name": "w", "shape": list(shape), "dtype": "float32"}]}]

    def build(folder: Path) -> Path:
        path = browser_graph(folder, [{"name": "x", "op": "Placeholder"}], manifest)
        (path / "a.bin").write_bytes(bytes(8))
        return path

    return build


def _deep_browser(folder: Path) -> Path:
    path = browser_graph(folder, [])
    (path / "model.json").write_text('{"modelTopology": ' + "[" * 50_000 + "]" * 50_000 + "}")
    return path


def _graph_attacks() -> Iterator[Attack]:
    operation, size, place = "refused-operation", "refused-size", "refused-path"
    writes = (*_LINE, ("z", "WriteFile", "x"))
    yield Attack("saved-operation", operation, lambda f: saved_model(f / "model", writes))
    yield Attack("saved-vast", size, lambda f: saved_model(f / "model", (*_LINE, ("v", "VarHandleOp")), v=_VAST))
    yield Attack("saved-constant", size, lambda f: saved_model(f / "model", (*_LINE, ("v", "Const")), v=_VAST))
    yield Attack("saved-asset", place, lambda f: saved_model(f / "model", _LINE, asset="../marker"))
    yield Attack("saved-text", "text-graph", _text_graph)
    yield Attack("saved-noise", "truncated", _noisy_graph)
    yield Attack("saved-many", size, _many_files)
    yield Attack("saved-graph-size", size, _vast_file("saved_model.pb", (1 << 30) + 1))
    yield Attack("saved-variables-size", size, _vast_file("variables", (4 << 30) + 1))
    yield Attack("frozen-operation", operation, lambda f: frozen_graph(f / "net.pb", writes))
    yield Attack("frozen-vast", size, lambda f: frozen_graph(f / "net.pb", (*_LINE, ("v", "Const")), v=_VAST))
    yield Attack("browser-operation", operation, lambda f: browser_graph(f, [{"name": "x", "op": "ReadFile"}]))
    yield Attack("browser-no-graph", "truncated", lambda f: browser_graph(f, [{"name": "x"}]))
    yield Attack("browser-json-size", size, _vast_file("model.json", (64 << 20) + 1))
    yield Attack("browser-deep", size, _deep_browser)
    yield Attack("browser-climbs", place, _shards("../secret.txt"))
    yield Attack("browser-absolute", place, _shards("/etc/hostname"))
    yield Attack("browser-twice", "broken-weights", _shards("a.bin", "a.bin", shape=(4,)))
    yield Attack("browser-short", "truncated", _shards("a.bin", shape=(1 << 20, 1 << 10)))

"""Weights of TensorFlow.js models: every type, quantisation and cut, and every way a manifest can lie."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from tfjs_writer import packed, shared, write

from saliency_cli.errors import ModelError
from saliency_cli.models.tfjs.manifest import shapes_of
from saliency_cli.models.tfjs.weights import read_weights

RNG = np.random.default_rng(5)
FLOATS = RNG.normal(size=(3, 4)).astype(np.float32)


def raw(folder, content, *entries, paths=("a.bin",)):
    """One group, written by hand: the bytes in the first file, the others empty."""
    folder.mkdir(exist_ok=True)
    (folder / paths[0]).write_bytes(content)
    return [{"paths": list(paths), "weights": list(entries)}]


def entry(name="w", shape=(2,), dtype="float32", **more):
    return {"name": name, "shape": list(shape), "dtype": dtype, **more}


@pytest.mark.parametrize(
    "array",
    [
        FLOATS,
        np.array([1, -7, 2**31 - 1], np.int32),
        np.array([[True, False, True]]),
        np.array([1 + 2j, -3j], np.complex64),
        np.array([0, 255], np.uint8),
        np.float32(4.5),
        np.zeros((0, 3), np.float32),
    ],
    ids=["float32", "int32", "bool", "complex64", "uint8", "scalar", "empty"],
)
def test_every_type_comes_back_as_it_was(tmp_path, array):
    content, described = packed(array)
    found = read_weights(tmp_path, raw(tmp_path, content, {"name": "w", **described}))["w"]
    assert found.dtype == np.asarray(array).dtype
    assert found.shape == np.shape(array)
    np.testing.assert_array_equal(found, array)


def test_half_precision_is_widened_exactly(tmp_path):
    halves = np.array([1.5, -65504, 6e-8, np.inf, 0.1], np.float16)
    for described in (entry(shape=(5,), dtype="float16"), entry(shape=(5,), quantization={"dtype": "float16"})):
        found = read_weights(tmp_path, raw(tmp_path, halves.tobytes(), described))["w"]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, halves.astype(np.float32))


@pytest.mark.parametrize("stored", ["uint8", "uint16"])
def test_quantised_numbers_are_scaled_in_double_precision(tmp_path, stored):
    numbers = np.array([0, 1, 77, np.iinfo(stored).max], stored)
    scale, low = 0.0123456789, -1.987654321
    described = entry(shape=(4,), quantization={"dtype": stored, "scale": scale, "min": low})
    found = read_weights(tmp_path, raw(tmp_path, numbers.tobytes(), described))["w"]
    np.testing.assert_array_equal(found, np.float32(numbers.astype(np.float64) * scale + low))


def test_quantised_whole_numbers_are_rounded_half_up(tmp_path):
    described = entry(shape=(3,), dtype="int32", quantization={"dtype": "uint8", "scale": 0.5, "min": -1})
    found = read_weights(tmp_path, raw(tmp_path, bytes([1, 2, 3]), described))["w"]
    assert found.dtype == np.int32
    assert found.tolist() == [0, 0, 1]  # -0.5, 0 and 0.5


@pytest.mark.parametrize(("groups", "shards", "suffix"), [(1, 1, ""), (1, 5, ".bin"), (13, 1, ""), (31, 2, ".bin")])
def test_groups_and_shards_are_put_together(tmp_path, groups, shards, suffix):
    weights = {f"layer_{i}/kernel": RNG.normal(size=(i % 4 + 1, 3)).astype(np.float32) for i in range(40)}
    write(tmp_path, {}, weights, groups=groups, shards=shards, suffix=suffix)
    manifest = manifest_of(tmp_path)
    found = read_weights(tmp_path, manifest)
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name], weights[name]) for name in weights)
    assert shapes_of(manifest) == {name: array.shape for name, array in weights.items()}
    digest, files = hashlib.sha256(), [path for group in manifest for path in group["paths"]]
    assert len(files) == groups * shards
    read_weights(tmp_path, manifest, digest)
    assert digest.digest() == hashlib.sha256(b"".join((tmp_path / path).read_bytes() for path in files)).digest()


def manifest_of(folder):
    return json.loads((folder / "model.json").read_text())["weightsManifest"]


def test_an_optimizers_weights_take_their_bytes_and_are_left_out(tmp_path):
    content = np.arange(4, dtype=np.float32).tobytes()
    manifest = raw(tmp_path, content, entry("m", group="optimizer"), entry("w"))
    assert {name: array.tolist() for name, array in read_weights(tmp_path, manifest).items()} == {"w": [2, 3]}


@pytest.mark.parametrize(("named", "there"), [("a", "a.bin"), ("a.bin", "a"), ("./a.bin", "a.bin")])
def test_a_suffix_added_or_dropped_on_the_way_is_forgiven(tmp_path, named, there):
    (tmp_path / there).write_bytes(FLOATS.tobytes())
    manifest = [{"paths": [named], "weights": [entry(shape=(3, 4))]}]
    np.testing.assert_array_equal(read_weights(tmp_path, manifest)["w"], FLOATS)


def refused(folder, manifest, reason, *words):
    with pytest.raises(ModelError) as caught:
        read_weights(folder, manifest)
    assert caught.value.reason == reason
    assert all(word in caught.value.message for word in words), caught.value.message


def test_the_shard_cut_off_is_named(tmp_path):
    write(tmp_path, {}, {"w": np.arange(300, dtype=np.float32)}, shards=3)
    for cut in (2, 3):
        file = tmp_path / f"group1-shard{cut}of3.bin"
        whole = file.read_bytes()
        file.write_bytes(whole[:-4])
        refused(tmp_path, manifest_of(tmp_path), "truncated", file.name, "1,196")
        file.write_bytes(whole)
    (tmp_path / "group1-shard2of3.bin").unlink()
    refused(tmp_path, manifest_of(tmp_path), "missing-weights", "group1-shard2of3.bin")


def test_bytes_left_over_are_an_error(tmp_path):
    refused(tmp_path, raw(tmp_path, bytes(9), entry()), "broken-weights", "1 bytes")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/hostname", "../a.bin", "x/../../a.bin", "https://example.org/a.bin", "file:///a.bin", "C:\\a.bin",
        "a\0b", "..%2fa.bin", "%2E%2E/a.bin", "", ".", "sub//a.bin", 7, None, ["a.bin"], "folder", "link.bin",
        "way/a.bin",
    ],
)  # fmt: skip
def test_paths_stay_inside_the_models_folder(tmp_path, path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    (inside / "folder").mkdir(parents=True)
    outside.mkdir()
    (outside / "a.bin").write_bytes(bytes(8))
    (inside / "link.bin").symlink_to(outside / "a.bin")
    (inside / "way").symlink_to(outside)
    refused(inside, [{"paths": [path], "weights": [entry()]}], "refused-path", "in its own folder")


def test_a_link_that_stays_inside_is_fine(tmp_path):
    (tmp_path / "real").write_bytes(bytes(8))
    (tmp_path / "a.bin").symlink_to("real")
    assert read_weights(tmp_path, [{"paths": ["a.bin"], "weights": [entry()]}])["w"].tolist() == [0, 0]


@pytest.mark.parametrize(
    "described",
    [
        entry(shape=[2, -1]), entry(shape=[2.0]), entry(shape=[True]), entry(shape=[2**20, 2**20]),
        {"name": "w", "dtype": "float32"}, {"shape": [2], "dtype": "float32"}, "w", None,
        entry(quantization={"dtype": "uint8", "min": 0}),
        entry(quantization={"dtype": "uint8", "min": 0, "scale": float("nan")}),
        entry(quantization={"dtype": "uint8", "min": "0", "scale": 1}), entry(quantization="uint8"),
    ],
)  # fmt: skip
def test_a_manifest_that_lies_is_an_error(tmp_path, described):
    refused(tmp_path, raw(tmp_path, bytes(8), described), "broken-weights")


@pytest.mark.parametrize(
    "described",
    [entry(dtype="string"), entry(dtype="float64"), entry(quantization={"dtype": "int4", "scale": 1, "min": 0})],
)
def test_types_without_numbers_are_refused_by_name(tmp_path, described):
    refused(tmp_path, raw(tmp_path, bytes(8), described), "unsupported-weights", "'w'")


def test_names_and_files_are_there_once(tmp_path):
    refused(tmp_path, raw(tmp_path, bytes(16), entry(), entry()), "broken-weights", "'w' is there twice")
    manifest = raw(tmp_path, bytes(8), entry("a"), paths=("a.bin",)) + raw(tmp_path, bytes(8), entry("b"))
    refused(tmp_path, manifest, "broken-weights", "a.bin")


@pytest.mark.parametrize(
    "manifest", [None, {}, [{}], [{"paths": "a", "weights": []}], [{"paths": [], "weights": 1}], [3]]
)
def test_what_is_no_manifest_is_an_error(tmp_path, manifest):
    refused(tmp_path, manifest, "broken-weights")


def test_a_models_own_weights_are_read_without_tensorflow():
    folder = shared("reference/tfjs/m1_mlp")
    program = (
        "import json, sys, pathlib; from saliency_cli.models.tfjs.weights import read_weights;"
        "from saliency_cli.models.tfjs import document, metadata;"
        "folder = pathlib.Path(sys.argv[1]);"
        "found = read_weights(folder, json.loads((folder / 'model.json').read_text())['weightsManifest']);"
        "print(len(found), found['dense_Dense1/kernel'].shape, document.recognise(folder));"
        "assert not {'tensorflow', 'keras', 'h5py'} & set(sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True)
    assert told.stdout.split("\n")[0] == "6 (10, 16) layers"

"""A model described by its file alone says what the loaded model says, and imports no TensorFlow for it."""

import json
import subprocess
import sys
import zipfile

import hostile
import legacy_corpus
import numpy as np
import pytest
import tfjs_writer
from graph_tools import shared
from saved_models import tiny
from test_frozen_graph import freeze, with_choice
from test_tfjs_graph import PICTURE, graph_of, network
from test_tfjs_graph import write as write_graph

from saliency_cli.autodiff.runtime import keras
from saliency_cli.errors import ModelError, UsageError
from saliency_cli.models.describing import describe
from saliency_cli.models.opening import open_model
from saliency_cli.models.options import OpenOptions

PLAIN = OpenOptions()
L = keras.layers


def nested():
    """A model within a model, a wrapped and a recurrent layer, shared names, two outputs."""
    inner = keras.Sequential(
        [keras.Input((6, 6, 2)), L.Conv2D(3, 3, name="conv"), L.BatchNormalization()], name="backbone"
    )
    picture, steps = keras.Input((6, 6, 2), name="picture"), keras.Input((4, 3), name="steps")
    seen = L.Flatten()(L.Conv2D(2, 3, name="conv")(inner(picture)))
    heard = L.LSTM(4)(L.Dropout(0.5)(L.TimeDistributed(L.Dense(5))(steps)))
    both = L.Concatenate()([seen, heard])
    ends = [L.Dense(3, "softmax", name="kind")(both), L.Dense(1, name="amount")(both)]
    return keras.Model([picture, steps], ends, name="outer")


def trained(model):
    model.compile("adam", "mse")
    x = [np.zeros((2, *spec.shape[1:]), np.float32) for spec in model.inputs]
    model.train_on_batch(x if len(x) > 1 else x[0], model.predict(x if len(x) > 1 else x[0], verbose=0))
    return model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Name → path: a model of every format."""
    folder = tmp_path_factory.mktemp("described")
    found = {}
    for suffix in ("keras", "h5"):
        found[f"keras 3 {suffix}"] = folder / f"nested.{suffix}"
        nested().save(found[f"keras 3 {suffix}"])
        found[f"keras 3 trained {suffix}"] = folder / f"trained.{suffix}"
        trained(tiny()).save(found[f"keras 3 trained {suffix}"])
        for kind in ("nested", "two_by_two", "normalized", "with_tokens"):
            model = legacy_corpus.seeded(getattr(legacy_corpus, kind)())
            found[f"keras 2 {kind} {suffix}"] = legacy_corpus.save(model, folder / f"{kind}-2.{suffix}")
    kernel = np.ones((4, 3), np.float32)
    found["keras 1"] = legacy_corpus.keras_1(
        folder / "one.h5",
        [("Dense", {"name": "dense_1", "output_dim": 3, "batch_input_shape": [None, 4], "activation": "softmax"},
          {"dense_1_W": kernel, "dense_1_b": kernel[0]})],
    )  # fmt: skip
    found["saved-model"] = folder / "saved"
    keras.Sequential([keras.Input((4, 4, 1)), L.Conv2D(2, 3), L.Flatten(), L.Dense(3, "softmax")]).export(
        found["saved-model"], verbose=False
    )
    found["frozen-graph"] = freeze(folder / "net.pb", with_choice)
    found["tfjs-graph"] = write_graph(folder / "graph", *graph_of(network, PICTURE))
    found["tfjs-layers"] = tfjs_writer.write_model(
        folder / "layers", keras.Sequential([keras.Input((5, 2)), L.LSTM(3), L.Dense(2, "softmax")])
    )
    return found


NAMES = (
    *(f"keras 3 {kind}{suffix}" for kind in ("", "trained ") for suffix in ("keras", "h5")),
    *(f"keras 2 {kind} {suffix}"
      for kind in ("nested", "two_by_two", "normalized", "with_tokens") for suffix in ("keras", "h5")),
    "keras 1", "saved-model", "frozen-graph", "tfjs-graph", "tfjs-layers",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_what_a_file_tells_is_what_the_loaded_model_is(files, name):
    described = describe(files[name], PLAIN)
    told, model = described.description, open_model(files[name], PLAIN)
    assert described.refusal is None
    assert told.findings == []
    assert told.format.replace("legacy", "keras") == model.format
    assert [end.name for end in told.inputs] == [spec.name for spec in model.inputs]
    assert [end.dtype for end in told.inputs] == [spec.dtype for spec in model.inputs]
    assert [end.shape for end in told.inputs] == [spec.describe() for spec in model.inputs]
    assert sorted(end.name for end in told.outputs) == sorted(output.name for output in model.outputs)
    for end in told.outputs:
        shape = next(output.shape for output in model.outputs if output.name == end.name)
        known = end.shape.removeprefix("…×")
        assert known in ("", "×".join(map(str, shape))[-len(known) :]), end
    assert told.parameters == model.parameters
    assert told.sha256 == model.sha256
    assert told.writer == model.writer
    if not told.operations:
        check_layers(told.layers, {layer.path: layer for layer in model.layers})


def check_layers(told, live):
    """Every layer told is there, with its weights and those of what it keeps inside."""
    listed = {layer.path for layer in told}
    for layer in told:
        assert layer.path in live
        assert layer.kind.partition("(")[0] in (live[layer.path].kind, "Model", "Functional", "Convolution2D")
        inside = [other for path, other in live.items() if path.startswith(f"{layer.path}/")]
        below = [p for p in listed if p.startswith(f"{layer.path}/")]
        hidden = [o for o in inside if o.path not in below and not any(o.path.startswith(f"{p}/") for p in below)]
        assert layer.parameters == live[layer.path].parameters + sum(other.parameters for other in hidden), layer
    own = [path for path in live if not any(path.startswith(f"{other}/") for other in listed)]
    assert set(own) <= listed


RUN = """
import sys
from saliency_cli.cli.entry import run
code = run(sys.argv[1:])
print(code, sorted({"tensorflow", "keras", "tf_keras", "h5py", "numpy"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "name", ["keras 3 keras", "keras 3 h5", "keras 2 nested keras", "keras 2 nested h5", *NAMES[-5:]]
)
def test_inspecting_imports_no_tensorflow(files, name):
    done = subprocess.run(
        [sys.executable, "-c", RUN, "inspect", str(files[name]), "--json"], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "0 []"
    record = json.loads(done.stdout)
    assert (record["schema"], record["traced"], record["error"]) == ("inspect-2", False, None)
    assert record["inputs"]


def test_the_reading_process_imports_no_tensorflow(files):
    program = (
        "import sys; from saliency_cli.models.description.reading import describe;"
        "from saliency_cli.models.screening.classes import Rules\n"
        "for path in sys.argv[1:]: assert describe(path, Rules(), 2**32, {})[1] is None\n"
        "assert not {'tensorflow', 'keras', 'tf_keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, *map(str, files.values())], check=True)


# --- what can't be opened -----------------------------------------------------------------------------------------


def refused(path, **options):
    """Return the description and the refusal of a model, which opening it agrees with."""
    described = describe(path, OpenOptions(**options))
    with pytest.raises(ModelError):
        open_model(path, OpenOptions(**options))
    return described.description, described.refusal


@pytest.mark.parametrize("write", [hostile.keras_hdf5, lambda p, c: hostile.keras_zip(p, hostile.members(c))])
def test_a_lambda_is_shown_with_what_stands_around_it(tmp_path, write):
    code = hostile.stock("Lambda", "twice", function="x")
    path = write(tmp_path / "model", hostile.sequential(code, hostile.dense()))
    told, refusal = refused(path)
    assert [(layer.path, layer.kind) for layer in told.layers] == [("twice", "Lambda"), ("dense", "Dense")]
    assert (told.inputs[0].name, told.inputs[0].shape) == ("given", "4")
    assert told.parameters == 10
    assert told.findings == ["layer 'twice' (Lambda) carries Python code that would run on this computer"]
    assert refusal.reason == "refused-code"
    assert refusal.hint.endswith("--replace twice=LAYER:KEY=VALUE")
    given = describe(path, OpenOptions(replace=("twice=Rescaling:scale=2",)))
    assert given.refusal is None


def test_every_lambda_gets_an_option(tmp_path):
    codes = [hostile.stock("Lambda", name, function="x") for name in ("one", "two")]
    path = hostile.keras_hdf5(tmp_path / "m.h5", hostile.sequential(*codes, hostile.dense()))
    _, refusal = refused(path)
    assert refusal.hint.endswith("--replace one=LAYER:KEY=VALUE --replace two=LAYER:KEY=VALUE")


def test_a_layer_of_their_own_is_shown(tmp_path):
    layers = (hostile.stock("Odd", "odd", module="theirs"), hostile.dense())
    told, refusal = refused(hostile.keras_zip(tmp_path / "m.keras", hostile.members(hostile.sequential(*layers))))
    assert [layer.kind for layer in told.layers] == ["Odd", "Dense"]
    assert refusal.reason == "custom-class"
    assert "--custom-objects" in refusal.hint


def test_a_browsers_lambda_is_shown(tmp_path):
    layers = [{"class_name": "Lambda", "config": {"name": "code", "batch_input_shape": [None, 3]}}]
    topology = {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}
    told, refusal = refused(tfjs_writer.write(tmp_path / "m", topology, {}))
    assert [(layer.path, layer.kind) for layer in told.layers] == [("code", "Lambda")]
    assert told.inputs[0].shape == "3"
    assert refusal.reason == "refused-code"


def test_a_subclassed_model_tells_what_it_was_built_with(tmp_path):
    config = {
        "module": "theirs", "class_name": "Net", "config": {"name": "net"}, "registered_name": "Net",
        "build_config": {"input_shape": [2, 28, 28, 1]},
    }  # fmt: skip
    told, refusal = refused(hostile.keras_zip(tmp_path / "m.keras", hostile.members(config)))
    assert [(end.name, end.shape) for end in told.inputs] == [("input", "28×28×1")]
    assert told.layers == []
    assert told.parameters == 10
    assert refusal.reason == "custom-class"


def test_a_graph_of_strings_is_shown():
    told, refusal = refused(shared("wild", "guesslang_savedmodel", "model"))
    assert [(end.name, end.dtype) for end in told.inputs] == [("inputs", "string")]
    assert set(told.signatures) == {"classification", "predict", "serving_default"}
    assert told.signatures["classification"].startswith("inputs scalar string → classes 54 string")
    assert refusal.reason == "integer-input"


def test_a_refused_operation_is_shown(tmp_path):
    told, refusal = refused(hostile.frozen_graph(tmp_path / "net.pb", [("x", "Placeholder"), ("y", "ReadFile")]))
    assert told.operations == {"Placeholder": 1, "ReadFile": 1}
    assert told.findings == ["its graph holds ReadFile, which can do more than compute"]
    assert refusal.reason == "refused-operation"
    assert describe(tmp_path / "net.pb", OpenOptions(trust=True)).refusal is None


def test_a_graph_that_turns_in_a_circle_ends(tmp_path):
    nodes = [("x", "Placeholder"), ("a", "Identity", "b"), ("b", "Identity", "a"), ("c", "Identity", "b")]
    _, refusal = refused(hostile.frozen_graph(tmp_path / "net.pb", nodes))
    assert refusal.reason == "no-output"


def test_what_is_broken_or_none_is_an_error(tmp_path):
    for name, reason in (("none.txt", "not-a-model"), ("gone.keras", "missing-model"), ("cut.keras", "damaged")):
        path = tmp_path / name
        if name == "none.txt":
            path.write_text("hello")
        elif name == "cut.keras":
            tiny().save(path)
            path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ModelError) as caught:
            describe(path, PLAIN)
        assert caught.value.reason == reason


def test_an_option_that_would_do_nothing_is_refused(tmp_path):
    tiny().save(tmp_path / "m.keras")
    with pytest.raises(UsageError, match="--signature is for saved-model models"):
        describe(tmp_path / "m.keras", OpenOptions(signature="serve"))


def test_a_layers_name_may_hold_slashes(tmp_path):
    old = legacy_corpus.L
    model = legacy_corpus.functional(old.Dense(3, name="block/dense"), old.Dense(2), shape=(4,))
    path = legacy_corpus.save(legacy_corpus.seeded(model), tmp_path / "m.h5")
    layers = {layer.path: layer.parameters for layer in describe(path, PLAIN).description.layers}
    assert layers["block/dense"] == 15


def test_a_weight_that_two_layers_could_hold_is_nobodys(tmp_path):
    inner = [{"class_name": "Dense", "config": {"name": "dense", "units": 2, "batch_input_shape": [None, 2]}}]
    models = [{"class_name": "Sequential", "config": {"name": name, "layers": inner}} for name in "ab"]
    topology = {"class_name": "Sequential", "config": {"name": "m", "layers": models}}
    weights = {"dense/kernel": np.ones((2, 2), np.float32)}
    layers = describe(tfjs_writer.write(tmp_path / "m", topology, weights), PLAIN).description.layers
    assert {layer.path: layer.parameters for layer in layers} == {"a": 0, "a/dense": None, "b": 0, "b/dense": None}


def test_a_zip_nobody_can_follow_is_described_as_far_as_it_goes(tmp_path):
    """A configuration that is none of a model's: no layers, no ends, no crash."""
    for config in ({"class_name": "Functional", "config": {"layers": 3}}, {"class_name": "Dense", "config": {}}):
        held = hostile.members(config)
        path = hostile.keras_zip(tmp_path / "m.keras", held, zipfile.ZIP_STORED)
        assert describe(path, PLAIN).description.layers == []

"""SavedModels: of Keras 3 and 2, of modules, of TensorFlow 1; what is refused before anything is loaded."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from graph_tools import assert_same, drawn, gradients, own_gradients, shared

from saliency_cli.autodiff.compiled import Compiled
from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.operations import ALLOWED, CHECKPOINT
from saliency_cli.models.graphs.saved_model import load, recognise
from saliency_cli.models.graphs.saved_model_reading import look_at
from saliency_cli.models.options import OpenOptions

L = keras.layers
PLAIN = OpenOptions()


def seeded(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([np.abs(rng.normal(0.5, 0.3, w.shape)).astype(w.dtype) for w in model.get_weights()])
    return model


def pictures(layers):
    return seeded(
        keras.Sequential(
            [
                keras.Input((8, 8, 3), name="picture"),
                layers.Conv2D(4, 3, activation="swish"),
                layers.BatchNormalization(),
                layers.DepthwiseConv2D(3, activation="relu"),
                layers.Dropout(0.5),
                layers.Flatten(),
                layers.Dense(3, activation="softmax"),
            ]
        )
    )


def series():
    model = [keras.Input((5, 3), name="series"), L.Bidirectional(L.LSTM(4, return_sequences=True)), L.GRU(3)]
    return seeded(keras.Sequential([*model, L.Dense(2, activation="softmax")]))


def two_by_two():
    a, b = keras.Input((5,), name="zip"), keras.Input((3,), name="age")
    h = L.Dense(4, activation="tanh")(L.Concatenate()([a, b]))
    return seeded(keras.Model([a, b], [L.Dense(3, "softmax")(h), L.Dense(1, "sigmoid")(h)]))


def tokens():
    ids = keras.Input((6,), dtype="int32", name="ids")
    return seeded(keras.Model(ids, L.Dense(2)(L.GlobalAveragePooling1D()(L.Embedding(9, 4)(ids)))))


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Keras 3 models beside what `export` and `tf.saved_model.save` made of them."""
    folder = tmp_path_factory.mktemp("exports")
    models = {"pictures": pictures(L), "series": series(), "two": two_by_two(), "tokens": tokens()}
    for name, model in models.items():
        model.export(folder / name, verbose=False)
    tf.saved_model.save(models["pictures"], str(folder / "saved"))
    return folder, models | {"saved": models["pictures"]}


@pytest.mark.parametrize("name", ["pictures", "saved", "series"])
@pytest.mark.parametrize("batch", [1, 3])
def test_exports_of_keras_3(exports, name, batch):
    folder, models = exports
    model = load(folder / name, PLAIN)
    inputs = drawn(model, batch)
    weights = [1, -2, 0.5][: model.outputs[0].shape[-1]]
    expected = own_gradients(lambda x: models[name](*x.values(), training=False), inputs, weights)
    assert_same(gradients(model, inputs, weights), expected)
    facts = Compiled(model, model.outputs[0].name, batch=batch).facts
    assert facts.logits_found
    assert not facts.stochastic
    assert model.parameters == models[name].count_params()
    assert model.batch is None
    assert model.writer == f"TensorFlow {tf.__version__}"


def test_several_inputs_and_outputs_by_name(exports):
    folder, models = exports
    model = load(folder / "two", PLAIN)
    assert {spec.name: spec.shape for spec in model.inputs} == {"zip": (5,), "age": (3,)}
    assert [(output.name, output.shape) for output in model.outputs] == [("output_0", (3,)), ("output_1", (1,))]
    inputs = drawn(model)
    for index, weights in enumerate(([1, -2, 0.5], [1.0])):
        expected = own_gradients(lambda x, index=index: models["two"]([x["zip"], x["age"]])[index], inputs, weights)
        assert_same(gradients(model, inputs, weights, f"output_{index}"), expected)


def test_integer_inputs_open_and_have_no_gradient(exports):
    model = load(exports[0] / "tokens", PLAIN)
    assert model.inputs[0].dtype == "int32"
    with pytest.raises(ModelError, match="integers have no gradient"):
        _ = Compiled(model, model.outputs[0].name, batch=1).facts


def test_the_weights_hash_survives_saving_again(exports, tmp_path):
    folder, models = exports
    models["pictures"].export(tmp_path / "again", verbose=False)
    assert load(tmp_path / "again", PLAIN).weights_sha256 == load(folder / "pictures", PLAIN).weights_sha256
    assert load(folder / "series", PLAIN).weights_sha256 == load(folder / "series", PLAIN).weights_sha256


KERAS_2 = """
import sys
import numpy as np
import tf_keras
import tensorflow as tf
L = tf_keras.layers
layers = {
    "pictures": [L.Input((6, 6, 2)), L.Conv2D(3, 3, activation="swish"), L.BatchNormalization(), L.Flatten()],
    "series": [L.Input((4, 3)), L.LSTM(4)],
}
for name, first in layers.items():
    model = tf_keras.Sequential([*first, L.Dense(3, activation="softmax")])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    model.fit(x, np.eye(3)[[0, 1]], verbose=0)
    model.save(f"{sys.argv[1]}/{name}", save_format="tf")
    t = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(t)
        y = tf.reduce_sum(model(t, training=False) * tf.constant([1, -2, 0.5]))
    np.savez(f"{sys.argv[1]}/{name}.npz", x=x, g=tape.gradient(y, t).numpy())
"""


def test_models_that_keras_2_saved_compiled(tmp_path):
    """Their optimizer asks for slots, which nothing has in a process without Keras 2: saved in another one."""
    subprocess.run([sys.executable, "-c", KERAS_2, str(tmp_path)], check=True, capture_output=True, timeout=300)
    for kind in ("pictures", "series"):
        model = load(tmp_path / kind, PLAIN)
        expected = np.load(tmp_path / f"{kind}.npz")
        name = model.inputs[0].name
        assert_same(gradients(model, {name: expected["x"]}, [1, -2, 0.5]), {name: expected["g"]})
        assert Compiled(model, model.outputs[0].name, batch=1).facts.logits_found


class Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(np.random.default_rng(1).normal(0, 0.5, (4, 4)).astype(np.float32))

    @tf.function
    def inner(self, x):
        return tf.tanh(x @ self.kernel)

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
    def loop(self, x):
        for _ in tf.range(3):
            x = self.inner(x)
        return {"y": x, "text": tf.as_string(x)}

    @tf.function(input_signature=[tf.TensorSpec((2, 4), tf.float32, name="x")])
    def fixed(self, x):
        return {"y": self.inner(x)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
    def texts(self, text):
        return {"y": tf.strings.to_number(text)[:, None]}


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("module") / "m"
    made = Module()
    signatures = {name: getattr(made, name) for name in ("loop", "fixed", "texts")}
    tf.saved_model.save(made, str(folder), signatures=signatures)
    return folder, made


def test_a_signature_is_chosen_by_name(module):
    folder, made = module
    model = load(folder, OpenOptions(signature="loop"))
    assert model.notes == ("the output 'text' is no number and is left out",)
    inputs = drawn(model)
    expected = own_gradients(lambda x: made.loop(x["x"])["y"], inputs, [1, -2, 3, 0.5])
    assert_same(gradients(model, inputs, [1, -2, 3, 0.5]), expected)
    assert load(folder, OpenOptions(signature="fixed")).batch == 2


@pytest.mark.parametrize(
    ("signature", "reason", "words"),
    [
        (None, "several-signatures", "fixed, loop, texts"),
        ("lop", "no-signature", "fixed, loop, texts"),
        ("texts", "integer-input", "strings have no gradient"),
    ],
)
def test_a_signature_that_can_not_be_told_or_used(module, signature, reason, words):
    with pytest.raises(ModelError, match=words) as caught:
        load(module[0], OpenOptions(signature=signature))
    assert caught.value.reason == reason


class Hostile(tf.Module):
    def __init__(self, marker):
        super().__init__()
        self.marker = marker

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
    def write(self, x):
        tf.io.write_file(self.marker, "marker")
        return {"y": 2.0 * x}

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
    def restore(self, x):
        (value,) = tf.raw_ops.RestoreV2(
            prefix=self.marker, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
        )
        return {"y": x + tf.reshape(value, (-1,))[0]}

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
    def read(self, x):
        return {"y": x * tf.cast(tf.strings.length(tf.io.read_file(self.marker)), tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
    def python(self, x):
        return {"y": tf.ensure_shape(tf.py_function(lambda v: v, [x], tf.float32), (None, 4))}

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
    def printing(self, x):
        tf.print("marker", output_stream="file://" + self.marker)
        return {"y": 2.0 * x}

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
    def in_a_loop(self, x):
        for _ in tf.range(2):
            tf.io.write_file(self.marker, "marker")
            x = 2.0 * x
        return {"y": x}


ATTACKS = {
    "write": "WriteFile",
    "restore": "RestoreV2",
    "read": "ReadFile",
    "python": "EagerPyFunc",
    "printing": "PrintV2",
    "in_a_loop": "WriteFile",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_graphs_that_do_more_than_compute_are_refused(tmp_path, attack):
    marker = tmp_path / "marker"
    made = Hostile(str(marker))
    tf.saved_model.save(tf.Module(), str(tmp_path / "m"), signatures=getattr(made, attack))
    with pytest.raises(ModelError, match=ATTACKS[attack]) as caught:
        load(tmp_path / "m", PLAIN)
    assert caught.value.reason == "refused-operation"
    assert "--trust-model" in caught.value.hint
    assert not marker.exists()


def test_an_initialiser_that_writes_is_refused_before_loading_runs_it(tmp_path):
    marker = tmp_path / "marker"

    class Resource(tf.saved_model.experimental.TrackableResource):
        def _create_resource(self):
            return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=(), shared_name="marker")

        def _initialize(self):
            tf.io.write_file(str(marker), "marker")

    made = tf.Module()
    made.resource = Resource()
    made.double = tf.function(
        lambda x: {"y": 2.0 * x}, input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")], autograph=False
    )
    tf.saved_model.save(made, str(tmp_path / "m"), signatures=made.double)
    marker.unlink(missing_ok=True)
    with pytest.raises(ModelError, match="WriteFile"):
        load(tmp_path / "m", PLAIN)
    assert not marker.exists()


def test_trust_lifts_the_rule_about_operations(tmp_path):
    made = Hostile(str(tmp_path / "marker"))
    tf.saved_model.save(tf.Module(), str(tmp_path / "m"), signatures=made.write)
    assert look_at(tmp_path / "m", trust=True).signature == "serving_default"


def test_links_that_leave_the_model_are_refused_even_when_trusted(module, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    shutil.copytree(module[0], tmp_path / "m")
    (tmp_path / "m" / "assets" / "vocabulary").symlink_to(secret)
    with pytest.raises(ModelError, match="leaves the model") as caught:
        load(tmp_path / "m", OpenOptions(signature="loop", trust=True))
    assert caught.value.reason == "refused-path"
    (tmp_path / "m" / "assets" / "vocabulary").unlink()
    shutil.move(tmp_path / "m" / "variables", tmp_path / "elsewhere")
    (tmp_path / "m" / "variables").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="leaves the model"):
        load(tmp_path / "m", OpenOptions(signature="loop"))


def test_a_folder_reached_through_a_link_opens(module, tmp_path):
    (tmp_path / "link").symlink_to(module[0])
    assert load(tmp_path / "link", OpenOptions(signature="loop")).outputs[0].name == "y"


def test_broken_folders(module, tmp_path):
    def reason(path):
        with pytest.raises(ModelError) as caught:
            load(path, OpenOptions(signature="loop"))
        return caught.value.reason

    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "saved_model.pbtxt").write_text("saved_model_schema_version: 1")
    assert recognise(tmp_path / "text")
    assert reason(tmp_path / "text") == "text-graph"
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "saved_model.pb").write_bytes(b"")
    assert reason(tmp_path / "empty") == "truncated"
    shutil.copytree(module[0], tmp_path / "cut")
    content = (tmp_path / "cut" / "saved_model.pb").read_bytes()
    (tmp_path / "cut" / "saved_model.pb").write_bytes(content[: len(content) // 2])
    assert reason(tmp_path / "cut") == "truncated"
    shutil.copytree(module[0], tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "variables")
    assert reason(tmp_path / "bare") == "unloadable"
    assert not recognise(tmp_path)


def test_every_operation_on_the_list_is_one_of_tensorflow_s():
    from tensorflow.python.framework import op_def_registry

    assert [name for name in sorted(ALLOWED | CHECKPOINT) if op_def_registry.get(name) is None] == []
    words = (
        "File",
        "Dataset",
        "PyFunc",
        "Print",
        "Reader",
        "Remote",
        "Socket",
        "Save",
        "Restore",
        "Immutable",
        "Queue",
    )
    assert [name for name in sorted(ALLOWED) if any(word in name for word in words)] == []


WILD = {
    "mlperf_kws_savedmodel/kws_ref_model": ("input_1", "dense", "softmax"),
    "basicpitch_savedmodel/nmp": ("input_2", "note", "sigmoid"),
    "serving_half_plus_two_tf1/saved_model_half_plus_two_cpu/00000123": ("x", "y", "linear"),
}


@pytest.mark.parametrize("name", WILD)
def test_models_of_others_agree_with_their_own_signature(name):
    path = shared("wild", *name.split("/"))
    given, output, head = WILD[name]
    model = load(path, PLAIN)
    inputs = drawn(model, 1)
    assert list(inputs) == [given]
    facts = Compiled(model, output, batch=1).facts
    assert facts.head == head
    weights = np.random.default_rng(0).normal(size=facts.output_shape[-1]).astype(np.float32)
    loaded = tf.saved_model.load(str(path))
    expected = own_gradients(lambda x: loaded.signatures["serving_default"](**x)[output], inputs, weights)
    assert_same(gradients(model, inputs, weights, output), expected)


def test_half_plus_two():
    model = load(shared("wild", "serving_half_plus_two_tf1", "saved_model_half_plus_two_cpu", "00000123"), PLAIN)
    assert gradients(model, {"x": np.array([[3.0]], np.float32)}, [1.0])["x"] == 0.5


def test_three_outputs_by_name():
    model = load(shared("wild", "basicpitch_savedmodel", "nmp"), PLAIN)
    assert {output.name: output.shape for output in model.outputs} == {
        "contour": (172, 264),
        "note": (172, 88),
        "onset": (172, 88),
    }


def test_an_estimator_that_takes_strings_is_refused_plainly():
    with pytest.raises(ModelError, match="takes strings, and strings have no gradient") as caught:
        load(shared("wild", "guesslang_savedmodel", "model"), PLAIN)
    assert caught.value.reason == "integer-input"

"""No false alarm: models as people save them pass, and the allow-list knows the installed Keras."""

import inspect
from pathlib import Path

import pytest

from saliency_cli.errors import ModelError
from saliency_cli.models.screening import names
from saliency_cli.models.screening.parent import screen

ROOT = Path(__file__).resolve().parents[2]
WILD = ROOT.parent / "shared" / "wild"
SAMPLES = sorted((ROOT / "sample_models").glob("*.keras"))
CODE = {
    "dl4j_model_lambda": ("refused-code", "lambda_3"),
    "gpucom_model6": ("refused-code", "lambda_1"),
    "pilotnet_lambda": ("refused-code", "lambda_1"),
    "slimnet_portrait_seg": ("refused-code", "lambda"),
    "turbofan_rul_keras3": ("custom-class", "SelfAttention"),
}
PUBLISHED = [
    path
    for path in (sorted(WILD.rglob("*")) if WILD.is_dir() else [])
    if path.suffix in (".h5", ".hdf5", ".keras", ".pb") or path.name == "model.json"
]


@pytest.mark.parametrize("path", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_a_sample_passes(path):
    assert screen(path, trust=False).findings == ()


@pytest.mark.skipif(not WILD.is_dir(), reason="the collection of published models is not at hand")
@pytest.mark.parametrize("path", PUBLISHED, ids=[f"{path.parent.name}/{path.name}" for path in PUBLISHED])
def test_a_published_model_passes_unless_it_holds_code(path):
    if path.parent.name not in CODE:
        assert screen(path, trust=False).findings == ()
        return
    reason, named = CODE[path.parent.name]
    with pytest.raises(ModelError) as caught:
        screen(path, trust=False)
    assert caught.value.reason == reason
    assert named in caught.value.message


@pytest.mark.skipif(not WILD.is_dir(), reason="the collection of published models is not at hand")
@pytest.mark.parametrize("name", sorted(path.name for path in WILD.glob("*_tfjs")) if WILD.is_dir() else [])
def test_a_published_directory_passes(name):
    assert screen(WILD / name, trust=False).format == "directory"


def check_architecture(name, folder, **options):
    import keras

    model = getattr(keras.applications, name)(weights=None, **options)
    for suffix in ("keras", "h5"):
        path = folder / f"model.{suffix}"
        model.save(path)
        found = screen(path, trust=False)
        assert found.findings == ()
        assert found.numbers >= model.count_params()
        path.unlink()
    keras.backend.clear_session()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MobileNetV2", {"alpha": 0.35, "input_shape": (96, 96, 3)}),
        ("MobileNetV3Small", {"input_shape": (96, 96, 3)}),
    ],
)
def test_a_small_architecture_passes(name, options, tmp_path):
    check_architecture(name, tmp_path, **options)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_architecture_passes(tmp_path):
    import keras

    known = [name for name in dir(keras.applications) if name[0].isupper()]
    assert len(known) > 30
    for name in known:
        check_architecture(name, tmp_path)


def test_every_public_class_of_keras_was_looked_at():
    """A name that a new Keras brings fails here until somebody has read what building it does."""
    import keras

    looked_at = names.CLASSES | names.CODE_LAYERS
    rooms = "layers models initializers regularizers constraints losses metrics optimizers dtype_policies quantizers"
    for room in rooms.split():
        module = getattr(keras, room)
        public = {name for name in dir(module) if name[0].isupper() and inspect.isclass(getattr(module, name))}
        assert public <= looked_at, room


def test_what_an_allowed_name_reaches_is_a_class_never_a_function():
    import keras

    for room in (
        "layers",
        "models",
        "initializers",
        "regularizers",
        "constraints",
        "losses",
        "metrics",
        "optimizers",
    ):
        module = getattr(keras, room)
        for name in dir(module):
            if names.is_stock_class(f"keras.{room}", name):
                assert inspect.isclass(getattr(module, name)), f"{room}.{name}"
    assert not any(names.is_stock_class("keras", name) for name in ("Variable", "Function", "StatelessScope"))


def test_the_functions_an_allowed_name_reaches_are_these():
    """Every one computes: a function added to the list is looked at here."""
    import keras

    reached = {
        name
        for room in ("activations", "losses", "metrics", "ops")
        for name in dir(getattr(keras, room))
        if names.is_stock_function(f"keras.{room}", name)
    }
    assert not reached & {"get", "serialize", "deserialize", "custom_gradient", "vectorize", "while_loop", "map"}
    assert set(dir(keras.activations)) & names.ACTIVATIONS >= {"relu", "gelu", "softmax", "tanh", "mish"}


INTERNAL = {
    "BackendOptimizer",
    "GroupedQueryAttention",
    "BaseConv",
    "BaseConvTranspose",
    "BaseDepthwiseConv",
    "BaseSeparableConv",
    "BaseAdaptiveAveragePooling",
    "BaseAdaptiveMaxPooling",
    "BaseAdaptivePooling",
    "BaseGlobalPooling",
    "BasePooling",
    "DataLayer",
    "Cross",
    "Feature",
    "FeatureSpace",
    "TFDConcat",
    "TFDIdentity",
    "BaseImagePreprocessingLayer",
    "IndexLookup",
    "BaseSpatialDropout",
    "ConvLSTM",
    "ConvLSTMCell",
    "LossFunctionWrapper",
    "SensitivitySpecificityBase",
    "BaseOptimizer",
    "FakeQuantWithMinMaxVars",
    "KerasSaveable",
}


def test_every_class_in_the_rooms_that_are_allowed_whole_was_looked_at():
    """Keras takes any class that can be saved from its own modules: these, and its operations, are what is there."""
    import importlib
    import pkgutil

    import keras.src
    from keras.src.saving.keras_saveable import KerasSaveable

    found = set()
    for module in pkgutil.walk_packages(keras.src.__path__, "keras.src."):
        if module.name.endswith("_test") or not names.is_stock_class(module.name, "Dense"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            saveable = isinstance(value, type) and issubclass(value, KerasSaveable)
            if saveable and names.is_stock_class(module.name, name):
                found.add((value.__module__, name))
    assert len(found) > 300
    unknown = {name for module, name in found if not module.startswith("keras.src.ops.")} - names.CLASSES
    assert unknown - {"Operation", "Function"} <= INTERNAL


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras", "Sequential"),
        ("keras.src.models.functional", "Functional"),
        ("keras.layers", "Dense"),
        ("tf_keras.src.engine.functional", "Functional"),
        ("tf_keras.src.layers.core.tf_op_layer", "TFOpLambda"),
        ("keras.src.ops.numpy", "Add"),
        ("keras.src.applications.convnext", "LayerScale"),
        ("keras.src.applications.inception_resnet_v2", "CustomScaleLayer"),
        ("keras.optimizers.schedules", "CosineDecay"),
    ],
)
def test_a_class_of_keras_is_known(module, name):
    assert names.is_stock_class(module, name)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.src.utils.file_utils", "Progbar"),
        ("keras.src.applications.vgg16", "VGG16"),
        ("keras.layers", "deserialize"),
        ("keras", "utils.get_file"),
        ("keras.src.layers", "TFSMLayer"),
        ("keras.src.layers.core.lambda_layer", "Lambda"),
        ("keras_hub.layers", "Dense"),
        ("kerasx.layers", "Dense"),
        ("keras.src.layers.core\n", "Dense"),
    ],
)
def test_another_class_is_not(module, name):
    assert not names.is_stock_class(module, name)


@pytest.mark.parametrize(
    "name", ["io.read_file", "raw_ops.WriteFile", "py_function", "keras.utils.get_file", "load_op_library"]
)
def test_a_tensorflow_function_that_does_more_than_compute_is_not_known(name):
    assert not names.is_stock_symbol(name)


def layer_of(kind):
    """Return a layer of a class, with the arguments its kind needs; None where it takes others."""
    import keras

    inner = keras.layers.Dense(2)
    tries: list[tuple[tuple, dict]] = [
        ((), {}),
        ((2,), {}),
        ((2, 3), {}),
        ((inner,), {}),
        ((keras.layers.LSTM(2),), {}),
        ((keras.layers.LSTMCell(2),), {}),
        (([keras.layers.LSTMCell(2)],), {}),
        ((0.5,), {}),
        (((2, 2),), {}),
        (("relu",), {}),
        ((), {"height": 2, "width": 2}),
        ((), {"num_tokens": 4}),
        ((), {"num_heads": 2, "key_dim": 2}),
        ((), {"equation": "ab,bc->ac", "output_shape": 2}),
        ((), {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1}),
        ((), {"factor": 0.1, "value_range": (0, 1)}),
        ((), {"num_bins": 4}),
        ((), {"scale": 0.5}),
        ((2, "mean"), {}),
    ]
    for arguments, options in tries:
        try:
            return getattr(keras.layers, kind)(*arguments, **options)
        except Exception:
            continue
    return None


@pytest.mark.filterwarnings("ignore")
def test_every_stock_layer_with_its_usual_arguments_passes():
    import keras

    from saliency_cli.models.screening.classes import Rules
    from saliency_cli.models.screening.config import check_config

    missed = []
    for kind in sorted(names.LAYERS - {"InputSpec"}):
        layer = layer_of(kind)
        if layer is None:
            missed.append(kind)
            continue
        written = keras.saving.serialize_keras_object(layer)
        assert check_config(written, kind, Rules(slashes=False)).findings == [], kind
        legacy = {"class_name": kind, "config": written["config"]}
        assert check_config(legacy, kind, Rules()).findings == [], kind
    assert len(missed) < 12, missed

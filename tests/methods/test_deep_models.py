"""Every method on deep networks: an answer that is finite and adds up as far as it says so, or a reason.

Weights and batch-norm statistics are drawn at random, nothing is downloaded. `pytest -s` prints the table.
"""

import numpy as np
import pytest

import saliency_cli as sal
from saliency_cli.autodiff.runtime import keras
from saliency_cli.errors import SaliencyError
from saliency_cli.runs.settings import METHODS

pytestmark = pytest.mark.slow

L = keras.layers
SIZE = 64
CHEAP = {"draws": 200, "steps": 6, "points": 4, "channels": 8}  # kernel-shap needs more draws than features


@keras.saving.register_keras_serializable("tests")
class Places(L.Layer):
    """Adds what is learned of each place."""

    def build(self, shape):
        self.places = self.add_weight(shape=shape[1:], name="places")

    def call(self, x):
        return x + self.places


def vision_transformer(patch=16, width=48, blocks=3, heads=3):
    x = keras.Input((SIZE, SIZE, 3))
    patches = L.Conv2D(width, patch, strides=patch, name="patches")(x)
    y = Places()(L.Reshape(((SIZE // patch) ** 2, width))(patches))
    for _ in range(blocks):
        z = L.LayerNormalization(epsilon=1e-6)(y)
        y = L.Add()([y, L.MultiHeadAttention(heads, width // heads)(z, z)])
        z = L.LayerNormalization(epsilon=1e-6)(y)
        y = L.Add()([y, L.Dense(width)(L.Dense(4 * width, "gelu")(z))])
    pooled = L.GlobalAveragePooling1D()(L.LayerNormalization(epsilon=1e-6)(y))
    return keras.Model(x, L.Dense(10, "softmax")(pooled))


def _known(name):
    return lambda: getattr(keras.applications, name)(weights=None, input_shape=(SIZE, SIZE, 3), classes=10)


NAMED = ("VGG16", "ResNet50", "MobileNetV2", "EfficientNetV2B0", "ConvNeXtTiny")
MODELS = {name: _known(name) for name in NAMED} | {"ViT": vision_transformer}

RELEVANCE = {name for name in METHODS.names() if name.startswith("lrp-")} | {"deep-taylor", "excitation-backprop"}
GUIDED = {"guided-backprop", "deconvnet", "guided-grad-cam"}
LAYERED = {
    name for name in METHODS.names() if any(option.name == "layer" for option in METHODS.options(name))
}  # fmt: skip
RULELESS = {"no-rule": RELEVANCE, "nothing-to-patch": GUIDED}
REFUSED = {
    "EfficientNetV2B0": RULELESS,  # swish, and gates that squeeze and excite
    "ConvNeXtTiny": RULELESS,  # GELU and layer norms
    "ViT": {
        "no-rule": RELEVANCE,
        "nothing-to-patch": GUIDED - LAYERED,
        "attention": LAYERED,
        "no-places": {"fullgrad"},  # a row of tokens lies over no picture
    },
}
EXPECTED = {
    (model, name): reason for model, reasons in REFUSED.items() for reason, names in reasons.items() for name in names
}
# Methods whose maps add up, and on which models; the rest only say by how much they don't.
POSITIVE = ("excitation-backprop", "deep-taylor")  # lose what reaches a unit to which nothing positive contributes
ADDS_UP = {name: set(MODELS) for name in ("deeplift", "deep-shap", "fullgrad")}
ADDS_UP |= {name: {"VGG16", "ResNet50"} for name in POSITIVE}
MAY_BE_ZERO = {"all-zero", "all-negative"}


def drawn(model):
    """Draw every weight at random, and statistics of the batch norms near those of random pictures."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        kind, shape = weight.path.rsplit("/", 1)[-1], weight.shape
        if "kernel" in kind:
            fan = np.prod(shape[:2] if "depthwise" in weight.path and shape[-1] == 1 else shape[:-1])
            values = rng.normal(0, np.sqrt(2 / fan), shape)
        elif kind in ("gamma", "moving_variance") or "layer_scale" in weight.path:
            values = rng.uniform(0.5, 1.5, shape)
        elif kind in ("beta", "bias", "moving_mean", "places"):
            values = rng.normal(0, 0.1, shape)
        else:
            continue  # statistics of the preparing
        weight.assign(values.astype(weight.dtype))
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, L.BatchNormalization)]
    if norms:
        _settled(model, norms, rng)
    return model


def _settled(model, norms, rng):
    before = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(np.stack([picture(model, seed) for seed in range(8)]), training=True)
    for layer, momentum in zip(norms, before, strict=True):
        layer.momentum = momentum
        mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy() + 1e-3
        layer.moving_mean.assign(mean + rng.normal(0, 0.1, mean.shape) * np.sqrt(variance))
        layer.moving_variance.assign(variance * rng.uniform(0.7, 1.4, variance.shape))


def picture(model, seed=1):
    """A smooth random picture, of the values that the model takes."""
    coarse = np.random.default_rng(seed).random((8, 8, 3))
    fine = np.kron(coarse, np.ones((SIZE // 8, SIZE // 8, 1))) + np.random.default_rng(seed + 99).normal(
        0, 0.1, (SIZE, SIZE, 3)
    )
    bytes_in = model.name.startswith(("efficientnet", "convnext"))
    return np.asarray(255 * np.clip(fine, 0, 1) if bytes_in else 2 * fine - 1, np.float32)


@pytest.fixture(scope="module", params=MODELS)
def asked(request):
    """The model, its input, and the row of the table that is printed when it is done."""
    keras.utils.set_random_seed(0)
    live = drawn(MODELS[request.param]())
    x = picture(live)
    rows = {}
    yield request.param, sal.wrap(live), x, rows
    print(f"\n\n{request.param}")
    for name, told in sorted(rows.items(), key=lambda row: (row[1], row[0])):
        print(f"  {name:32} {told}")


def answer(model, x, **asked):
    try:
        return model.attribute(x, **asked), None
    except SaliencyError as error:
        return None, error


@pytest.mark.parametrize("name", METHODS.names())
def test_it_answers_or_says_why_not(asked, name, tmp_path):
    which, model, x, rows = asked
    options = {option.name: CHEAP[option.name] for option in METHODS.options(name) if option.name in CHEAP}
    if any(option.name == "baselines" and not option.default for option in METHODS.options(name)):
        np.save(tmp_path / "others.npy", np.stack([x / 2, x[::-1]]))
        options["baselines"] = str(tmp_path / "others.npy")
    found, refusal = answer(model, x, method=name, options=options, batch_size=8)
    if refusal is not None:
        rows[name] = f"refused: {refusal.message}"
        assert refusal.reason == EXPECTED.get((which, name)), refusal.message
        assert len(refusal.message) > 20
        assert refusal.hint
        return
    rows[name] = "answered" + "".join(f", {flag}" for flag in found.flags)
    assert (which, name) not in EXPECTED
    assert found.values.shape == x.shape
    assert np.isfinite(found.values).all()
    assert np.any(found.values) or MAY_BE_ZERO & set(found.flags)
    if name in ADDS_UP:
        share = unshared(found)
        rows[name] += f", gap {share:.0e}"
        assert share < 1e-5 if which in ADDS_UP[name] else "shares-gap" in found.flags


def unshared(found):
    """The gap as a share of all that was shared out."""
    details, value = found.record.details, found.record.target.value
    gap = abs(details.get("completeness_gap", details.get("conservation_gap")))
    if "biases" in details:
        return gap / (abs(value) + abs(details["input"]) + abs(details["biases"]))
    return gap / max(abs(details.get("baseline_value", 0)), float(np.abs(found.values).sum(dtype=np.float64)))


def test_what_is_expected_is_of_methods_and_models_that_are_there():
    assert {model for model, _ in EXPECTED} < set(MODELS)
    assert {name for _, name in EXPECTED} < set(METHODS.names())

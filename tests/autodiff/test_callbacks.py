"""Maps and metrics of the same inputs after each epoch of training."""

import json

import numpy as np
import pytest
from tiny_models import L, keras

import saliency_cli as sal
from saliency_cli.callbacks import SaliencyCallback
from saliency_cli.errors import UsageError


@pytest.fixture
def task():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((6, 6, 3)), L.Conv2D(4, 3, activation="tanh"), L.Flatten(), L.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).random((12, 6, 6, 3), np.float32)
    return model, x, np.arange(12) % 3


def lines(folder):
    return [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]


def test_every_epoch_is_of_the_weights_it_ended_with(task, tmp_path):
    model, x, y = task
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((logs["saliency_grad_l2"], sal.wrap(self.model).attribute(x[0], metrics=["grad-l2"]).metrics))

    watching = SaliencyCallback(x[:1], tmp_path, metrics=["grad-l2"], formats=["npy"])
    model.fit(x, y, epochs=3, verbose=0, callbacks=[watching, Spy()])
    for logged, fresh in seen:
        assert logged == pytest.approx(fresh["grad-l2"], rel=1e-5)
    assert len({round(logged, 9) for logged, _ in seen}) == 3
    last = np.load(tmp_path / "epoch-003" / "000.npy")
    assert np.allclose(last, sal.wrap(model).attribute(x[0]).values, rtol=1e-5, atol=1e-8)


def test_training_is_the_same_with_and_without(task, tmp_path):
    model, x, y = task
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    other.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    watched = model.fit(x, y, epochs=2, shuffle=False, verbose=0, callbacks=[SaliencyCallback(x[:2], tmp_path)])
    alone = other.fit(x, y, epochs=2, shuffle=False, verbose=0)
    assert watched.history["loss"] == alone.history["loss"]
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


def test_a_map_is_compared_with_that_of_the_epoch_before(task, tmp_path):
    model, x, y = task
    watching = SaliencyCallback(x[:2], tmp_path, metrics=["pearson", "gini"], formats=[])
    history = model.fit(x, y, epochs=3, verbose=0, callbacks=[watching]).history
    first, second, _ = lines(tmp_path)
    assert first["metrics"]["pearson"] is None
    assert 0.5 < second["metrics"]["pearson"] < 1
    assert len(history["saliency_gini"]) == 3
    assert not list(tmp_path.glob("epoch-*"))


def test_every_second_epoch_and_the_last(task, tmp_path):
    model, x, y = task
    model.fit(x, y, epochs=5, verbose=0, callbacks=[SaliencyCallback(x[:1], tmp_path, every=2)])
    assert [line["epoch"] for line in lines(tmp_path)] == [2, 4, 5]
    assert sorted(path.name for path in tmp_path.glob("epoch-*")) == ["epoch-002", "epoch-004", "epoch-005"]
    assert (tmp_path / "epoch-002" / "000.overlay.png").read_bytes().startswith(b"\x89PNG")


def test_an_input_that_does_not_fit_is_told_and_training_goes_on(task, tmp_path):
    model, x, y = task
    watching = SaliencyCallback([x[0], x[0][:3]], tmp_path)
    assert len(model.fit(x, y, epochs=1, verbose=0, callbacks=[watching]).history["loss"]) == 1
    good, bad = lines(tmp_path)[0]["inputs"]
    assert good["metrics"]["gini"] > 0
    assert bad["reason"] == "wrong-shape"


def test_labels_are_the_truth_of_their_inputs(task, tmp_path):
    model, x, y = task
    watching = SaliencyCallback(x[:2], tmp_path, labels=[2, 1], target="label", metrics=["grad-l2"])
    model.fit(x, y, epochs=1, verbose=0, callbacks=[watching])
    expected = [sal.wrap(model).attribute(x[i], target=k, metrics=["grad-l2"]).metrics for i, k in ((0, 2), (1, 1))]
    found = [entry["metrics"] for entry in lines(tmp_path)[0]["inputs"]]
    assert [each["grad-l2"] for each in found] == pytest.approx([each["grad-l2"] for each in expected], rel=1e-5)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"every": 0}, "every is 0"),
        ({"metrics": ["ginni"]}, "no metric is called 'ginni'"),
        ({"formats": ["gif"]}, "no format is called 'gif'"),
        ({"labels": [1]}, "1 labels came for 2 inputs"),
    ],
)
def test_mistakes_are_told_before_training(tmp_path, fields, told):
    with pytest.raises(UsageError, match=told):
        SaliencyCallback(np.zeros((2, 6, 6, 3)), tmp_path, **fields)

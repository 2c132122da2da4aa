"""What a rule can't say anything of is refused by name, not passed through."""

import numpy as np
import pytest
from asking import compiled
from rule_nets import L, by_rule, inputs, pictures, seeded, stacked
from test_rules_add_up import gated, transformer

from saliency_cli.autodiff import calls
from saliency_cli.autodiff.runtime import keras, tf
from saliency_cli.differentiable import Trace
from saliency_cli.errors import ModelError, UsageError

RELEVANCE = "lrp:dense=epsilon"


def refused(model, rule, reason, words, error=ModelError, references=()):
    x = inputs(model.input_shape[1:])
    with pytest.raises(error, match=words) as caught:
        by_rule(model, x, rule, references)
    assert caught.value.reason == reason
    assert caught.value.hint
    return caught.value.hint


@pytest.mark.parametrize("form", ["guided", "deconvnet"])
@pytest.mark.parametrize("activation", ["gelu", "silu", "tanh"])
def test_nothing_to_guide(form, activation):
    refused(pictures(activation), f"guided:form={form}", "nothing-to-patch", "there is none .* other activations")


@pytest.mark.parametrize("form", ["guided", "deconvnet"])
@pytest.mark.parametrize(
    "written", [L.PReLU(), L.Activation("hard_swish"), L.Activation("celu"), L.ReLU(threshold=1)]
)
def test_an_activation_written_with_relus_is_none(form, written):

    def network(*before):
        return stacked((5,), *before, L.Dense(4), type(written).from_config(written.get_config()), L.Dense(3))

    refused(network(), f"guided:form={form}", "nothing-to-patch", "none .* .1 other activations")
    found, _ = by_rule(network(L.Dense(4, "relu")), inputs((5,)), f"guided:form={form}")
    assert (found.activations["patched"][0], found.activations["unpatched"][0]) == (1, 1)


def test_a_relu_beside_what_it_is_added_to_is_a_relu():
    x = keras.Input((5,))
    y = L.Dense(4)(x)
    model = seeded(keras.Model(x, L.Dense(3)(L.Add()([y, L.ReLU()(y)]))))
    found, _ = by_rule(model, inputs((5,)), "guided")
    assert (found.activations["patched"][0], found.activations["unpatched"][0]) == (1, 0)


def test_the_relus_of_a_loop_can_not_be_guided():
    model = stacked((5, 3), L.Dense(3, "relu"), L.SimpleRNN(4, activation="relu"), L.Dense(3))
    refused(model, "guided", "hidden-operations", "inside While")


def test_a_loop_without_relus_is_no_matter_to_guiding():
    model = stacked((5, 3), L.Dense(3, "relu"), L.LSTM(4), L.Dense(3))
    found, guided = by_rule(model, inputs((5, 3)), "guided")
    assert found.activations["patched"][0] == 1
    assert found.activations["unpatched"][0] == 0
    assert np.abs(guided - by_rule(model, inputs((5, 3)))[1]).max() > 0


def test_relus_inside_a_call_can_not_be_guided():
    model = stacked((5,), L.Dense(4, "relu"), Called(), L.Dense(3))
    assert "unroll" not in refused(model, "guided", "hidden-operations", "inside .*PartitionedCall")


def refused_by_rule(model, rule, words):
    references = [np.float32(0)] if rule == "deeplift" else []
    return refused(model, rule, "hidden-operations", words, references=references)


@pytest.mark.parametrize("rule", [RELEVANCE, "deeplift"])
def test_loops_have_no_rule(rule):
    hint = refused_by_rule(stacked((5, 3), L.LSTM(4), L.Dense(3)), rule, "can't look into While .* a loop hides")
    assert "unroll=True" in hint


class Called(L.Layer):
    def call(self, x):
        return tf.function(lambda y: tf.nn.relu(y))(x)


@pytest.mark.parametrize("rule", [RELEVANCE, "deeplift"])
def test_calls_have_no_rule(rule):
    hint = refused_by_rule(stacked((5,), L.Dense(4), Called(), L.Dense(3)), rule, "PartitionedCall .* a call hides")
    assert "unroll" not in hint
    assert "integrated-gradients" in hint


@pytest.mark.parametrize("rule", [RELEVANCE, "deeplift"])
def test_a_convolution_that_only_xla_can_do_is_told_as_that(rule, monkeypatch):
    monkeypatch.setattr(calls, "_tried", lambda *_: False)
    model = stacked((6, 6, 4), L.Conv2D(4, 3, groups=2), L.GlobalAveragePooling2D(), L.Dense(3))
    hint = refused_by_rule(model, rule, "a convolution in groups.* as a compiled whole")
    assert "unroll" not in hint


@pytest.mark.parametrize(
    ("build", "words"),
    [(transformer, "Mul .*layer_normalization.* a gate, attention or a norm"), (gated, "Mul .*multiply"),
     (lambda: stacked((5,), L.Dense(4, "softmax"), L.Dense(3)), "Softmax")],
)  # fmt: skip
def test_gates_norms_and_attention_have_no_relevance(build, words):
    refused(build(), RELEVANCE, "no-rule", words)


def test_an_operation_without_a_rule_is_named_by_deeplift():
    x = keras.Input((4,))
    model = seeded(keras.Model(x, L.Dense(3)(keras.ops.sort(L.Dense(4)(x)))))
    refused(model, "deeplift", "no-rule", "TopKV2|Sort", references=[np.float32(0)])


class Half(L.Layer):
    def call(self, x):
        return tf.cast(tf.cast(x, tf.float16) * 2, tf.float32)


@pytest.mark.parametrize("rule", [RELEVANCE, "deeplift"])
def test_half_precision_is_refused(rule):
    model = stacked((5,), L.Dense(4, "relu"), Half(), L.Dense(3))
    refused(model, rule, "half-precision", "float16", references=[np.float32(0)] if rule == "deeplift" else [])


@pytest.mark.parametrize("space", ["probability", "log-probability"])
def test_relevance_is_of_a_score(space):
    function = compiled(pictures(), batch=3, space=space)
    with pytest.raises(UsageError, match=f"the target is a {space}") as caught:
        by_rule(function, inputs((8, 8, 3)), RELEVANCE)
    assert caught.value.hint == "--space logit"


def test_relevance_is_not_of_a_loss():
    function = compiled(pictures(), batch=3, loss="categorical_crossentropy")
    name, labels = function.model.inputs[0].name, np.eye(4, dtype=np.float32)[[0, 1, 2]]
    weights, nothing = np.zeros((3, 4), np.float32), np.zeros(3, bool)
    with pytest.raises(UsageError, match="the target is a loss"):
        function({name: inputs((8, 8, 3))}, weights, nothing, labels, Trace(rule=RELEVANCE))
    guided = function({name: inputs((8, 8, 3))}, weights, nothing, labels, Trace(rule="guided"))
    assert np.any(guided.gradients[name])


def test_unknown_rules_and_options():
    for rule, words in (("gided", "no rule is called 'gided'"), ("lrp:dense=flat", "dense=flat"), ("lrp:x=1", "'x'")):
        with pytest.raises(UsageError, match=words):
            by_rule(pictures(), inputs((8, 8, 3)), rule)

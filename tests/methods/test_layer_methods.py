"""Methods that look at a layer, in closed form: a convolution's two channels averaged and weighed, by plain arrays.

`solve` takes an input for a layer of its own name, so a head on an input is a model behind a layer.
"""

import numpy as np
import pytest
from oracles import METHODS, build, sample_of, solve

from saliency_cli.errors import InputError, UsageError
from saliency_cli.layering import onto_inputs, resized

A = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
W = np.array([1.5, -0.5])
CAMS = ("grad-cam", "xgrad-cam", "hirescam", "layercam", "elementwise-grad-cam", "grad-cam++")


def pooled_head(arrays):
    """Global average pooling and a dense unit: s = Σ_k w_k mean(A_k) + 0.25."""
    x = arrays["x"]
    return float(x.mean((0, 1)) @ W) + 0.25, {"x": np.broadcast_to(W / 12, x.shape)}


def curved_head(arrays):
    """Every place weighs otherwise, and squares: s = Σ c A² / 2."""
    x = arrays["x"].astype(np.float64)
    return float((C * x * x).sum() / 2), {"x": C * x}


C = np.random.default_rng(1).normal(size=(4, 3, 2))
CAM = A @ W  # the class activation map of Zhou et al. 2016


def plane(name, head=pooled_head, x=A, **options):
    found = solve(build(name, layer="x", **options), head, sample_of(x=x))
    assert found.values["x"].shape == x.shape
    np.testing.assert_array_equal(found.values["x"][..., :1], found.values["x"][..., 1:])
    return found.values["x"][..., 0]


@pytest.mark.parametrize("name", ["grad-cam", "hirescam"])
def test_behind_an_average_it_is_the_class_activation_map(name):
    np.testing.assert_allclose(plane(name, relu=False), CAM / 12, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(plane(name, relu=True), np.maximum(CAM, 0) / 12, rtol=1e-5, atol=1e-7)
    # Its sum is the target less the bias.
    assert plane(name, relu=False).sum() == pytest.approx(pooled_head({"x": A})[0] - 0.25, rel=1e-5)


def test_each_form_by_its_formula():
    activation, gradient = A.astype(float), C * A
    expected = {
        "grad-cam": activation @ gradient.mean((0, 1)),
        "hirescam": (activation * gradient).sum(-1),
        "layercam": (activation * np.maximum(gradient, 0)).sum(-1),
        "elementwise-grad-cam": np.maximum(activation * gradient, 0).sum(-1),
        "xgrad-cam": activation @ ((gradient * activation).sum((0, 1)) / activation.sum((0, 1))),
        "grad-cam++": activation @ by_the_paper(activation, gradient),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(plane(name, curved_head, relu=False), value, rtol=1e-5, err_msg=name)


def by_the_paper(activation, gradient):
    """Equations 10 and 19 of Grad-CAM++ place by place, as they are written."""
    weights = np.zeros(2)
    for k in range(2):
        for i, j in np.ndindex(4, 3):
            g = gradient[i, j, k]
            alpha = g**2 / (2 * g**2 + activation[..., k].sum() * g**3)
            weights[k] += alpha * max(g, 0)
    return weights


def test_a_channel_without_gradient_or_activation_makes_no_nan():
    x = A.copy()
    x[..., 1] = 0
    for name in CAMS:
        assert np.isfinite(plane(name, x=x)).all()
        assert np.isfinite(plane(name, lambda arrays: (0.0, {"x": np.zeros(A.shape)}))).all()


def test_a_map_cut_to_nothing_is_told():
    found = solve(build("grad-cam", layer="x"), pooled_head, sample_of(x=-np.abs(A) * [1, 0]))
    assert found.flags == ("all-negative",)
    assert not np.any(found.values["x"])
    assert found.layers["x"].shape == (4, 3)


def test_ablation_is_the_fall_without_a_channel():
    """Behind a linear head s − s_k is w_k mean(A_k)."""
    falls = W * A.mean((0, 1))
    np.testing.assert_allclose(plane("ablation-cam", relu=False), A @ falls, rtol=1e-4, atol=1e-7)
    dead = A * np.float32([1, 0])
    np.testing.assert_allclose(
        plane("ablation-cam", x=dead, relu=False), dead @ (falls * [1, 0]), rtol=1e-4, atol=1e-7
    )


def test_score_cam_by_its_algorithm():
    masks = (A - A.min((0, 1))) / np.ptp(A.reshape(-1, 2), axis=0)
    scores = np.array([pooled_head({"x": A * masks[..., k, None]})[0] - 0.25 for k in range(2)])
    np.testing.assert_allclose(plane("score-cam", weights="increase", relu=False), A @ scores, rtol=1e-4)
    softmax = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(plane("score-cam", relu=False), A @ softmax, rtol=1e-4)
    most = int(A.std((0, 1)).argmax())
    np.testing.assert_allclose(plane("score-cam", relu=False, channels=1), A[..., most], rtol=1e-5)


def test_eigen_cam_is_the_best_map_of_rank_one():
    found = solve(build("eigen-cam", layer="x", relu=False), pooled_head, sample_of(x=np.abs(A)))
    matrix = np.abs(A).reshape(-1, 2).astype(float)
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    expected = matrix @ vectors[:, -1]
    np.testing.assert_allclose(found.layers["x"].ravel(), np.abs(expected), rtol=1e-5)
    assert found.details["explained"] == pytest.approx(values[-1] / values.sum())
    # Of a matrix of rank one, times a gradient that is the same everywhere, all of it is explained.
    one = np.float32(np.arange(1, 13).reshape(4, 3, 1) * [1, 2])
    weighed = solve(build("eigen-grad-cam", layer="x", relu=False), pooled_head, sample_of(x=one))
    assert weighed.details["explained"] == pytest.approx(1)
    assert weighed.values["x"].sum() > 0  # as the sum of activation times gradient is
    down = solve(build("eigen-grad-cam", layer="x", relu=False), pooled_head, sample_of(x=-one))
    np.testing.assert_allclose(down.values["x"], -weighed.values["x"], rtol=1e-5)


def test_several_layers_are_averaged_and_each_is_kept():
    x, y = A, np.float32(2) * A[:2]

    def head(arrays):
        value = float((arrays["x"].mean((0, 1)) + arrays["y"].mean((0, 1))) @ W)
        return value, {"x": np.broadcast_to(W / 12, x.shape), "y": np.broadcast_to(W / 6, y.shape)}

    found = solve(build("hirescam", layer="x+y"), head, sample_of(x=x, y=y))
    assert set(found.layers) == {"x", "y"}
    np.testing.assert_allclose(found.values["y"][..., 0], (y * W / 6).sum(-1), rtol=1e-5)  # y depends on y alone
    maps = {"a": np.float64(x @ W), "b": np.float64(y @ W)}
    depends = {"a": ("x",), "b": ("x", "y")}
    sample = sample_of(x=x, y=y)
    mean = onto_inputs(sample, maps, depends)
    np.testing.assert_allclose(mean["x"][..., 0], (maps["a"] + resized(maps["b"], [4, 3])) / 2, rtol=1e-5)
    scaled = onto_inputs(sample, maps, depends, "scaled")["x"][..., 0]
    expected = [maps["a"] / np.abs(maps["a"]).max(), resized(maps["b"] / np.abs(maps["b"]).max(), [4, 3])]
    np.testing.assert_allclose(scaled, sum(expected) / 2, rtol=1e-5)


def test_resized_as_tensorflow_does():
    from saliency_cli.autodiff.runtime import tf

    for size in ((7, 5), (3, 2), (4, 3), (12, 9), (1, 1)):
        expected = tf.image.resize(A[None], size, "bilinear")[0].numpy()
        np.testing.assert_allclose(resized(A, list(size)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "shown"),
    [(np.zeros(5, np.float32), "no places"), (np.zeros((4, 3, 2, 5, 2), np.float32), None)],
)
def test_a_layer_without_places_is_refused(x, shown):
    def head(arrays):
        return 0.0, {"x": np.zeros(x.shape)}

    if shown is None:
        assert solve(build("grad-cam", layer="x"), head, sample_of(x=x)).values["x"].shape == x.shape
        return
    with pytest.raises(InputError, match=shown) as refused:
        solve(build("grad-cam", layer="x"), head, sample_of(x=x))
    assert refused.value.reason == "no-places"


def test_auto_is_left_to_a_run():
    with pytest.raises(UsageError, match="resolved when a run opens its model"):
        solve(METHODS.build("grad-cam", {}), pooled_head, sample_of(x=A))


def test_activations_and_their_products():
    np.testing.assert_allclose(plane("layer-activation"), A.sum(-1), rtol=1e-5)
    np.testing.assert_allclose(plane("layer-gradient-times-activation"), CAM / 12, rtol=1e-5, atol=1e-7)
    kept = solve(build("layer-activation", layer="x"), pooled_head, sample_of(x=A)).layers["x"]
    np.testing.assert_array_equal(kept, A)


@pytest.mark.parametrize("name", ["layer-integrated-gradients", "conductance"])
def test_the_change_of_the_target_is_shared_out(name):
    found = solve(build(name, layer="x"), curved_head, sample_of(x=A))
    np.testing.assert_allclose(found.layers["x"], C * A * A / 2, rtol=1e-4, atol=1e-6)
    assert found.values["x"][..., 0].sum() == pytest.approx(curved_head({"x": A})[0], rel=1e-4)
    assert abs(found.details["completeness_gap"]) < 1e-4
    same = solve(build(name, layer="x"), curved_head, sample_of({"x": A}, x=A))
    assert same.flags == ("baseline-is-input",)


@pytest.mark.parametrize("points", [1, 15, 16, 40])
def test_conductance_does_not_depend_on_how_many_points_are_held(points):
    """Along a line on which s is a square, the trapezoid of each step is exact."""
    found = solve(build("conductance", layer="x", points=points), curved_head, sample_of(x=A))
    np.testing.assert_allclose(found.layers["x"], C * A * A / 2, rtol=1e-4, atol=1e-6)


def test_internal_influence_is_the_mean_gradient():
    found = solve(build("internal-influence", layer="x"), curved_head, sample_of(x=A))
    np.testing.assert_allclose(found.layers["x"], C * A / 2, rtol=1e-5, atol=1e-7)


def test_one_layer_at_a_time():
    with pytest.raises(UsageError, match="one layer at a time"):
        solve(build("conductance", layer="x+y"), curved_head, sample_of(x=A))


def test_a_unit_in_place_of_the_target():
    sample = sample_of(x=A)
    mean = solve(build("neuron-gradient", layer="x", neuron="1"), curved_head, sample).values["x"]
    np.testing.assert_allclose(mean, np.broadcast_to([0, 1 / 12], A.shape), rtol=1e-6)
    single = solve(build("neuron-integrated-gradients", layer="x", neuron="2,0,1"), curved_head, sample).values["x"]
    expected = np.zeros(A.shape)
    expected[2, 0, 1] = A[2, 0, 1]
    np.testing.assert_allclose(single, expected, rtol=1e-5)
    with pytest.raises(UsageError, match="a channel's number"):
        build("neuron-gradient", neuron="first")
    with pytest.raises(UsageError, match="a unit of a unit"):
        build("neuron-gradient", of="neuron-gradient")


def test_fullgrad_refuses_what_does_not_add_up():
    """The square has a constant part, x²/2 − x·x, which a plain function doesn't tell."""
    with pytest.raises(InputError, match="the input and the biases contribute sums to") as refused:
        solve(build("fullgrad"), curved_head, sample_of(x=A))
    assert refused.value.reason == "incomplete"

    def linear(arrays):
        return float((C * arrays["x"]).sum()), {"x": C}

    found = solve(build("fullgrad", form="signed"), linear, sample_of(x=A))
    np.testing.assert_allclose(found.values["x"].sum(-1), (C * A).sum(-1), rtol=1e-5)
    assert abs(found.details["completeness_gap"]) < 1e-6

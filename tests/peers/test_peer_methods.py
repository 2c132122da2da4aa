"""Our methods beside the peers', on the same weights and with the same noise, masks and groups."""

import numpy as np
import peer_nets
import pytest
from peer_nets import DRAWS, EPSILON, LIME, NEURON, POINTS, given, ours, samples

from saliency_cli.runs.settings import METHODS


def need(*names):
    """Skip where a method is not part of this tree."""
    missing = [name for name in names if name not in METHODS.names()]
    if missing:
        pytest.skip(f"there is no method {', '.join(missing)} here")


def test_gradient(captum, xplique, pair, zennit, tf_keras_vis):
    found = ours("gradient")
    captum.agrees("gradient: Saliency(abs=False)", found, "gradients/gradient")
    pair.agrees("gradient: GradientSaliency", found, "gradient/plain")
    zennit.agrees("gradient: Gradient", found, "gradient/value")
    tf_keras_vis.agrees("gradient: Saliency, its modifier off", found, "gradient/plain")
    xplique.agrees("|gradient|: Saliency(reducer=None)", np.abs(found), "gradients/saliency")


def test_gradient_times_input(captum, xplique):
    found = ours("gradient-times-input")
    captum.agrees("gradient-times-input: InputXGradient", found, "gradients/gradient_times_input")
    xplique.agrees("gradient-times-input: GradientInput", found, "gradients/gradient-times-input")


# integrated gradients


@pytest.mark.parametrize("rule", ["gauss-legendre", "midpoint", "left", "right"])
def test_integrated_gradients(captum, rule):
    found = ours("integrated-gradients", points=POINTS, rule=rule)
    captum.agrees(f"integrated-gradients, {rule}: IntegratedGradients", found, f"integrated_gradients/{rule}")


def test_the_trapezoid(captum, xplique):
    found = ours("integrated-gradients", points=POINTS, rule="trapezoid")
    xplique.agrees("integrated-gradients, trapezoid: IntegratedGradients", found, "gradients/ig")
    captum.agrees(
        "integrated-gradients, trapezoid · (n − 1)/n: riemann_trapezoid", found * (POINTS - 1) / POINTS,
        "integrated_gradients/trapezoid", note="its weights sum to (n − 1)/n, ours to 1",
    )  # fmt: skip


def test_integrated_gradients_of_others(pair, zennit):
    found = ours("integrated-gradients", points=POINTS, rule="right")
    zennit.agrees("integrated-gradients, right: IntegratedGradients", found, "integrated_gradients/value")
    x = samples()["conv"]
    ends = x * (ours("gradient") + ours("gradient", x=np.zeros_like(x))) / 2
    trapezoid = ours("integrated-gradients", points=POINTS, rule="trapezoid")
    pair.agrees(
        "((n − 1) · trapezoid + mean of both ends)/n: IntegratedGradients",
        ((POINTS - 1) * trapezoid + ends) / POINTS, "integrated_gradients/value",
        note="it averages a closed linspace, so both ends weigh double",
    )  # fmt: skip


# noise


@pytest.mark.parametrize("form", ["mean", "squared", "variance"])
def test_smoothgrad(captum, xplique, pair, form):
    found = ours("smoothgrad", draws=DRAWS, noise=0.15, form=form)
    xplique.agrees(f"smoothgrad, {form}: {_xplique(form)}", found, f"smoothgrad/{form}", 1e-3)
    biased = form == "variance"
    captum.agrees(
        f"smoothgrad, {form}{' · (n − 1)/n' if biased else ''}: NoiseTunnel",
        found * ((DRAWS - 1) / DRAWS if biased else 1), f"smoothgrad/{form}", 1e-3,
        "its variance is the biased one" if biased else "",
    )  # fmt: skip
    if not biased:
        pair.agrees(f"smoothgrad, {form}: GetSmoothedMask", found, f"gradient/{form}")


def _xplique(form):
    return {"mean": "SmoothGrad", "squared": "SquareGrad", "variance": "VarGrad"}[form]


def test_smoothgrad_of_others(zennit, tf_keras_vis):
    found, n = ours("smoothgrad", draws=DRAWS, noise=0.15), int(zennit["smoothgrad/n"])
    assert n == DRAWS + 1
    zennit.agrees(
        "(n · smoothgrad + gradient)/(n + 1): SmoothGrad", (DRAWS * found + ours("gradient")) / n, "smoothgrad/value",
        note="its last draw has no noise",
    )  # fmt: skip
    x = samples()["conv"]
    sizes = [np.abs(ours("gradient", x=x + noise)) for noise in given()["conv/smooth_noise"]]
    tf_keras_vis.agrees(
        "mean of |gradient|: Saliency(smooth_samples)", np.mean(sizes, 0), "gradient/smooth",
        note="it takes absolute values before the mean, ours keeps signs",
    )  # fmt: skip


def test_expected_gradients(captum, shap, tmp_path):
    np.save(tmp_path / "references.npy", peer_nets.references())
    settings = {"baselines": str(tmp_path / "references.npy"), "draws": DRAWS, "sampling": "plain"}
    found = ours("expected-gradients", **settings)
    captum.agrees("expected-gradients, plain: GradientShap", found, "expected_gradients/value")
    shap.agrees("expected-gradients, plain: GradientExplainer", found, "expected_gradients/value")


# paths


def test_guided_ig(pair):
    assert "interpolation" in str(pair["guided_ig/fails"])
    for steps in (20, 50):
        found = ours("guided-ig", steps=steps, fraction=0.25, slack=0.05)
        pair.agrees(
            f"guided-ig, {steps} moves: GuidedIG", found, f"guided_ig/steps{steps}", 1e-3,
            "as released it fails: numpy.quantile no longer takes `interpolation`, and is lent to it",
        )  # fmt: skip


def test_blur_ig(pair):
    found = ours("blur-ig", steps=400, sigma=0.2)
    pair.agrees(
        "blur-ig, 400 steps: BlurIG with edges reflected", found, "blur_ig/reflected", 0.03,
        "a left sum of slopes by difference; both come closer with more steps",
    )  # fmt: skip
    difference = np.abs(found - pair["blur_ig/zeros"]).max() / np.abs(pair["blur_ig/zeros"]).max()
    assert difference > 0.2
    pair.differs("blur-ig: BlurIG", "it pads with zeros, so blurring darkens the picture towards its edges")


def test_xrai_ranks_regions_alike(pair):
    from saliency_cli.methods.xrai import rank

    dense = given()["conv/ig"].sum(-1, dtype=np.float64)
    found = rank(dense, [np.flatnonzero(each) for each in given()["conv/regions"]], 1)
    pair.agrees("xrai, its ranking of regions: XRAI", found, "xrai/value", note="given our attributions and regions")


# hiding


def test_occlusion(captum, pair, xplique):
    found = ours("occlusion", window="4", stride="2")
    captum.agrees("occlusion, window 4, stride 2: Occlusion", found, "occlusion/whole")
    tiled = ours("occlusion", window="4", stride="4")
    xplique.agrees("occlusion, window 4, stride 4: Occlusion", tiled[..., 0], "occlusion/tiled")
    every = ours("occlusion", window="3", stride="1")
    along = np.minimum(np.minimum(np.arange(1, 9), np.arange(8, 0, -1)), 3)
    pair.agrees(
        "occlusion, window 3, stride 1, · windows at each place: Occlusion",
        every * np.multiply.outer(along, along)[..., None], "occlusion/value",
        note="it sums over windows, ours is their mean",
    )  # fmt: skip


def test_a_window_that_does_not_fit(captum):
    found, theirs = ours("occlusion", window="3", stride="2"), captum["occlusion/cut"]
    assert np.abs(found - theirs)[:4, :4].max() < 1e-5 * np.abs(theirs).max()
    assert np.abs(found - theirs)[6:].max() > 1e-3
    captum.differs(
        "occlusion, window 3, stride 2 over 8 places: Occlusion",
        "its last window is cut at the border, ours is moved back so that it is whole; elsewhere they agree",
    )


def test_feature_ablation(captum):
    found = ours("feature-ablation", features="grid", cells=2)
    captum.agrees("feature-ablation, 4 cells: FeatureAblation", found, "ablation_and_shapley/ablation")
    captum.agrees(
        "feature-ablation of columns: FeatureAblation",
        ours("feature-ablation", "mlp"),
        "ablation_and_shapley/columns",
    )


def test_kernel_shap(captum, shap):
    found = ours("kernel-shap", features="grid", cells=2)
    captum.agrees("kernel-shap, exact, 4 cells: ShapleyValues", found, "ablation_and_shapley/shapley")
    shap.agrees(
        "kernel-shap, all sets of 12 columns: KernelExplainer", ours("kernel-shap", "mlp", draws=4096),
        "kernel_shap/value",
    )  # fmt: skip


def test_lime(captum):
    found = ours("lime", **LIME)[::4, ::4, 0].ravel()
    captum.agrees("lime, 4 cells: LimeBase with ridge", found, "lime/weights", 1e-3, "given our draws and kernel")


def test_rise(xplique):
    found = ours("rise", draws=DRAWS, cells=4, form="coverage")[..., 0]
    xplique.agrees("rise, coverage: Rise", found, "rise/value", 1e-3, "given our masks; it adds 0.0001 to ΣM")


# of a layer


def enlarged(plane):
    """A layer's map on the input's places by TensorFlow's bilinear resizing: half-pixel centres."""
    from saliency_cli.autodiff.runtime import tf

    return tf.image.resize(np.float64(plane)[None, ..., None], (8, 8))[0, ..., 0].numpy()


def plane(method, **options):
    need(method)
    return ours(method, **options)[..., 0]


@pytest.mark.parametrize(
    "name", ["grad-cam", "grad-cam++", "xgrad-cam", "hirescam", "layercam", "elementwise-grad-cam"]
)
def test_cams(grad_cam, name):
    found = plane(name, layer="c2", relu=False)
    note = "it adds 10⁻⁶ to a denominator" if name == "grad-cam++" else ""
    grad_cam.agrees(f"{name}, relu=false: before scaling", found, enlarged(grad_cam[f"maps/{name}"]), 1e-3, note)


def test_grad_cam_of_others(captum, tf_keras_vis, xplique):
    captum.agrees(
        "grad-cam, relu=false: LayerGradCam",
        plane("grad-cam", layer="c2", relu=False),
        enlarged(captum["layers/grad-cam"]),
    )
    found = plane("grad-cam", layer="c2")
    for peer in (tf_keras_vis, xplique):
        peer.agrees("grad-cam: at the layer's resolution", found, enlarged(peer["cams/grad-cam"]), 1e-3)
    found = plane("layercam", layer="c2")
    tf_keras_vis.agrees("layercam: Layercam", found, enlarged(tf_keras_vis["cams/layercam"]), 1e-3, "unscaled")
    need("grad-cam++")
    a, g = np.float64(captum["layers/activation"]), np.float64(captum["layers/gradient"])
    raised = np.exp(peer_nets.attributed("gradient").record.target.value)
    below = 2 * raised * g**2 + raised * g**3 * a.sum((0, 1))
    alpha = raised * g**2 / below
    weights = (alpha / alpha.sum((0, 1)) * np.maximum(raised * g, 0)).sum((0, 1))
    assert np.allclose(tf_keras_vis["cams/grad-cam++"], np.maximum(a @ weights, 0), rtol=1e-3, atol=1e-5)
    tf_keras_vis.differs(
        "grad-cam++: GradcamPlusPlus", "its α are divided by their sum over places, and the factor exp(s) stays"
    )
    weights = (g**2 / (2 * g**2 + g**3 * a.mean((0, 1))) * np.maximum(g, 0)).mean((0, 1))
    assert np.allclose(xplique["cams/grad-cam++"], np.maximum(a @ weights, 0), rtol=1e-3, atol=1e-6)
    xplique.differs(
        "grad-cam++: GradCAMPP", "it has the mean of A where the paper has its sum, and means for sums of α"
    )


def test_guided_grad_cam(captum):
    need("guided-grad-cam")
    found = ours("guided-grad-cam", layer="c2")
    captum.agrees("guided-grad-cam: GuidedGradCam, bilinear", found, "layers/guided-grad-cam", 1e-3)


def test_score_cam(grad_cam):
    found = plane("score-cam", layer="c2", relu=False)
    grad_cam.agrees(
        "score-cam: before scaling", found, enlarged(grad_cam["maps/score-cam"]), 1e-3,
        "its masks enlarged as ours are; they align the corners",
    )  # fmt: skip


def test_ablation_cam(grad_cam):
    value = peer_nets.attributed("gradient").record.target.value
    assert value < 0
    grad_cam.agrees(
        "ablation-cam, relu=false: before scaling, · s", plane("ablation-cam", layer="c2", relu=False),
        enlarged(grad_cam["maps/ablation-cam"] * value), 1e-3,
        "its weights are divided by s, here negative, which turns the map round",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["eigen-cam", "eigen-grad-cam"])
def test_eigen_cams(captum, grad_cam, name):
    a = np.float64(captum["layers/activation"]) * (1 if name == "eigen-cam" else captum["layers/gradient"])
    flat = a.reshape(16, 8)

    def strongest(values):
        return (values @ np.linalg.svd(values, full_matrices=False)[2][0]).reshape(4, 4)

    own, centred = strongest(flat), strongest(flat - flat.mean(0))
    found, expected = plane(name, layer="c2", relu=False), enlarged(own)
    assert min(np.abs(found - sign * expected).max() for sign in (1, -1)) < 1e-4 * np.abs(expected).max()
    theirs = grad_cam[f"maps/{name}"]
    assert min(np.abs(theirs - sign * centred).max() for sign in (1, -1)) < 1e-3 * np.abs(centred).max()
    grad_cam.differs(f"{name}: its cam", "it takes every channel's mean off first, and leaves the sign open")


def test_fullgrad(captum):
    """The paper's formula by PyTorch's own gradients; no package has it as the paper does."""
    need("fullgrad")
    maps = [ours("gradient-times-input"), captum["biases/c1"], captum["biases/c2"]]

    def scaled(values):
        sizes = np.abs(np.float64(values))
        return ((sizes - sizes.min()) / (sizes - sizes.min()).max()).sum(-1)

    peer = type(captum)("torch", {"version": str(captum["biases/version"]).partition("+")[0]})
    peer.agrees(
        "fullgrad: the paper's equation 8", plane("fullgrad"), sum(enlarged(scaled(each)) for each in maps), 1e-3
    )
    signed = ours("fullgrad", form="signed").sum(-1)
    expected = maps[0].sum(-1) + sum(enlarged(v.sum(-1)) * np.prod(v.shape[:2]) / 64 for v in maps[1:])
    peer.agrees("fullgrad, signed: the same sum", signed, expected, 1e-3)


def test_what_a_layer_gives_out(captum):
    found = plane("layer-activation", layer="c2")
    captum.agrees("layer-activation: LayerActivation", found, enlarged(captum["layers/activation"].sum(-1)))
    found = plane("layer-gradient-times-activation", layer="c2")
    theirs = enlarged(captum["layers/gradient-x-activation"].sum(-1))
    captum.agrees("layer-gradient-times-activation: LayerGradientXActivation", found, theirs, 1e-3)
    found = plane("layer-integrated-gradients", layer="c1", points=POINTS)
    theirs = enlarged(captum["layers/layer-ig"].sum(-1))
    captum.agrees("layer-integrated-gradients: LayerIntegratedGradients", found, theirs, 1e-3)


def test_conductance(captum):
    found = plane("conductance", layer="c1", points=1000)
    captum.agrees(
        "conductance, 1000 steps: LayerConductance", found, enlarged(captum["layers/conductance"].sum(-1)), 0.01,
        "theirs has the gradient at one end of each step; both come closer with more steps",
    )  # fmt: skip
    found = plane("internal-influence", layer="c1", points=POINTS)
    captum.agrees(
        "internal-influence: InternalInfluence, trapezoid · (n + 1)/n", found,
        enlarged(captum["layers/internal-influence"].sum(-1)) * (POINTS + 1) / POINTS, 1e-3,
        "its weights sum to n/(n + 1)",
    )  # fmt: skip


def test_a_neuron(captum):
    need("neuron-gradient", "neuron-integrated-gradients")
    unit = {"layer": "c2", "neuron": ",".join(map(str, NEURON))}
    captum.agrees("neuron-gradient: NeuronGradient", ours("neuron-gradient", **unit), "neurons/gradient")
    found = ours("neuron-integrated-gradients", **unit, of=f"integrated-gradients:points={POINTS}")
    captum.agrees("neuron-integrated-gradients: NeuronIntegratedGradients", found, "neurons/ig", 1e-3)


# with rules of their own for the way back


@pytest.mark.parametrize("name", ["guided-backprop", "deconvnet"])
def test_guided(captum, xplique, name):
    need(name)
    for peer in (captum, xplique):
        peer.agrees(name, ours(name), f"backwards/{name}")


def test_deeplift(captum):
    need("deeplift")
    captum.agrees("deeplift: DeepLift", ours("deeplift"), "backwards/deeplift", 1e-3)


def test_deep_shap(captum, shap, tmp_path):
    need("deep-shap")
    np.save(tmp_path / "references.npy", peer_nets.references())
    found = ours("deep-shap", baselines=str(tmp_path / "references.npy"))
    captum.agrees("deep-shap: DeepLiftShap", found, "backwards/deep-shap", 1e-3)
    shap.agrees("deep-shap: DeepExplainer", found, "deep/value", 1e-3)


LRP = {
    "lrp-epsilon": {"epsilon": EPSILON},
    "lrp-gamma": {},
    "lrp-zplus": {},
    "lrp-alpha-beta": {},
    "lrp-epsilon-plus": {"epsilon": EPSILON},
    "lrp-epsilon-plus-flat": {"epsilon": EPSILON},
    "lrp-epsilon-alpha2-beta1": {"epsilon": EPSILON},
    "lrp-zbox": {"epsilon": EPSILON},
    "deep-taylor": {},
    "excitation-backprop": {},
}


@pytest.mark.parametrize("name", LRP)
def test_relevance(zennit, name, tmp_path):
    need(name)
    np.save(tmp_path / "high.npy", np.ones((8, 8, 3), np.float32))
    boxed = {"high": str(tmp_path / "high.npy")} if name in ("lrp-zbox", "deep-taylor") else {}
    note = "its ε is given our share of each layer's root mean square" if "epsilon" in LRP[name] else ""
    zennit.agrees(name, ours(name, **LRP[name], **boxed), f"lrp/{name}", 1e-3, note)


def test_w_square(zennit):
    need("lrp-epsilon")
    zennit.agrees(
        "lrp-epsilon, first=wsquare", ours("lrp-epsilon", first="wsquare", epsilon=EPSILON), "lrp/wsquare", 1e-3
    )

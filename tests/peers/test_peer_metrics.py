"""Our metrics beside the peers', on the same weights, maps and perturbed copies."""

import numpy as np
import peer_nets
import pytest
from peer_nets import POINTS, TARGET, attributed, given, measured, ours, samples

INFIDELITY = "noise=0.1,draws=30"
IG = {"points": POINTS}


def value(x, name="conv", space=None):
    """The target's value at an array."""
    return attributed("gradient", name, x=x, space=space).record.target.value


def logits(name):
    return [attributed("gradient", name, target=c).record.target.value for c in range(4)]


@pytest.mark.parametrize(
    "peer",
    ["art", "captum", "foolbox", "grad-cam", "pair", "quantus", "shap", "tf-keras-vis", "xplique", "zennit"],
)
def test_the_twins_are_the_same_networks(ask, peer):
    found = ask(peer)
    for name in ("conv", "mlp"):
        assert np.abs(found[f"twin/{name}"] - logits(name)).max() < 1e-5


# of a map alone


def test_gini(quantus, xplique):
    quantus.agrees("gini: Sparseness", measured("gini"), "planes/gini")
    xplique.agrees("gini: Sparseness", measured("gini"), "complexity/gini")


def test_entropy_is_theirs_over_ln_d(quantus, xplique):
    nats = measured("entropy") * np.log(64)
    quantus.agrees("entropy · ln d: Complexity", nats, "planes/entropy", note="theirs is in nats")
    xplique.agrees("entropy · ln d: Complexity", nats, "complexity/entropy", note="theirs is in nats")


def test_shares_in_a_mask(quantus):
    mask = peer_nets.mask()
    quantus.agrees("mass-in-mask: RelevanceMassAccuracy", measured("mass-in-mask", mask=mask), "planes/mass")
    quantus.agrees("rank-in-mask: RelevanceRankAccuracy", measured("rank-in-mask", mask=mask), "planes/rank")


def test_pointing(quantus):
    found = [measured("pointing:tolerance=0", mask=mask) for mask in (peer_nets.mask(), ~peer_nets.mask())]
    quantus.agrees("pointing:tolerance=0: PointingGame", found, "planes/pointing")
    from saliency_cli.subject import evaluate

    subject = peer_nets.subject_of(given()["conv/tied"], mask=peer_nets.mask())
    tied = evaluate(peer_nets.metric("pointing", tolerance=0), subject, None).value
    assert tied == pytest.approx(2 / 3)
    assert bool(quantus["planes/pointing_tied"])
    quantus.differs(
        "pointing where places tie: PointingGame",
        "three places are highest and two of them on the object: ours is the share, 2/3; theirs is 1 if any is",
    )


def test_topk_intersection(quantus):
    """Quantus has it of a map and a mask: here the mask is the other map's highest places."""
    found = measured("topk-intersection:k=0.25", reference=attributed("gradient-times-input"))
    quantus.agrees(
        "topk-intersection: TopKIntersection",
        found,
        "planes/topk",
        note="theirs is given the other map's top as mask",
    )


# of two maps, by what this environment has


def _two_maps(side=16):
    random = np.random.default_rng(5)
    return random.gamma(1, size=(side, side)), random.gamma(1, size=(side, side))


def test_ssim(here):
    from skimage.metrics import structural_similarity

    from saliency_cli.arrays import clip_limit

    peer, (a, b) = here("scikit-image"), _two_maps()
    b = 0.5 * a + b
    x, y = (np.clip(v / clip_limit(v, 99), 0, 1) for v in (a, b))
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    peer.agrees(
        "ssim: structural_similarity", peer_nets.compared("ssim", a, b), structural_similarity(x, y, **settings),
        note="of maps scaled as ours are; Gaussian window, population moments",
    )  # fmt: skip


def test_correlations(here):
    from scipy import stats

    peer, (a, b) = here("scipy"), _two_maps()
    b = 0.5 * a + b
    a[3], b[:, 2] = 0.25, 0.5
    peer.agrees("pearson: pearsonr", peer_nets.compared("pearson", a, b), stats.pearsonr(a.ravel(), b.ravel())[0])
    peer.agrees(
        "spearman, with ties: spearmanr",
        peer_nets.compared("spearman", a, b),
        stats.spearmanr(a.ravel(), b.ravel())[0],
    )


def test_cosine(here):
    from scipy.spatial.distance import cosine

    peer, (a, b) = here("scipy"), (ours("gradient"), ours("gradient-times-input"))
    found = measured("cosine", reference=attributed("gradient-times-input"))
    peer.agrees("cosine: 1 − distance.cosine", found, 1 - cosine(np.float64(a.ravel()), np.float64(b.ravel())))


def test_emd_marginal(here):
    from scipy.stats import wasserstein_distance

    peer, (a, b) = here("scipy"), _two_maps()
    places = np.arange(16) / 16
    sums = [(a.sum(axis), b.sum(axis)) for axis in (1, 0)]
    theirs = np.mean([wasserstein_distance(places, places, u, v) for u, v in sums])
    peer.agrees("emd-marginal: mean of two wasserstein_distance", peer_nets.compared("emd-marginal", a, b), theirs)


# near the sample


def test_max_sensitivity(quantus, captum):
    found = measured("max-sensitivity:radius=0.02,draws=10")
    quantus.agrees("max-sensitivity: MaxSensitivity", found, "stability/max_sensitivity", 1e-3)
    captum.agrees("max-sensitivity: sensitivity_max", found, "metrics/max_sensitivity", 1e-3)


def test_local_lipschitz(quantus):
    found = measured("local-lipschitz:radius=0.02,draws=10,unit-length=false")
    quantus.agrees(
        "local-lipschitz:unit-length=false: LocalLipschitzEstimate", found, "stability/local_lipschitz", 1e-3
    )


def test_infidelity(quantus, captum):
    found = measured(f"infidelity:{INFIDELITY}")
    note = "theirs is given our noise in place of its patches"
    quantus.agrees("infidelity: Infidelity", found, "infidelity/replayed", note=note)
    captum.agrees("infidelity: infidelity", found, "metrics/infidelity")


def test_the_infidelity_that_quantus_computes_by_itself(quantus):
    """Its patches are blackened one after the other, and none is given back."""
    x, a, errors = samples()["conv"], np.float64(ours("gradient")), []
    hidden = x.copy()
    for row, column in ((0, 0), (0, 4), (4, 0), (4, 4)):
        hidden[row : row + 4, column : column + 4] = 0
        errors.append((a * (x - hidden)).sum() - (value(x) - value(hidden)))
    assert quantus["infidelity/own"] == pytest.approx(np.mean(np.square(errors)), rel=1e-4)
    quantus.differs(
        "infidelity: Infidelity with its own patches",
        "squares are blackened one after the other and stay black, so only the first is a patch; nothing is drawn",
    )


def test_unexplained_fraction(captum):
    found = measured(f"unexplained-fraction:{INFIDELITY}")
    theirs = float(captum["metrics/scaled"]) / float(captum["metrics/changes"])
    captum.agrees(
        "unexplained-fraction: infidelity(normalize=True)", found, theirs, note="theirs over the mean squared change"
    )


# what the target does


def test_completeness_gap(captum, quantus):
    x = samples()["conv"]
    change = value(x) - value(np.zeros_like(x))
    for rule in ("gauss-legendre", "midpoint", "left", "right"):
        found = measured("completeness-gap", "integrated-gradients", options=IG | {"rule": rule})
        theirs = abs(float(captum[f"integrated_gradients/delta-{rule}"]) / change)
        captum.agrees(f"completeness-gap of {rule}: convergence delta", found, theirs, 1e-3, "over the change of s")
    assert abs(given()["conv/complete"].sum(dtype=np.float64) - change) < 1e-6 * abs(change)
    assert not quantus["completeness/verdict"]
    quantus.differs(
        "completeness-gap: Completeness", "False for a gap of 10⁻⁶ too: it asks for equal floating-point numbers"
    )


def test_pixel_flipping(quantus):
    found = measured("pixel-flipping:share=1,steps=12,baseline=black", "gradient", "mlp")
    falls = value(samples()["mlp"], "mlp", "probability") - np.append(
        value(samples()["mlp"], "mlp", "probability"), quantus["pixel_flipping/curve"]
    )
    quantus.agrees(
        "pixel-flipping: PixelFlipping", found, falls.mean(), note="the mean fall over its curve, k = 0 included"
    )


def test_mufidelity(quantus):
    found = measured("mufidelity:share=0.2,draws=40,grid=0", "integrated-gradients", "mlp", options=IG)
    quantus.agrees("mufidelity: FaithfulnessCorrelation", found, "faithfulness_correlation/value", 1e-3)


def test_xpliques_mufidelity_is_spearmans_of_the_same_pairs(xplique):
    from scipy.stats import pearsonr, spearmanr

    x, phi = samples()["conv"], np.float64(ours("integrated-gradients", **IG)).sum(-1)
    whole, sums, falls = value(x, space="probability"), [], []
    for subset in given()["conv/cells"]:
        here = subset.reshape(8, 8)
        sums.append(phi[here].sum())
        falls.append(whole - value(np.where(here[..., None], np.float32(0), x), space="probability"))
    found = measured("mufidelity:share=0.2,draws=40,grid=8", "integrated-gradients", options=IG)
    assert found == pytest.approx(pearsonr(sums, falls)[0], rel=1e-4)
    xplique.agrees(
        "mufidelity: MuFidelity", spearmanr(sums, falls)[0], "mufidelity/value", 1e-3,
        "theirs is Spearman's correlation of our pairs, and ours Pearson's of them",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["deletion", "insertion"])
def test_curves(xplique, name):
    xplique.agrees(f"{name}:steps=16: {name.title()}", measured(f"{name}:steps=16"), f"curves/{name}16")
    shares, curve = xplique[f"curves/{name}-counts"] / 64, xplique[f"curves/{name}-curve"]
    trapezoids = (curve[1:] + curve[:-1]) / 2
    assert measured(f"{name}:steps=10") == pytest.approx((trapezoids * np.diff(shares)).sum(), rel=1e-4)
    assert xplique[f"curves/{name}10"] == pytest.approx(trapezoids.mean(), rel=1e-4)
    xplique.differs(
        f"{name}:steps=10 of 64 places: {name.title()}",
        "steps of 6 and 7 places weigh the same in theirs; ours weighs each by its width",
    )


def test_signs_in_a_deletion(xplique):
    found = measured("deletion:steps=16", "integrated-gradients", options=IG)
    assert abs(found - xplique["curves/deletion-signed"]) > 0.01
    xplique.differs("deletion of a signed map: Deletion", "ours ranks by |φ|, theirs by φ")


def test_attacks(captum):
    grid, flips = given()["fgsm_grid"], captum["attacks/fgsm"].astype(bool)
    found = measured("fgsm-flip-eps:largest=1,halvings=8", valid_range=(0, 1))
    assert 0 < np.argmax(flips) < len(grid) - 1, "a flip in the middle of the grid tells more"
    captum.agrees("fgsm-flip-eps: FGSM at every ε of the grid", found, grid[np.argmax(flips)])
    rates = [measured(f"pgd-flip-rate:epsilon={radius},steps=10", valid_range=(0, 1)) for radius in peer_nets.RADII]
    assert len(set(rates)) == 2, "some of the radii flip it and some don't"
    captum.agrees("pgd-flip-rate at four ε: PGD after every step, from our start", rates, "attacks/pgd")


# sanity


def test_random_logit(quantus):
    quantus.agrees(
        "random-logit: RandomLogit", measured("random-logit"), "random_logit/value", 1e-3,
        "theirs is given our class, and Pearson for its ssim",
    )  # fmt: skip


def test_model_randomisation(quantus):
    found = [measured(f"model-randomisation:depth={depth}") for depth in (1, 2, 3)]
    quantus.agrees(
        "model-randomisation, depths 1 to 3: MPRT", found, "model_randomisation/scores", 1e-3,
        "theirs is given our weights, and Pearson for its Spearman",
    )  # fmt: skip
    assert measured("cascading-randomisation:steps=3") == pytest.approx(np.mean(found), rel=1e-4)
    assert quantus["model_randomisation/mean"] == pytest.approx(np.mean([1, *found]), rel=1e-3)
    quantus.differs(
        "cascading-randomisation: MPRT(return_average_correlation=True)",
        "theirs averages the untouched model's 1.0 in with the depths",
    )


def test_xpliques_randomisation_of_a_short_network(xplique):
    assert xplique["randomisation/default"] == pytest.approx(1, abs=1e-6)
    assert xplique["randomisation/one"] < 0.9
    xplique.differs(
        "model-randomisation: ModelRandomizationMetric",
        "its default, a quarter of three layers, redraws none and reports 1; its weights are from U[0, 1)",
    )


def test_the_target_is_not_the_top_class():
    """Else a mistaken target might go unseen."""
    assert int(np.argmax(logits("conv"))) != TARGET

"""Our attacks beside Foolbox's and ART's: the same network, samples and radii, in the model's units."""

import numpy as np
import pytest
from peer_nets import attacked, keras_nets, perturbed

RADII, RADII2 = attacked()["attack/radii"], attacked()["attack/radii2"]


def tops(x):
    return keras_nets()["conv"].predict(x, verbose=0).argmax(axis=1)


def flips(x, target=None):
    """Which samples have another class on top than at first, or the target's."""
    return tops(x) == target if target is not None else tops(x) != attacked()["attack/y"]


def loss(x):
    """−log p of the class that was on top at first."""
    return -np.log(keras_nets()["conv"].predict(x, verbose=0)[np.arange(len(x)), attacked()["attack/y"]])


@pytest.mark.parametrize("peer", ["foolbox", "art"])
def test_one_step_is_the_same_step(ask, peer):
    theirs = ask(peer)
    for case, norm, radii in (("fgsm", "inf", RADII), ("fgm", "2", RADII2)):
        ours = np.stack([perturbed("fgsm", norm, radius) for radius in radii])
        theirs.agrees(f"fgsm at three ε, ℓ{'∞' if norm == 'inf' else '2'}", ours, f"{case}/x", 2e-6)


@pytest.mark.parametrize("peer", ["foolbox", "art"])
def test_iterated_steps_lead_to_the_same_point_where_ours_does_not_end_before(ask, peer):
    theirs = ask(peer)
    for k, radius in enumerate(RADII):
        ours, other = perturbed("iterative", "inf", radius), theirs["iterative/x"][k]
        whole = ~flips(ours)
        assert np.array_equal(flips(ours), flips(other)), radius
        same = np.abs(ours - other).max(axis=(1, 2, 3)) < 2e-6
        assert np.all(same | ~whole | (loss(ours) > loss(other))), "ours keeps the best point of the way"
        if whole.any():
            assert same[whole].mean() > 0.5
            both = whole & same
            what = f"iterative, ε = {radius:g}, where it doesn't flip"
            note = f"{both.sum()} of {whole.sum()}; elsewhere ours keeps an earlier point, of a higher loss"
            theirs.agrees(what, ours[both], other[both], 2e-6, note=note)
    rates = [flips(perturbed("iterative", "inf", radius)).mean() for radius in RADII]
    theirs.agrees("iterative: flips at three ε", rates, [flips(each).mean() for each in theirs["iterative/x"]], 1e-9)


@pytest.mark.parametrize("peer", ["foolbox", "art"])
def test_searches_from_random_points_flip_as_many(ask, peer):
    """Each draws its own starts: of 24 samples at most one may differ."""
    theirs = ask(peer)
    for case, norm, radii in (("x", "inf", RADII), ("x2", "2", RADII2)):
        for k, radius in enumerate(radii):
            ours, other = flips(perturbed("pgd", norm, radius)), flips(theirs[f"pgd/{case}"][k])
            assert abs(int(ours.sum()) - int(other.sum())) <= 1, (norm, radius)
    rates = [flips(perturbed("pgd", "inf", radius)).mean() for radius in RADII]
    found = [flips(each).mean() for each in theirs["pgd/x"]]
    theirs.agrees("pgd, ℓ∞: flips at three ε", rates, found, 0.06, note="each with starts of its own; 24 samples")


def test_a_target_is_reached_by_as_many(foolbox):
    target = attacked()["attack/target"]
    rates, found = [], []
    for k, radius in enumerate(RADII):
        ours = perturbed("pgd", "inf", radius, targets=target, start="sample")
        rates.append(flips(ours, target).mean())
        found.append(flips(foolbox["targeted/x"][k], target).mean())
    foolbox.agrees("pgd to a target, from the sample: flips at three ε", rates, found, 0.06)


def lengths(x, norm):
    change = (x - attacked()["attack/x"]).reshape(len(x), -1).astype(np.float64)
    return np.abs(change).max(axis=1) if norm == "inf" else np.linalg.norm(change, axis=1)


def test_deepfool_is_as_near(foolbox, art):
    for norm in ("2", "inf"):
        ours = perturbed("deepfool", norm, None, rivals=3)
        assert flips(ours).all()
        mine, theirs = lengths(ours, norm), lengths(foolbox[f"deepfool/{norm}"], norm)
        assert np.median(mine / theirs) == pytest.approx(1, abs=0.02), norm
        assert (mine / theirs).max() < 1.1, norm
        foolbox.agrees(
            f"deepfool, ℓ{'∞' if norm == 'inf' else '2'}: median length",
            np.median(mine),
            np.median(theirs),
            0.02,
            note="ours leaves out values at the end of their range",
        )
    mine, theirs = lengths(perturbed("deepfool", "2", None, rivals=3), "2"), lengths(art["deepfool/2"], "2")
    assert np.median(mine / theirs) < 1.02


def test_a_saturated_softmax_stops_theirs(foolbox):
    """Logits a hundred times as large have the same classes everywhere, and so the same flips."""
    radius = RADII[-1]
    ours, other = flips(perturbed("fgsm", "inf", radius)), flips(foolbox["saturated/x"])
    assert ours.sum() > other.sum()
    foolbox.differs(
        "fgsm, logits × 100: LinfFastGradientAttack",
        f"flips {int(other.sum())} of 24 where ours flips {int(ours.sum())}, as many as with the logits as they "
        "are: its gradient is of the softmax's cross-entropy, which float32 rounds away",
    )

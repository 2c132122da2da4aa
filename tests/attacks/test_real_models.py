"""Attacks on the sample models through the whole of a run, in one process."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.studying import run_study
from saliency_cli.studies.perturb import Perturb

ROOT = Path(__file__).parents[2]
MODELS, PICTURES = ROOT / "sample_models", ROOT / "sample_images"


class Silent:
    """A listener that keeps the records."""

    def __init__(self):
        self.records = []

    def item(self, record):
        self.records.append(record)

    def __getattr__(self, name):
        return lambda *_: None


def perturbed(model, *inputs, out, options, **fields):
    heard = Silent()
    request = ComputeRequest(str(MODELS / model), tuple(map(str, inputs)), out=str(out), **fields)
    run_study(request, Perturb(**options), heard, open_engine=open_engine)
    return heard.records


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """The records of every attack on four pictures of shapes, and where their files are."""
    inputs = [PICTURES / f"shapes_{name}.png" for name in ("circle", "square", "star", "triangle")]
    found = {}
    for attack, norm, epsilon in [
        ("fgsm", "inf", 100),
        ("iterative", "inf", 24),
        ("pgd", "inf", 24),
        ("pgd", "2", 2000),
        ("deepfool", "2", None),
    ]:
        out = tmp_path_factory.mktemp(attack) / "out"
        options = {"attack": attack, "norm": norm, "epsilon": epsilon}
        found[attack, norm] = perturbed("shapes.keras", *inputs, out=out, options=options, batch_size=4), out
    return found


def test_every_attack_flips_pictures_of_a_trained_model_and_what_is_written_still_flips(shapes):
    for (attack, norm), (records, out) in shapes.items():
        flipped = [record for record in records if record.results["outcome"] == "flipped"]
        assert len(flipped) == (4 if attack != "fgsm" else len(flipped)) >= 1, (attack, norm)
        for record in flipped:
            assert record.results["flips_when_read_back"] is True
            before, after = (
                np.asarray(Image.open(out / record.files[kind]), np.float64) for kind in ("before", "after")
            )
            change = np.abs(after - before)
            size = change.max() if norm == "inf" else np.linalg.norm(change)
            assert 0 < size <= (record.results["epsilon"] or np.inf)


def test_the_written_files_are_read_as_the_class_they_are_said_to_be(shapes, tmp_path):
    """Another run of another command's kind reads the files: nothing of the first is left."""
    files, told = [], []
    for records, out in shapes.values():
        for record in records:
            if "after" in record.files:
                files.append(out / record.files["after"])
                told.append(record.results["after"]["index"])
    # A target that is reached already is not attacked: what the model says of it is in the record.
    records = perturbed("shapes.keras", *files, out=tmp_path / "out", options={"attack": "fgsm"}, batch_size=4)
    assert [record.prediction.index for record in records] == told


def test_pgd_costs_twenty_gradients(tmp_path):
    options = {"attack": "pgd", "epsilon": 1}
    (record,) = perturbed("shapes.keras", PICTURES / "shapes_star.png", out=tmp_path / "out", options=options)
    assert (record.results["gradients"], record.results["passes"]) == (20, 1)


def test_a_saturated_model_is_flipped_along_its_logits(tmp_path):
    """Its probability has no gradient at all there; by its logits the boundary is close."""
    np.save(tmp_path / "x.npy", np.float32([1, 0.2, 0.1, 0]))
    options = {"attack": "fgsm", "epsilon": 1.0, "valid_range": (-9.0, 9.0), "smallest": True}
    (record,) = perturbed("saturated.keras", tmp_path / "x.npy", out=tmp_path / "out", options=options)
    assert record.results["outcome"] == "flipped"
    assert record.results["before"]["score"] == 1.0


def test_deepfool_on_one_sigmoid_unit_is_the_projection(tmp_path):
    """p = σ(x1 − 2 x2 + x3/2 + ¼)."""
    w, x = np.array([1, -2, 0.5]), np.float32([2, 0.25, 1])
    np.save(tmp_path / "x.npy", x)
    for norm, size in (("2", np.linalg.norm(w)), ("inf", np.abs(w).sum())):
        options = {"attack": "deepfool", "norm": norm, "valid_range": (-9.0, 9.0), "settings": {"overshoot": 1e-4}}
        (record,) = perturbed("binary.keras", tmp_path / "x.npy", out=tmp_path / norm, options=options)
        assert record.results["outcome"] == "flipped"
        assert record.results["l2" if norm == "2" else "linf"] == pytest.approx((w @ x + 0.25) / size, rel=1e-3)


def test_one_of_two_inputs_and_one_of_two_outputs(tmp_path):
    numbers = np.float32([1, 0.5, 0.5, 0])
    picture = np.random.default_rng(0).uniform(0, 255, (16, 16, 1)).astype(np.float32)
    np.savez(tmp_path / "x.npz", picture=picture, numbers=numbers)
    fields = {"output_name": "digit", "out": tmp_path / "out"}
    options = {"epsilon": 60, "valid_range": (0.0, 255.0), "only": ("picture",)}
    (record,) = perturbed("two_inputs_two_outputs.keras", tmp_path / "x.npz", options=options, **fields)
    assert record.results["outcome"] == "flipped"
    moved = np.load(tmp_path / "out" / record.files["array"])
    assert moved.shape == picture.shape
    assert 0 < np.abs(np.float64(moved) - picture).max() <= 60


def test_a_regression_is_refused_with_its_reason(tmp_path):
    from saliency_cli.errors import UsageError

    np.save(tmp_path / "x.npy", np.ones(3, np.float32))
    with pytest.raises(UsageError, match="is one value: there is no class on top") as told:
        perturbed("linear.keras", tmp_path / "x.npy", out=tmp_path / "out", options={"valid_range": (0.0, 1.0)})
    assert told.value.reason == "no-classes"

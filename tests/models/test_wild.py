"""Models that others saved and published. They are not part of the repository: skipped where they are not at hand."""

from pathlib import Path

import numpy as np
import pytest

import saliency_cli as sal
from saliency_cli.cli import entry
from saliency_cli.errors import ModelError

WILD = Path(__file__).resolve().parents[2].parent / "shared" / "wild"
pytestmark = pytest.mark.skipif(not WILD.is_dir(), reason="the collection of published models is not at hand")


def test_a_sign_language_classifier_of_keras_3():
    model = sal.load(str(WILD / "signmnist_keras3" / "best_model.keras"))
    x = np.random.default_rng(0).random((28, 28, 1), np.float32)
    found = model.attribute(x)
    assert found.values.shape == (28, 28, 1)
    assert np.isfinite(found.values).all()
    assert np.any(found.values)
    assert found.flags == ()
    assert found.record.target.space == "logit"


OLD = [
    "fer2013_mini_xception",
    "mlperf_resnet8_cifar10",
    "teachable_machine_h5",
    "gpucom_model1",
    "nlf_classifier_keras",
]


@pytest.mark.parametrize("name", OLD)
def test_old_files_open_and_can_be_differentiated(name):
    (path,) = [path for path in (WILD / name).iterdir() if path.suffix in (".h5", ".hdf5", ".keras")]
    model = sal.load(str(path))
    (spec,) = model._model.inputs
    x = np.random.default_rng(0).random([size or 32 for size in spec.shape], np.float32)
    assert np.isfinite(model.attribute(x).values).all()


def test_a_lambda_in_an_old_file_is_refused_by_name(capsys, tmp_path):
    picture = tmp_path / "x.npy"
    np.save(picture, np.zeros(3, np.float32))
    assert entry.run(["compute", str(WILD / "pilotnet_lambda" / "model.h5"), str(picture)]) == 4
    told = capsys.readouterr().err
    assert "lambda_1" in told
    assert "--replace" in told


def test_a_model_with_a_layer_of_its_own_is_refused_by_name():
    with pytest.raises(ModelError, match="SelfAttention") as caught:
        sal.load(str(WILD / "turbofan_rul_keras3" / "best_model.keras"))
    assert caught.value.reason == "custom-class"
    assert "--custom-objects" in caught.value.hint

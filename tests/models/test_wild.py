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


OLD = ["fer2013_mini_xception", "mlperf_resnet8_cifar10", "teachable_machine_h5", "gpucom_model1", "pilotnet_lambda"]


@pytest.mark.parametrize("name", OLD)
def test_old_hdf5_files_are_refused(name, capsys, tmp_path):
    (path,) = [path for path in (WILD / name).iterdir() if path.suffix in (".h5", ".hdf5")]
    with pytest.raises(ModelError) as caught:
        sal.load(str(path))
    assert caught.value.reason == "older-keras"
    picture = tmp_path / "x.npy"
    np.save(picture, np.zeros(3, np.float32))
    assert entry.run(["compute", str(path), str(picture)]) == 4
    assert "was written by" in capsys.readouterr().err


def test_an_old_keras_zip_is_refused():
    with pytest.raises(ModelError, match=r"2\.15") as caught:
        sal.load(str(WILD / "nlf_classifier_keras" / "model.keras"))
    assert caught.value.reason == "older-keras"


def test_a_model_with_a_layer_of_its_own_is_refused_by_name():
    with pytest.raises(ModelError, match="SelfAttention") as caught:
        sal.load(str(WILD / "turbofan_rul_keras3" / "best_model.keras"))
    assert caught.value.reason == "custom-class"
    assert "--custom-objects" in caught.value.hint

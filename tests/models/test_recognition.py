"""What a model file is, told by its content: every wrong file gets a message of its own."""

import json
import os
import subprocess
import sys

import pytest
from saved_models import foreign_files, with_metadata, write_hdf5, write_zip

from saliency_cli.errors import ModelError
from saliency_cli.models.recognition import recognise

FOREIGN = foreign_files()


def refused(path):
    with pytest.raises(ModelError) as caught:
        recognise(path)
    assert caught.value.exit_code == 4
    assert str(path) in caught.value.message
    return caught.value


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_model(name, tmp_path):
    content, message, hint, reason = FOREIGN[name]
    path = tmp_path / name
    path.write_bytes(content)
    error = refused(path)
    assert message in error.message
    assert hint in error.hint
    assert error.reason == reason


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"x")
    error = refused(tmp_path / "modle.keras")
    assert "there is no file" in error.message
    assert error.hint == "did you mean 'model.keras'?"
    assert error.reason == "missing-model"
    assert refused(tmp_path / "nowhere" / "model.keras").hint.startswith("give a .keras or HDF5 file")


def test_a_link_to_nothing_and_a_name_too_long(tmp_path):
    (tmp_path / "link.keras").symlink_to(tmp_path / "gone.keras")
    assert refused(tmp_path / "link.keras").reason == "missing-model"
    assert refused(tmp_path / ("n" * 300 + ".keras")).reason == "unreadable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK")
    path.chmod(0)
    assert refused(path).reason == "unreadable"


def test_a_directory(tmp_path):
    error = refused(tmp_path)
    assert "is a directory" in error.message
    assert error.reason == "not-a-model"


def test_archives_of_other_programs(tmp_path):
    torch = write_zip(tmp_path / "net.pt", archive__data_dot_pkl="x", archive__version="3")
    error = refused(torch)
    assert "PyTorch" in error.message
    assert error.reason == "not-a-model"
    other = refused(write_zip(tmp_path / "book.xlsx", xl__workbook_dot_xml="x"))
    assert "another program's" in other.message
    assert "config.json, metadata.json and model.weights.h5" in other.hint


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["tiny.keras", "tiny.h5"])
def test_a_file_cut_short(saved, tmp_path, name, share):
    whole = (saved / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: int(share * len(whole))])
    error = refused(path)
    assert "broken or truncated" in error.message
    assert error.hint == "was it copied or downloaded whole?"
    assert error.reason == "truncated"


@pytest.mark.parametrize(
    ("metadata", "config"), [("{", "{}"), ("[]", "{}"), ('{"keras_version": "3.9.0"}', "[1]"), ("\xff", "{}")]
)
def test_an_archive_whose_json_is_none(tmp_path, metadata, config):
    path = write_zip(tmp_path / "m.keras", metadata_dot_json=metadata, config_dot_json=config)
    assert refused(path).reason == "truncated"


def test_a_damaged_member(saved, tmp_path):
    whole = bytearray((saved / "tiny.keras").read_bytes())
    at = whole.index(b'"keras_version"')
    whole[at : at + 4] = b"XXXX"
    path = tmp_path / "damaged.keras"
    path.write_bytes(whole)
    assert refused(path).reason == "truncated"


@pytest.mark.parametrize("version", ["2.15.0", "2.2.4-tf", "", "1.2.1"])
def test_a_keras_zip_of_an_older_version_is_told_apart(saved, tmp_path, version):
    found = recognise(with_metadata(saved / "tiny.keras", tmp_path / "old.keras", keras_version=version))
    assert found.format == "legacy-zip"
    assert version in found.writer


def test_a_keras_zip_of_a_version_to_come(saved, tmp_path):
    error = refused(with_metadata(saved / "tiny.keras", tmp_path / "new.keras", keras_version="4.0.0"))
    assert "Keras 4.0.0" in error.message
    assert "newer" in error.message
    assert error.reason == "newer-keras"


@pytest.mark.parametrize("version", ["2.4.0", b"2.2.4", ""])
def test_an_hdf5_file_of_an_older_keras_is_told_apart(tmp_path, version):
    attributes = {"model_config": json.dumps({"class_name": "Sequential", "config": []})}
    if version:
        attributes["keras_version"] = version
    assert recognise(write_hdf5(tmp_path / "old.h5", **attributes)).format == "legacy-hdf5"


def test_an_hdf5_file_of_weights_only(saved, tmp_path):
    for path in (saved / "tiny.weights.h5", write_hdf5(tmp_path / "weights.h5", keras_version="3.1.0")):
        error = refused(path)
        assert "holds weights only" in error.message
        assert "model.save('model.keras')" in error.hint
        assert error.reason == "weights-only"


@pytest.mark.parametrize(("name", "expected"), [("tiny.keras", "keras-zip"), ("tiny.h5", "keras-hdf5")])
@pytest.mark.parametrize("suffix", ["", ".bin", ".h5", ".keras", ".hdf5", ".KERAS"])
def test_the_suffix_is_no_matter(saved, tmp_path, name, expected, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes((saved / name).read_bytes())
    found = recognise(path)
    assert found.format == expected
    assert found.writer.startswith("Keras 3.")


def test_recognising_needs_no_tensorflow(saved):
    code = (
        "import sys, pathlib\n"
        "from saliency_cli.models.recognition import recognise\n"
        "print(recognise(pathlib.Path(sys.argv[1])).format)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, saved / "tiny.keras"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "keras-zip\n"


def test_the_saved_loss_is_read_off(saved):
    assert recognise(saved / "compiled.keras").compile_config["loss"] == "sparse_categorical_crossentropy"
    assert recognise(saved / "compiled.h5").compile_config["loss"] == "sparse_categorical_crossentropy"
    assert not recognise(saved / "tiny.keras").compile_config

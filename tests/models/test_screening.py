"""A model file is read for danger before anything of it is loaded: what is refused, why, and at what price."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import hostile
import pytest

from saliency_cli.errors import ModelError
from saliency_cli.models.screening import child as screening_child
from saliency_cli.models.screening import parent as screening
from saliency_cli.models.screening.parent import Screened, require_same, screen, start

CORPUS = hostile.attacks()
by_name = pytest.mark.parametrize("attack", CORPUS, ids=[attack.name for attack in CORPUS])
CODE = ("refused-code", "custom-class", "refused-operation")


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


@by_name
def test_an_attack_is_refused_by_name_at_a_bounded_price_and_does_nothing(attack, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    path = attack.build(tmp_path)
    before = everything(tmp_path)
    began = time.monotonic()
    with pytest.raises(ModelError) as caught:
        screen(path, trust=False)
    assert time.monotonic() - began < 15
    assert caught.value.reason == attack.reason
    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert str(path) in caught.value.message
    if attack.names_layer:
        assert hostile.LAYER in caught.value.message
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message.replace(str(path), "")) < 400
    assert everything(tmp_path) == before
    assert not (tmp_path / "marker").exists()


def answered(path: Path, **allowed) -> dict[str, dict]:
    """Return the answer of the same reading in this process, where it can be watched and costs less."""
    request = {"trust": False, "custom": False, "replaced": [], "max_bytes": screening.MAX_BYTES, "memory": 1 << 30}
    return screening_child._answered({**request, "path": str(path), **allowed})


here = pytest.mark.parametrize(
    "attack",
    [attack for attack in CORPUS if attack.reason != "refused-remote" and attack.name != "pipe"],
    ids=lambda attack: attack.name,
)


@here
def test_an_attack_opens_no_connection(attack, tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(socket.socket, "connect", lambda *_: tried.append("connect"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: tried.append("address"))
    assert answered(attack.build(tmp_path))["error"]["reason"] == attack.reason
    assert not tried
    assert not (tmp_path / "marker").exists()


@here
def test_trust_lifts_the_rules_about_code_and_nothing_else(attack, tmp_path):
    found = answered(attack.build(tmp_path), trust=True)
    if attack.reason in CODE:
        findings = found["read"]["findings"]
        assert findings
        assert not attack.names_layer or hostile.LAYER in " ".join(findings)
    else:
        assert found["error"]["reason"] == attack.reason
    assert not (tmp_path / "marker").exists()


@here
def test_a_file_of_custom_classes_excuses_no_code(attack, tmp_path):
    harmless = {"registered", "custom", "custom-activation", "class-beside-the-model"}
    found = answered(attack.build(tmp_path), custom=True)
    if attack.name.partition("-")[2] in harmless:
        assert found["read"]["findings"] == []
    else:
        assert found["error"]["reason"] == attack.reason


def good(folder: Path) -> Path:
    return hostile.keras_zip(folder / "good.keras", hostile.members(hostile.sequential(hostile.dense())))


def test_a_plain_model_passes_with_its_hash(tmp_path):
    import hashlib

    path = good(tmp_path)
    found = screen(path, trust=False)
    assert found == Screened(
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size=path.stat().st_size,
        format="keras-zip",
        numbers=10,
    )
    require_same(found, found.sha256, path)
    with pytest.raises(ModelError) as caught:
        require_same(found, "0" * 64, path)
    assert caught.value.reason == "changed"


def test_a_compressed_archive_passes(tmp_path):
    import zipfile

    held = hostile.members(hostile.sequential(hostile.dense()))
    path = hostile.keras_zip(tmp_path / "model.keras", held, zipfile.ZIP_DEFLATED)
    assert screen(path, trust=False).numbers == 10


def test_an_hdf5_file_and_a_folder_pass(tmp_path):
    config = hostile.sequential(hostile.dense())
    found = screen(hostile.keras_hdf5(tmp_path / "model", config), trust=False)
    assert (found.format, found.numbers) == ("keras-hdf5", 10)
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, data in hostile.members(config).items():
        (folder / name).write_bytes(data)
    first = screen(folder, trust=False)
    assert (first.format, first.numbers) == ("keras-directory", 10)
    (folder / "metadata.json").write_bytes(b"{}")
    assert screen(folder, trust=False).sha256 != first.sha256


def test_a_replaced_lambda_needs_no_trust_and_every_other_one_is_named(tmp_path):
    layers = [hostile.stock("Lambda", f"code_{index}", function="x") for index in range(3)]
    path = hostile.keras_zip(tmp_path / "m.keras", hostile.members(hostile.sequential(*layers, hostile.dense())))
    with pytest.raises(ModelError) as caught:
        screen(path, trust=False)
    assert "'code_0'" in caught.value.message
    assert "'code_1', 'code_2'" in caught.value.message
    assert "--replace code_0=" in caught.value.hint
    with pytest.raises(ModelError, match="code_2"):
        screen(path, trust=False, replaced=("code_0", "code_1"))
    found = screen(path, trust=False, replaced=("code_0", "code_1", "code_2"))
    assert found.findings == ()
    assert found.lambdas == ("code_0", "code_1", "code_2")
    assert len(screen(path, trust=True).findings) == 3


def test_how_the_outermost_model_was_trained_is_no_danger_in_a_keras_file(tmp_path):
    loss = {"module": "their.code", "class_name": "function", "config": "loss", "registered_name": "loss"}
    config = hostile.sequential(hostile.dense(), compile_config={"loss": loss})
    path = hostile.keras_zip(tmp_path / "m.keras", hostile.members(config))
    assert screen(path, trust=False).findings == ()


def test_an_older_layer_that_only_computes_passes(tmp_path):
    layers = [
        {"class_name": "TFOpLambda", "config": {"name": name, "function": name}}
        for name in (
            "math.multiply",
            "nn.relu6",
            "image.resize",
            "compat.v1.nn.bias_add",
            "__operators__.add",
            "concat",
        )
    ]
    path = hostile.keras_hdf5(tmp_path / "m.h5", {"class_name": "Functional", "config": {"layers": layers}})
    assert screen(path, trust=False).findings == ()


def test_another_programs_file_is_left_to_recognition(tmp_path):
    path = tmp_path / "model.pb"
    path.write_bytes(b"\x0a\x00 something else")
    assert screen(path, trust=False).format == "other"


def test_a_model_larger_than_the_limit_is_refused(tmp_path):
    path = good(tmp_path)
    with pytest.raises(ModelError) as caught:
        screen(path, trust=True, max_bytes=100)
    assert caught.value.reason == "refused-size"


def test_a_missing_file_keeps_its_own_message(tmp_path):
    with pytest.raises(ModelError) as caught:
        screen(tmp_path / "absent.keras", trust=False)
    assert caught.value.reason == "missing-model"


def replaced_child(monkeypatch, code):
    monkeypatch.setattr(screening, "_START", code)


@pytest.mark.parametrize("signal", ["SIGSEGV", "SIGABRT", "SIGBUS"])
def test_a_killed_child_means_a_damaged_file(signal, tmp_path, monkeypatch):
    replaced_child(monkeypatch, f"import os,signal;os.kill(os.getpid(),signal.{signal})")
    with pytest.raises(ModelError) as caught:
        screen(good(tmp_path), trust=False)
    assert caught.value.reason == "damaged"
    assert "the HDF5 library crashed while reading it" in caught.value.message


def test_a_child_that_spins_is_ended_by_its_processor_time(tmp_path, monkeypatch):
    monkeypatch.setattr(screening, "_SECONDS", 1)
    replaced_child(
        monkeypatch,
        "import json,sys;r=json.loads(sys.argv[1]);sys.path+=r['places'];"
        "from saliency_cli.models.screening.child import _limit;_limit(r['seconds'],2**30,2**20)\nwhile True: pass",
    )
    with pytest.raises(ModelError) as caught:
        screen(good(tmp_path), trust=False)
    assert caught.value.reason == "damaged"
    assert "within 1 s" in caught.value.message


def test_a_child_that_sleeps_is_ended_by_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(screening, "_SECONDS", 1)
    monkeypatch.setattr(screening, "_WAIT", 1)
    replaced_child(monkeypatch, "import time;time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(ModelError, match="did not end"):
        screen(good(tmp_path), trust=False)
    assert time.monotonic() - began < 10


def test_a_child_that_can_not_start_is_no_damage(tmp_path, monkeypatch):
    replaced_child(monkeypatch, "raise RuntimeError")
    with pytest.raises(ModelError) as caught:
        screen(good(tmp_path), trust=False)
    assert caught.value.reason == "screening"
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ModelError) as caught:
        screen(good(tmp_path), trust=False)
    assert caught.value.reason == "screening"


def test_a_reading_that_is_not_wanted_any_more_ends(tmp_path, monkeypatch):
    replaced_child(monkeypatch, "import time;time.sleep(60)")
    with start(good(tmp_path), trust=False) as reading:
        process = reading._process
    assert process.returncode is not None


def test_a_result_can_be_asked_twice(tmp_path):
    with start(good(tmp_path), trust=False) as reading:
        assert reading.result() == reading.result()


def test_the_childs_ceilings_are_set():
    code = (
        "import resource as r;from saliency_cli.models.screening.child import _limit;_limit(7,2**30,2**20);"
        "print([r.getrlimit(x)[0] for x in (r.RLIMIT_CPU,r.RLIMIT_AS,r.RLIMIT_FSIZE,r.RLIMIT_CORE)])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == [7, 2**30, 2**20, 0]


def test_the_childs_search_path_holds_no_current_folder(tmp_path, monkeypatch):
    """A module beside the model, named as one the reading imports, is not run."""
    for name in ("h5py", "numpy", "zipfile", "saliency_cli"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    path = good(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert screen(Path(path.name), trust=False).numbers == 10
    assert not (tmp_path / "marker").exists()


def test_the_parent_imports_neither_tensorflow_nor_hdf5():
    code = (
        "import sys,saliency_cli.models.screening.parent;"
        "print(sorted({'tensorflow','keras','h5py','numpy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def swelling_graph(folder: Path) -> Path:
    """A SavedModel of thirty million empty nodes, two bytes each."""
    path = hostile.saved_model(folder / "model", [("x", "Placeholder")])
    size = 60 << 20
    graph = b"\x0a\x00" * (size // 2)
    inner = b"\x12" + varint(len(graph)) + graph
    (path / "saved_model.pb").write_bytes(b"\x12" + varint(len(inner)) + inner)
    return path


def varint(number: int) -> bytes:
    found = b""
    while number > 0x7F:
        found, number = found + bytes([number & 0x7F | 0x80]), number >> 7
    return found + bytes([number])


def swelling_json(folder: Path) -> Path:
    """A `model.json` of twenty million empty lists."""
    path = hostile.browser_graph(folder, [])
    (path / "model.json").write_bytes(b'{"modelTopology": [' + b"[]," * (20 << 20) + b"0]}")
    return path


@pytest.mark.parametrize("build", [swelling_graph, swelling_json])
def test_what_would_fill_the_memory_ends_with_its_own_process(build, tmp_path):
    import resource

    path = build(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with pytest.raises(ModelError) as caught:
        screen(path, trust=True)
    assert caught.value.reason in ("refused-size", "damaged", "truncated")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
    # The largest child of the whole session so far may be another, and larger.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(children, 2 << 20)


def test_a_directory_has_the_time_that_its_size_takes(tmp_path):
    path = hostile.saved_model(tmp_path / "model", [("x", "Placeholder"), ("y", "Relu", "x")])
    with (path / "variables").open("wb") as file:
        file.truncate(2 << 30)
    with start(path, trust=False) as reading:
        assert reading._seconds > 100


def test_hdf5_loads_no_plug_in_whoever_imports_it_first():
    code = "import os, saliency_cli.models.recognition; print(os.environ['HDF5_PLUGIN_PRELOAD'])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "::"

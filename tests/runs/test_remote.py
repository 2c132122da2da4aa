"""Inputs that lie elsewhere: read through fsspec, told without credentials."""

import http.server
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from run_tools import journal, maps, picture, pictures, run_json

from saliency_cli.errors import InputError, UsageError
from saliency_cli.runs import remote
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import identify, listed, streamed, written

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory():
    """Return fsspec's memory, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    return system


def put(system, name, seed=0):
    picture("seed.png", seed)
    system.pipe(name, Path("seed.png").read_bytes())


ADDRESSES = [
    ("s3://bucket/a/cat.png", "s3://bucket/a/cat.png"),
    ("S3://KEY:SECRET@bucket/cat.png", "s3://bucket/cat.png"),
    ("https://me:SECRET@host.org:8443/x/cat.png?token=SECRET#top", "https://host.org:8443/x/cat.png"),
    ("https://host.org?SECRET", "https://host.org"),
    ("gs://bucket/a/../../../b//cat.png", "gs://bucket/b/cat.png"),
    ("memory://../../etc/passwd", "memory://etc/passwd"),
    ("memory:///b/cat.png", "memory://b/cat.png"),
    ("file:///tmp/cat.png", "file:///tmp/cat.png"),
    ("s3://bucket/cat #2.png?versionId=3", "s3://bucket/cat #2.png"),
]


@pytest.mark.parametrize(("address", "told"), ADDRESSES)
def test_an_address_is_told_without_credentials_or_ways_up(address, told):
    assert remote.shown(address) == identify(address) == written(address) == told
    assert ".." not in told.split("/")
    assert "SECRET" not in told


def test_credentials_are_taken_out_of_any_text():
    text = "left=s3://k:SECRET@b/x.png and 'https://h/y.png?SECRET'"
    assert remote.without_credentials(text) == "left=s3://b/x.png and 'https://h/y.png'"
    assert remote.without_credentials("a@b?c=d p=3 /x/y") == "a@b?c=d p=3 /x/y"


@pytest.mark.parametrize("path", ["cat.png", "/a/b.png", "C:/x.png", "a:b/c", "-", "x=s3:/y", "s3:/b/x"])
def test_paths_are_no_addresses(path):
    assert not remote.is_remote(path)


def test_a_path_that_reads_like_an_address_gets_another_folder():
    assert identify("s3:/bucket/x.png") == "s3:/bucket/x.png~"


def test_a_local_run_knows_nothing_of_fsspec(compute, monkeypatch):
    pictures("in", 1)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    report, _ = compute("in", out="out")
    assert report.exit_code == 0


def test_maps_of_remote_inputs_are_those_of_local_ones(compute, memory):
    pictures("in", 3)
    for number in range(3):
        memory.pipe(f"/b/in/{number}.png", Path(f"in/{number}.png").read_bytes())
    compute("in", out="near", formats=("npy",))
    report, heard = compute("memory://b/in", out="far", formats=("npy",))
    assert (report.exit_code, heard.done) == (0, [f"memory://b/in/{n}.png" for n in range(3)])
    assert sorted(maps("far")) == [f"memory:/b/in/{n}.png/gradient.npy" for n in range(3)]
    assert list(maps("far").values()) == list(maps("near").values())
    for near, far in zip(journal("near"), journal("far"), strict=True):
        assert far["sources"]["x"]["path"] == far["id"]
        assert far["sources"]["x"]["sha256"] == near["sources"]["x"]["sha256"]
        assert (Path("far") / far["maps"][0]["inputs"]["x"]["files"]["npy"]).is_file()


def test_resume_fetches_again_and_does_what_changed(compute, memory):
    for number in range(3):
        put(memory, f"/b/{number}.png", number)
    compute("memory://b", out="out")
    put(memory, "/b/1.png", 7)
    report, heard = compute("memory://b", out="out", resume=True)
    assert (heard.done, report.run.counts.skipped) == (["memory://b/1.png"], 2)


def sources(*given, **fields):
    return [source.id for source in listed(ComputeRequest("m", given, **fields))]


def test_folders_and_patterns_name_the_files_in_them(memory):
    for name in ("2.png", "10.png", ".hidden.png", "notes.txt", "s/1.png", ".s/1.png", "cat.saliency.png"):
        memory.pipe(f"/b/p/{name}", b"x")
    numbers = ["memory://b/p/2.png", "memory://b/p/10.png"]
    assert sources("memory://b/p") == sources("memory://b/p/") == [*numbers, "memory://b/p/s/1.png"]
    assert sources("memory://b/p/[0-9]*.png") == numbers
    assert sources("memory://b/p/**/1.png") == ["memory://b/p/s/1.png"]
    assert sources("memory://b/p/2.png", "memory:///b/p/2.png") == ["memory://b/p/2.png"]


def test_the_local_file_system_has_addresses_too(compute, here):
    pictures("in", 2)
    _, heard = compute(f"file://{here}/in", out="out", formats=("npy",))
    assert heard.done == [f"file://{here}/in/{n}.png" for n in range(2)]


@pytest.mark.parametrize(
    ("given", "reason", "words"),
    [
        ("memory://b/none/*.png", "no-inputs", "nothing matches 'memory://b/none/*.png'"),
        ("memory://b/empty", "no-inputs", "'memory://b/empty' holds no picture, array or table (1 other files)"),
        ("zip://x.png::memory://b/a.zip", "bad-address", "no plain address"),
        ("foo://b/x.png", "bad-address", "no file system is known for foo://"),
        ("https://host.org/folder/", "not-a-file", "'https://host.org/folder/' is a folder of the web"),
        ("memory://b/a\x1b[2J.png", "bad-address", "no plain address"),
    ],
)
def test_what_names_no_input_says_so(memory, given, reason, words):
    memory.pipe("/b/empty/x.txt", b"x")
    (source,) = listed(ComputeRequest("m", (given,)))
    assert source.error.reason == reason
    assert words in source.error.message


def test_one_missing_address_fails_alone(compute, memory):
    put(memory, "/b/0.png")
    report, heard = compute("memory://b/0.png", "memory://b/none.png?key=SECRET", out="out")
    assert (report.exit_code, heard.done) == (3, ["memory://b/0.png"])
    error = heard.failed["memory://b/none.png"]
    assert (error.reason, error.message) == ("missing-file", "there is no 'memory://b/none.png'")
    assert "SECRET" not in "".join(path.read_text() for path in Path("out").glob("*.json*"))


def test_lines_may_be_addresses(compute, memory):
    put(memory, "/b/0.png")
    picture("1.png")
    Path("list").write_text("memory://b/0.png\n1.png\nmemory://b/2.png\n")
    _, heard = compute(files_from="list", out="out")
    assert (heard.done, list(heard.failed)) == (["memory://b/0.png", "1.png"], ["memory://b/2.png"])


def test_lines_that_differ_in_their_query_alone_get_ids_of_their_own():
    Path("list").write_text(
        "https://h/r?n=1\nhttps://h/r?n=2\nhttps://h/r?n=1\nhttps://h/s?n=2\nleft=s3://b/x=1.png\n"
    )
    found = list(streamed(ComputeRequest("m", files_from="list")))
    assert [source.id for source in found] == [
        "https://h/r",
        "https://h/r~2",
        "https://h/r",
        "https://h/s",
        "s3://b/x=1.png",
    ]
    assert found[-1].parts == (("left", "s3://b/x=1.png"),)


def test_named_inputs_are_paired_wherever_they_lie(compute, memory):
    put(memory, "/b/p/1.png")
    memory.pipe("/b/q/1.csv", b"1,2,3,4\n")
    fields = {"model": "pair.keras", "out": "out", "formats": ("npz",)}
    _, heard = compute(named_inputs=(("left", "memory://b/p/1.png"), ("right", "memory://b/q/1.csv")), **fields)
    assert heard.done == ["memory://b/p/1.png"]


def test_labels_name_addresses(compute, memory):
    put(memory, "/b/0.png")
    Path("labels.csv").write_text("memory://b/0.png,2\n")
    _, heard = compute("memory://b/0.png", target="label", labels="labels.csv", out="out")
    assert heard.records[0].maps[0].target.index == 2


def test_the_recorded_command_holds_no_credentials(compute, memory):
    put(memory, "/b/0.png")
    compute("memory://b/0.png", out="out", command=("saliency", "compute", "m", "x=s3://k:SECRET@b/0.png?t=SECRET"))
    assert run_json("out")["command"][-1] == "x=s3://b/0.png"


@pytest.mark.parametrize("given", ["memory://b/0.png", "s3://b/*.png"])
def test_without_fsspec_the_extra_is_named_before_the_model_is_opened(compute, monkeypatch, given):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UsageError, match="takes fsspec, which is not installed") as caught:
        compute(given, out="out", model="no model is opened for it")
    assert caught.value.hint == "pip install 'saliency-cli[cloud]'"
    assert not Path("out").exists()


def test_without_the_package_of_a_store_that_is_named():
    pytest.importorskip("fsspec")
    if "s3fs" in sys.modules or _there("s3fs"):
        pytest.skip("s3fs is installed")
    with pytest.raises(UsageError, match="what fsspec needs for s3:// is not installed") as caught:
        remote.fetch("s3://k:SECRET@bucket/x.png")
    assert caught.value.hint == "pip install s3fs"
    assert "SECRET" not in caught.value.message


def _there(name):
    from importlib.util import find_spec

    return find_spec(name) is not None


class Flaky:
    """A file system whose reads fail as told, in turn."""

    def __init__(self, *errors):
        self.errors, self.calls = list(errors), 0

    def cat_file(self, path):
        self.calls += 1
        if self.errors and (error := self.errors.pop(0)):
            raise error
        return b"here"


class StatusError(Exception):
    def __init__(self, status):
        super().__init__(f"{status} for https://k:SECRET@h/x?SECRET")
        self.status = status


class NoCredentialsError(Exception):
    pass


@pytest.fixture
def fetched(monkeypatch):
    """Return a function: errors → what `fetch` gives and how often it tried."""
    monkeypatch.setattr(remote, "_PAUSES", (0, 0))

    def fetch(*errors):
        system = Flaky(*errors)
        monkeypatch.setattr(remote, "_opened", lambda address: (system, "x"))
        try:
            return remote.fetch("https://k:SECRET@h/x.png?SECRET"), system.calls
        except InputError as error:
            return error, system.calls

    return fetch


@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError(), StatusError(503), StatusError(429)])
def test_what_may_pass_is_tried_again(fetched, error):
    assert fetched(error, error) == (b"here", 3)


@pytest.mark.parametrize(
    ("error", "calls", "reason", "words"),
    [
        (FileNotFoundError("https://h/x?SECRET"), 1, "missing-file", "there is no 'https://h/x.png'"),
        (StatusError(404), 1, "missing-file", "there is no"),
        (PermissionError("SECRET"), 1, "no-permission", "may not be read: no permission"),
        (StatusError(403), 1, "no-permission", "may not be read"),
        (NoCredentialsError("SECRET"), 1, "no-permission", "may not be read"),
        (IsADirectoryError("SECRET"), 1, "not-a-file", "is a folder, and a file was expected"),
        (RuntimeError("SECRET"), 1, "unreadable", "can't be read: RuntimeError"),
        (StatusError(500), 3, "unreadable", "can't be read: StatusError 500"),
        (ConnectionRefusedError("SECRET"), 3, "unreadable", "can't be read: ConnectionRefusedError"),
    ],
)
def test_what_does_not_pass_is_told_without_the_librarys_words(fetched, error, calls, reason, words):
    found, tried = fetched(error, error, error)
    assert (tried, found.reason) == (calls, reason)
    assert words in found.message
    assert found.hint
    assert "SECRET" not in found.message + found.hint
    assert found.__cause__ is None
    assert found.__suppress_context__


@pytest.fixture
def server():
    """Serve a picture on loopback: found, forbidden, busy once, or missing, by path; return (address, requests)."""
    pytest.importorskip("aiohttp")
    picture("served.png")
    data, asked = Path("served.png").read_bytes(), Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked[self.path] += 1
            busy = "busy" in self.path and asked[self.path] == 1
            code = 503 if busy else 403 if "closed" in self.path else 404 if "none" in self.path else 200
            self.send_response(code)
            self.send_header("Content-Length", str(len(data) if code == 200 else 0))
            self.end_headers()
            if code == 200:
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}", asked
        served.shutdown()


def test_the_web(compute, server, monkeypatch):
    monkeypatch.setattr(remote, "_PAUSES", (0, 0))
    address, asked = server
    names = ("cat.png?token=SECRET", "busy.png", "closed.png", "none.png")
    report, heard = compute(*(f"{address}/{name}" for name in names), out="out", formats=("npy",))
    assert (report.exit_code, heard.done) == (3, [f"{address}/cat.png", f"{address}/busy.png"])
    assert {key: error.reason for key, error in heard.failed.items()} == {
        f"{address}/closed.png": "no-permission",
        f"{address}/none.png": "missing-file",
    }
    assert asked == {"/cat.png?token=SECRET": 1, "/busy.png": 2, "/closed.png": 1, "/none.png": 1}
    assert b"SECRET" not in b"".join(path.read_bytes() for path in Path("out").rglob("*") if path.is_file())

"""A Dask cluster: every item answered once, whatever dies; the same files as one process; nothing left behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from dask_tools import IMPORTABLE, Cluster, maps, pictures, records, saliency, until
from toys import open_toy

pytest.importorskip("distributed", reason="dask.distributed is not installed: pip install 'saliency-cli[dask]'")

import psutil

from saliency_cli.engines import dask as engine
from saliency_cli.engines import dask_joining as joining
from saliency_cli.engines.dask_local import LocalCluster
from saliency_cli.engines.dask_members import Member
from saliency_cli.engines.dask_tasks import Survey
from saliency_cli.engines.protocol import Task, WorkerError
from saliency_cli.errors import InputError, ModelError, UsageError
from saliency_cli.runs import distributing
from saliency_cli.runs.request import ComputeRequest


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and two nodes, shared by the tests of this file."""
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        found.add_node()
        found.add_node()
        until(lambda: found.file.exists() and len(workers(found)) == 2)
        yield found
    finally:
        found.__exit__()


def asked(cluster, function, *arguments):
    """Ask the scheduler itself, by another client."""
    import distributed

    with distributed.Client(scheduler_file=str(cluster.file), set_as_default=False) as client:
        return client.run_on_scheduler(function, *arguments)


def workers(cluster):
    return asked(cluster, lambda dask_scheduler: list(dask_scheduler.workers))


def state(dask_scheduler):
    return len(dask_scheduler.tasks), list(dask_scheduler.worker_plugins)


class Heard:
    """Remembers what was found, by item."""

    def __init__(self, then=None):
        self.answers, self.losses, self.then, self.done = [], [], then, False

    def found(self, item, found):
        self.answers.append((item, found))
        if self.then is not None:
            self.then(found)

    def lost(self, item, how):
        self.losses.append((item, how))

    def enough(self):
        return self.done

    @property
    def squares(self):
        return {item: found[0] for item, found in self.answers if isinstance(item, int)}

    @property
    def processes(self):
        return {found[1] for _, found in self.answers}


def carried(cluster, items, given="toy", then=None, warnings=None):
    heard = Heard(then)
    with joined(cluster, warnings) as executor:
        executor.begin(Task(open_toy, given))
        executor.carry(items, heard)
    return heard, executor


def joined(cluster, warnings=None, **options):
    warn = pytest.fail if warnings is None else warnings.append
    return engine.Cluster(cluster.folder / "run", scheduler=str(cluster.file), workers=0, warn=warn, **options)


def test_every_item_is_answered_once_and_nothing_is_left_behind(cluster):
    before = asked(cluster, state)
    flying = []
    heard = Heard(lambda _: flying.append(len(executor._wire._futures)))
    with joined(cluster) as executor:
        executor.begin(Task(open_toy, "toy"))
        executor.carry(range(3000), heard)
    assert heard.squares == {n: n * n for n in range(3000)}
    assert len(heard.answers) == 3000
    assert (heard.losses, executor.casualties) == ([], [])
    assert len(heard.processes) == 2
    assert max(flying) <= 4  # two calls a worker, however many items
    assert asked(cluster, state) == before == (0, before[1])
    assert not list(cluster.folder.glob(".saliency-*"))


def test_what_the_first_worker_told_is_given_to_the_others(cluster):
    heard, _ = carried(cluster, ["sleep 0.1"] * 30)
    ((given, first),) = {found[2] for _, found in heard.answers}
    assert given == "toy"
    assert first in heard.processes
    assert len(heard.processes) == 2


def test_a_model_is_opened_once_a_worker(cluster):
    """Each process tells its own opening; another run's is another one."""
    one, _ = carried(cluster, range(500), given="one")
    two, _ = carried(cluster, range(500), given="two")
    assert {found[2][0] for _, found in one.answers} == {"one"}
    assert {found[2][0] for _, found in two.answers} == {"two"}
    assert one.processes == two.processes


def test_an_item_that_kills_is_lost_alone(cluster):
    heard, executor = carried(cluster, [*range(60), "die", *range(60, 150)])
    assert heard.squares == {n: n * n for n in range(150)}
    assert len(heard.answers) == 150
    ((item, how),) = heard.losses
    assert item == "die"
    assert "Dask worker at tcp://127.0.0.1:" in how
    assert "ended" in how
    # Once in company and once alone; a worker may die before it has told that it had come to the next call.
    assert 2 <= len(executor.casualties) <= 3
    until(lambda: len(workers(cluster)) == 2)


def test_an_item_that_kills_once_is_done_the_second_time(cluster, tmp_path):
    heard, executor = carried(cluster, [*range(60), f"once {tmp_path}/dead", *range(60, 150)])
    assert heard.squares == {n: n * n for n in range(150)}
    assert len(heard.answers) == 151
    assert heard.losses == []
    assert len(executor.casualties) == 1
    until(lambda: len(workers(cluster)) == 2)


def test_a_worker_killed_from_outside_costs_no_item(cluster):
    killed = []

    def kill(found):
        if not killed:
            killed.append(found[1])
            os.kill(found[1], signal.SIGKILL)

    heard, executor = carried(cluster, [*range(20), *["sleep 0.05"] * 60, *range(20, 40)], then=kill)
    assert heard.squares == {n: n * n for n in range(40)}
    assert len(heard.answers) == 100
    assert heard.losses == []
    assert [process for _, process in executor.casualties] == killed
    until(lambda: len(workers(cluster)) == 2)


def test_a_node_that_comes_late_takes_part_and_its_loss_costs_no_item(cluster):
    before = {child.pid for node in cluster.processes[1:3] for child in psutil.Process(node.pid).children()}
    node, lost = cluster.add_node(), []

    def items():
        number = 0
        last = None
        while last is None or number < last:
            yield "sleep 0.05" if number % 3 else number
            number += 1
            last = number + 200 if lost and last is None else last
        yield from (f"after {n}" for n in range(40))

    def lose(found):
        if found[1] not in before and not lost:
            lost.append(found[1])
            cluster.kill(node)

    heard, executor = carried(cluster, items(), then=lose)
    assert len([item for item, _ in heard.answers if str(item).startswith("after")]) == 40
    assert heard.losses == []
    assert [process for _, process in executor.casualties] == lost
    numbers = [item for item, _ in heard.answers if isinstance(item, int)]
    assert sorted(numbers) == list(range(0, max(numbers) + 1, 3))


@pytest.mark.parametrize(
    ("item", "error", "words"),
    [("raise", InputError, "no"), ("bug", ZeroDivisionError, "a bug"), ("unpicklable", WorkerError, "Local: inside")],
)
def test_an_error_of_a_worker_ends_the_run_as_itself(cluster, item, error, words):
    with pytest.raises(error, match=words) as caught:
        carried(cluster, [*range(10), item, *range(10)])
    assert "toys.py" in str(caught.value.__cause__)


def test_a_model_that_is_refused_is_told_as_itself(cluster):
    with pytest.raises(ModelError, match="it is refused") as caught:
        carried(cluster, range(10), given="refuse")
    assert caught.value.reason == "refused"


def test_no_more_is_begun_when_it_is_enough(cluster):
    heard = Heard()
    heard.then = lambda _: setattr(heard, "done", len(heard.answers) >= 10)
    with joined(cluster) as executor:
        executor.begin(Task(open_toy, "toy"))
        executor.carry(("sleep 0.02" for _ in range(100_000)), heard)
    assert 10 <= len(heard.answers) < 1000


def test_ctrl_c_hears_what_is_finished_and_leaves_the_scheduler_as_it_was(cluster):
    before = asked(cluster, state)
    heard = Heard()

    def interrupt(found):
        if len(heard.answers) == 100:
            raise KeyboardInterrupt

    heard.then = interrupt
    with joined(cluster) as executor:
        executor.begin(Task(open_toy, "toy"))
        with pytest.raises(KeyboardInterrupt):
            executor.carry(range(100_000), heard)
        assert not any(member.calls for member in executor._members.values())
    assert 100 < len(heard.answers) < 100_000  # the rest of that call, and of those under way
    assert len(heard.squares) == len(heard.answers)
    assert executor.casualties == []
    assert asked(cluster, state) == before
    assert carried(cluster, range(10))[0].squares == {n: n * n for n in range(10)}


def test_a_worker_with_other_versions_is_named(cluster, tmp_path):
    other = tmp_path / "keras-9.9.9.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Name: keras\nVersion: 9.9.9\n")
    before = set(workers(cluster))
    node = cluster.add_node(PYTHONPATH=os.pathsep.join([str(tmp_path), IMPORTABLE]))
    try:
        until(lambda: len(workers(cluster)) == 3)
        (address,) = set(workers(cluster)) - before
        with pytest.raises(UsageError, match="1 of 3 workers") as caught:
            carried(cluster, range(10))
        assert f"{address} has keras 9.9.9 where this process has" in caught.value.message
        assert caught.value.reason == "versions-differ"
    finally:
        cluster.kill(node)
        until(lambda: len(workers(cluster)) == 2)


def test_workers_that_do_not_see_the_folder_are_told(cluster, monkeypatch):
    monkeypatch.setattr(joining.Shared, "mark", lambda _: "/nowhere/marker")
    with pytest.raises(UsageError, match=r"2 of 2 workers.*does not see") as caught:
        carried(cluster, range(10))
    assert "a folder that every worker sees is needed" in caught.value.hint


@pytest.mark.parametrize("lacking", ["python", "saliency", "tensorflow", "keras", "numpy", "distributed"])
def test_every_version_is_compared(lacking):
    own = engine.dask_tasks.survey(".", __file__)
    assert own.sees
    assert joining.difference(own, own, ".") == ""
    other = Survey({**own.versions, lacking: "0.0"}, sees=True)
    assert joining.difference(own, other, ".") == f"has {lacking} 0.0 where this process has {own.versions[lacking]}"


def test_a_worker_without_saliency_is_told():
    error = ModuleNotFoundError("No module named 'saliency_cli'")
    assert "has no saliency" in joining.difference(Survey({}, sees=True), error, ".")


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        ("nothing.json", "No such file"),
        ("", "'': "),
        ("empty.json", "no address of a scheduler"),
        ("number.json", "no address of a scheduler"),
        ("elsewhere.json", r"no Dask scheduler at inproc://127\.0\.0\.1/1/1"),
        ("tcp://", "missing port number"),
        ("tls://127.0.0.1:1", "no certificates are named"),
        ("http://localhost:1", "expected tcp://HOST:PORT"),
        ("tcp://127.0.0.1:1", "there is no Dask scheduler at tcp://127.0.0.1:1"),
    ],
)
def test_a_scheduler_that_is_none_is_told(scheduler, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(joining, "_CONNECTING", 0.5)
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", "")
    Path("empty.json").write_text("{}")
    Path("number.json").write_text('{"address": 8786}')
    Path("elsewhere.json").write_text('{"address": "inproc://127.0.0.1/1/1"}')
    with pytest.raises(UsageError, match=words) as caught:
        begin_at(scheduler, tmp_path)
    assert caught.value.reason == "no-scheduler"
    # What is left of a client that never was has threads of its own, and complains when it is collected.
    assert not [thread for thread in threading.enumerate() if thread.name == "IO loop"]


def begin_at(scheduler, folder):
    """Begin at what may be no scheduler."""
    engine.Cluster(folder / "out", scheduler=scheduler, workers=0, warn=print).begin(Task(open_toy, "toy"))


@pytest.mark.parametrize("says", [b"", b"HTTP/1.0 400 Bad Request\r\n\r\n"])
def test_what_listens_and_is_no_scheduler_is_not_waited_for(says, tmp_path, monkeypatch):
    monkeypatch.setattr(joining, "_CONNECTING", 1.0)
    monkeypatch.setattr(joining, "_ANSWERING", 0.5)
    held = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen():
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])
                    held[-1].sendall(says)

        threading.Thread(target=listen, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(UsageError, match="there is no Dask scheduler at") as caught:
            begin_at(address, tmp_path)
    assert time.monotonic() - began < 5
    assert caught.value.reason == "no-scheduler"
    for each in held:
        each.close()


def test_a_worker_is_no_scheduler(cluster, tmp_path):
    with pytest.raises(UsageError, match="it is a Worker of Dask"):
        begin_at(workers(cluster)[0], tmp_path)


def test_an_address_without_its_scheme_is_given_one(tmp_path):
    with pytest.raises(UsageError) as caught:
        engine.Cluster(tmp_path, scheduler="node-3:8786", workers=0, warn=print).begin(Task(open_toy, "toy"))
    assert caught.value.hint == "--scheduler tcp://node-3:8786"


def test_without_dask_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError) as caught:
        engine.Cluster(tmp_path, scheduler=None, workers=1, warn=print)
    assert caught.value.hint == "pip install 'saliency-cli[dask]'"


def test_a_call_grows_to_two_seconds_in_whole_batches():
    member = Member("a")
    assert member.room == 0
    member.opened(8, ("node", 1))
    sizes = []
    for number in range(5):
        sizes.append(member.room)
        member.calls[number] = dict.fromkeys(range(member.room))
        member.over(number, 0.01 * member.room)  # ten milliseconds an item: two seconds are 200
    assert sizes == [8, 32, 128, 200, 200]
    member.calls[9] = dict.fromkeys(range(200))
    member.over(9, 20.0)
    assert member.room == 16  # and back, where they take longer: 20 items, in batches
    member.calls[10] = member.calls[11] = {}
    assert member.room == 0


def test_one_process_a_cluster_and_a_local_one_write_the_same(cluster, tmp_path):
    pictures(tmp_path / "in", 30)
    (tmp_path / "in" / "bad.png").write_text("no picture")
    command = ("compute", "picture.keras", "in", "--format", "npy", "--format", "heatmap", "-o")
    one = saliency(*command, "one", folder=tmp_path)
    two = saliency(*command, "two", "--scheduler", cluster.file, folder=tmp_path)
    three = saliency(*command, "three", "--engine", "dask", "--jobs", "2", folder=tmp_path)
    assert (one.returncode, two.returncode, three.returncode) == (3, 3, 3), two.stderr + three.stderr
    first = maps(tmp_path / "one")
    assert len(first) == 60
    assert first == maps(tmp_path / "two") == maps(tmp_path / "three")
    assert records(tmp_path / "one") == records(tmp_path / "two") == records(tmp_path / "three")
    assert two.stderr.replace("two/", "one/").splitlines()[:-1] == one.stderr.splitlines()[:-1]


def test_a_picture_that_kills_is_recorded_and_all_others_are_done(cluster, tmp_path):
    pictures(tmp_path / "in", 24, white=[9])
    command = ("compute", "picture.keras", "in", "--format", "npy", "-o")
    done = saliency(*command, "out", "--scheduler", cluster.file, folder=tmp_path, ODD_DEADLY="1")
    assert done.returncode == 3, done.stderr
    found = records(tmp_path / "out")
    assert len(found) == 24
    assert [name for name, record in found.items() if record["status"] != "ok"] == ["in/009.png"]
    assert found["in/009.png"]["error"]["reason"] == "worker-died"
    assert "in/009.png" in done.stderr
    saliency(*command, "one", folder=tmp_path)
    assert {**maps(tmp_path / "out"), "in/009.png/gradient.npy": b""} == {
        **maps(tmp_path / "one"),
        "in/009.png/gradient.npy": b"",
    }
    assert not list((tmp_path / "out").rglob(".saliency-*"))
    until(lambda: len(workers(cluster)) == 2)


def test_ctrl_c_keeps_what_is_done_and_resume_does_the_rest(cluster, tmp_path):
    pictures(tmp_path / "in", 48)
    command = ("compute", "picture.keras", "in", "--format", "npy", "-o")
    options = ("--scheduler", cluster.file)
    run = saliency(*command, "out", *options, folder=tmp_path, start=True, ODD_DELAY="0.1")
    until(lambda: (tmp_path / "out" / "items.jsonl").exists() and len(maps(tmp_path / "out")) > 8)
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130, told
    assert "Traceback" not in told
    kept = records(tmp_path / "out")
    assert 0 < len(kept) < 48
    assert len(kept) == len(maps(tmp_path / "out"))  # what was written was heard of
    assert asked(cluster, state)[0] == 0
    assert saliency(*command, "out", *options, "--resume", folder=tmp_path).returncode == 0
    saliency(*command, "one", folder=tmp_path)
    assert maps(tmp_path / "out") == maps(tmp_path / "one")
    assert records(tmp_path / "out") == records(tmp_path / "one")


def test_a_worker_with_another_model_is_found_out(cluster, tmp_path):
    pictures(tmp_path / "in", 80)
    node = cluster.add_node(OTHER_WEIGHTS="retrained")
    try:
        until(lambda: len(workers(cluster)) == 3)
        command = ("compute", "picture.keras", "in", "-o", "out", "--scheduler", cluster.file)
        done = saliency(*command, folder=tmp_path, ODD_DELAY="0.2")
    finally:
        cluster.kill(node)
        until(lambda: len(workers(cluster)) == 2)
    assert done.returncode == 4, done.stderr
    assert "two workers would not compute the same: weights is" in done.stderr
    assert "retrained" in done.stderr


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"engine": "dask"}, "here", "--engine dask writes into a run folder"),
        ({"scheduler": "tcp://a:1"}, "here", "--scheduler writes into a run folder"),
        ({"scheduler": "tcp://a:1", "jobs": 2}, "folder", "the cluster has its workers"),
    ],
)
def test_what_a_cluster_can_not_do_is_told(fields, kind, words):
    request = ComputeRequest("picture.keras", ("in",), **fields)
    with pytest.raises(UsageError, match=words):
        distributing.workers(request, SimpleNamespace(kind=kind, formats=("overlay",)), None)


def test_a_local_cluster_has_a_worker_a_core_and_no_more_than_inputs():
    request = ComputeRequest("picture.keras", ("in",), engine="dask")
    folder = SimpleNamespace(kind="folder", formats=())
    assert 1 <= distributing.workers(request, folder, None) <= len(os.sched_getaffinity(0))
    source = SimpleNamespace(parts=())
    assert distributing.workers(replace(request, jobs=5), folder, [source] * 3) == 3


def test_dask_is_imported_only_when_it_is_asked_for(tmp_path):
    pictures(tmp_path / "in", 2)
    script = (
        "import sys; from functools import partial; from odd import open_odd; from saliency_cli.cli import entry;"
        "from saliency_cli.runs import compute as module;"
        "module.compute = partial(module.compute, open_engine=open_odd);"
        "command = ['compute', 'picture.keras', 'in', '-o', 'out'];"
        "codes = entry.run([*command, '--engine', 'dask', '--dry-run']), entry.run(command);"
        "print('MODULES', *codes, *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": IMPORTABLE},
        capture_output=True,
        text=True,
        check=True,
    )
    *codes, modules = done.stdout.rpartition("MODULES")[2].split(maxsplit=2)
    assert codes == ["0", "0"], done.stderr
    assert not {"dask", "distributed", "tornado"} & set(modules.split())


def test_a_local_cluster_listens_on_loopback_only_and_ends_with_its_parent(tmp_path):
    script = (
        "import sys, time; from saliency_cli.engines.dask_local import LocalCluster;"
        "cluster = LocalCluster.start(1); print(cluster._process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=-1, text=True, cwd=tmp_path) as parent:
        group = int(parent.stdout.readline())
        host = psutil.Process(group)
        processes = [host, *host.children(recursive=True)]
        assert len(processes) >= 2
        listening = [
            connection.laddr.ip
            for process in processes
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening
        assert set(listening) == {"127.0.0.1"}
        parent.kill()
    until(lambda: not any(process.is_running() and process.status() != "zombie" for process in processes))


def test_a_local_cluster_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cluster = LocalCluster.start(1)
    processes = psutil.Process(cluster._process.pid).children(recursive=True)
    cluster.close()
    until(lambda: not any(process.is_running() and process.status() != "zombie" for process in processes))
    assert not list(tmp_path.iterdir())

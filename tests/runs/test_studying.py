"""A study carried through inputs by a stand-in: names, journal, resume, one file, dry run, failures."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from run_tools import Heard, journal, names, picture, pictures, run_json, tree
from stand_in import open_stand_in

from saliency_cli.autodiff.packing import Query
from saliency_cli.differentiable import Ask
from saliency_cli.errors import InputError, OutputError, UsageError
from saliency_cli.runs import studying
from saliency_cli.runs.inquiring import inquire
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import listed
from saliency_cli.runs.study import File, Findings, first_look
from saliency_cli.runs.study_files import folder_of, write_file


class Doubling:
    """A study: the target's value at the sample and at twice the sample, in a number, an array and a text."""

    name = "doubling"
    sequential = True

    def __init__(self, factor=2.0, flags=(), large=False, suffixes=None):
        self.factor, self.flags, self.large = factor, flags, large
        self.suffixes = suffixes or {"values": ".npy", "told": ".txt", "aside": ".txt"}
        self.begun = []

    def options(self):
        return {"factor": self.factor}

    def sources(self, request):
        return listed(request)

    def begin(self, prepared):
        self.begun.append(prepared.engine.evaluator.batch)
        return Inquiry(self, prepared)


class Inquiry:
    def __init__(self, study, prepared):
        self.study, self.prepared = study, prepared

    def program(self, fed, target):
        look = yield from first_look(fed.sample, self.prepared.question, target)
        if fed.id.endswith("bad.png"):
            raise InputError("this one can't be doubled", reason="bad")

        def point(_, out):
            for name in fed.sample.floating:
                out[name][...] = self.study.factor * fed.sample.inputs[name]

        reply = yield Query(Ask(1, point, np.ones(1)), weights=look.targets[0].weights)
        return look, float(reply.answer.values[0])

    def findings(self, fed, found):
        look, value = found
        told = b"%r" % value

        def write(stream):
            stream.write(told)

        files = {
            "values": File(".npy", np.float64(value).tobytes()),
            "told": File(".txt", write if self.study.large else told),
        }
        results = {"value": look.record.value, "doubled": value, "target": look.record}
        return Findings(results, files, look.prediction, self.study.flags)

    def conclude(self, run, items):
        run.results["inputs"] = [item.id for item in items]
        return {"summary": File(".txt", b"all of it")}


@pytest.fixture
def study():
    """Return a function: inputs and fields of a request → (report, what the listener heard)."""

    def run(*inputs, model="picture.keras", doubling=None, open_engine=open_stand_in, **fields):
        heard = Heard()
        request = ComputeRequest(model, inputs, **fields)
        report = studying.run_study(request, doubling or Doubling(), heard, open_engine=open_engine)
        return report, heard

    return run


def test_a_folder_has_a_line_and_files_for_each_input(study):
    pictures("in", 3)
    report, heard = study("in", out="out")
    assert report.exit_code == 0
    expected = [f"maps/in/{n}.png/{file}" for n in range(3) for file in ("told.txt", "values.npy")]
    assert tree("out") == sorted([*expected, "items.jsonl", "metrics.json", "run.json", "summary.txt"])
    lines = journal("out")
    assert [line["id"] for line in lines] == heard.done == ["in/0.png", "in/1.png", "in/2.png"]
    for line in lines:
        assert line["files"] == {"values": f"maps/{line['id']}/values.npy", "told": f"maps/{line['id']}/told.txt"}
        doubled = np.frombuffer(Path("out", line["files"]["values"]).read_bytes())
        assert doubled[0] == line["results"]["doubled"]
        assert line["prediction"]["kind"] == "class"
    run = run_json("out")
    assert (run["study"], run["options"], run["status"]) == ("doubling", {"factor": 2.0}, "done")
    assert run["results"] == {"inputs": ["in/0.png", "in/1.png", "in/2.png"]}
    assert run["files"] == {"summary": "summary.txt"}
    assert run["methods"] == []


def test_numbers_of_all_inputs_are_aggregated(study):
    pictures("in", 3)
    study("in", out="out")
    found = json.loads(Path("out/metrics.json").read_text())["results"]
    values = [line["results"]["doubled"] for line in journal("out")]
    assert found["doubled"]["mean"] == pytest.approx(np.mean(values))
    assert found["doubled"]["n"] == 3
    assert set(found) == {"value", "doubled"}


def test_in_the_current_folder_a_kind_is_named_where_another_has_its_suffix(study):
    picture("a.png")
    _, heard = study("a.png")
    assert names() == ["a.doubling.npy", "a.doubling.told.txt", "a.png", "doubling.summary.txt"]
    (record,) = heard.records
    assert record.files == {"values": "a.doubling.npy", "told": "a.doubling.told.txt"}


def test_inputs_of_one_stem_do_not_meet(study):
    picture("a/1.png")
    picture("b/1.png", 1)
    _, heard = study("a/1.png", "b/1.png")
    files = [file for record in heard.records for file in record.files.values()]
    assert len(set(files)) == 4
    assert all(Path(file).is_file() for file in files)


def test_one_file_is_the_kind_its_suffix_names(study):
    picture("a.png")
    study("a.png", out="x.npy")
    assert names() == ["a.png", "doubling.summary.txt", "x.npy"]
    study("a.png", out="x.txt")
    assert Path("x.txt").read_bytes() == b"%r" % float(np.frombuffer(Path("x.npy").read_bytes())[0])


@pytest.mark.parametrize(
    ("out", "words"),
    [("x.gif", "writes no file that ends in .gif"), ("-", "stdout"), ("x.npy", "is one file, and 2 inputs")],
)
def test_a_place_that_makes_no_sense_is_told_before_the_model_is_opened(study, out, words):
    pictures("in", 2)

    def never(request, **options):
        raise AssertionError("opened")

    with pytest.raises(UsageError, match=words):
        study("in", out=out, open_engine=never)


def test_one_bad_input_leaves_the_others(study):
    pictures("in", 2)
    picture("in/bad.png", 7)
    Path("in/broken.png").write_bytes(b"no picture")
    report, heard = study("in", out="out")
    assert report.exit_code == 3
    assert heard.done == ["in/0.png", "in/1.png"]
    assert {name: error.reason for name, error in heard.failed.items()}["in/bad.png"] == "bad"
    assert "in/broken.png" in heard.failed
    assert run_json("out")["counts"] == {"ok": 2, "error": 2, "skipped": 0}
    assert run_json("out")["results"]["inputs"] == ["in/0.png", "in/1.png"]


def test_a_run_goes_on_where_it_stopped(study):
    pictures("in", 3)
    study("in", out="out", max_failures=1)
    whole = [line["results"] for line in journal("out")]
    for number in (1, 2):
        for file in Path(f"out/maps/in/{number}.png").iterdir():
            file.unlink()
    first = Path("out/items.jsonl").read_bytes().splitlines(keepends=True)[0]
    Path("out/items.jsonl").write_bytes(first + b'{"torn')
    report, heard = study("in", out="out", resume=True)
    assert heard.done == ["in/1.png", "in/2.png"]
    assert report.run.counts.skipped == 1
    assert [line["results"] for line in journal("out")] == whole
    assert len(run_json("out")["results"]["inputs"]) == 3
    _, heard = study("in", out="out", resume=True)
    assert heard.records == []


def test_another_option_or_study_does_not_go_on_in_its_folder(study):
    pictures("in", 2)
    study("in", out="out")
    with pytest.raises(UsageError, match=r"doubling"):
        study("in", out="out", resume=True, doubling=Doubling(3.0))
    with pytest.raises(OutputError):
        study("in", out="out")
    report, _ = study("in", out="out", overwrite=True, doubling=Doubling(3.0))
    assert report.exit_code == 0
    assert run_json("out")["options"] == {"factor": 3.0}


def test_a_dry_run_names_what_a_run_may_write_and_opens_nothing(study):
    pictures("in", 2)

    def never(request, **options):
        raise AssertionError("opened")

    for out in (None, "out"):
        report, heard = study("in", out=out, dry_run=True, open_engine=never)
        planned = [record.files for record in heard.records]
        assert report.run.status == "planned"
        assert names() == ["in"]
        _, heard = study("in", out=out)
        for record, files in zip(heard.records, planned, strict=True):
            assert record.files.items() <= files.items()
        for path in Path().glob("*.doubling.*"):
            path.unlink()
        Path("doubling.summary.txt").unlink(missing_ok=True)


def test_a_single_input_is_a_batch_of_one_where_points_come_one_by_one(study):
    pictures("in", 2)
    doubling = Doubling()
    study("in/0.png", doubling=doubling)
    study("in", doubling=doubling)
    doubling.sequential = False
    study("in/0.png", doubling=doubling)
    assert doubling.begun == [1, 4, 4]


def test_flags_are_on_the_record_told_once_and_strict_makes_them_errors(study):
    pictures("in", 2)
    _, heard = study("in", out="out", doubling=Doubling(flags=("all-zero",)))
    assert [record.flags for record in heard.records] == [["all-zero"]] * 2
    assert len(heard.warnings) == 1
    assert run_json("out")["flags"] == {"all-zero": 2}
    report, heard = study("in", out="strict", doubling=Doubling(flags=("all-zero",)), strict=True)
    assert report.exit_code == 3
    assert {error.reason for error in heard.failed.values()} == {"all-zero"}
    assert not Path("strict/maps").exists()


def test_a_large_file_writes_itself(study):
    picture("a.png")
    study("a.png", out="small.txt")
    study("a.png", out="large.txt", doubling=Doubling(large=True))
    assert Path("small.txt").read_bytes() == Path("large.txt").read_bytes()


def test_a_finished_file_is_moved_into_its_place(here):
    Path("made").write_bytes(b"x" * 10)
    write_file(Path("deep/er/file.bin"), Path("made"))
    assert Path("deep/er/file.bin").read_bytes() == b"x" * 10
    assert not Path("made").exists()
    Path("made").write_bytes(b"y")
    with pytest.raises(OutputError):
        write_file(Path("deep/er/file.bin/below"), Path("made"))


def test_a_file_that_can_t_be_written_leaves_nothing_and_stops_the_run(study):
    picture("a.png")

    class Full(Inquiry):
        def findings(self, fed, found):
            def write(stream):
                stream.write(b"half")
                raise OSError(28, "No space left on device")

            return Findings({}, {"told": File(".txt", write)})

    doubling = Doubling()
    doubling.begin = lambda prepared: Full(doubling, prepared)
    with pytest.raises(OutputError, match="No space left"):
        study("a.png", doubling=doubling)
    assert names() == ["a.png"]


def test_a_program_that_can_t_write_stops_the_run(study):
    pictures("in", 3)

    class Full(Inquiry):
        def program(self, fed, target):
            raise OutputError("no room", reason="disk-full")
            yield

    doubling = Doubling()
    doubling.begin = lambda prepared: Full(doubling, prepared)
    with pytest.raises(OutputError, match="no room"):
        study("in", out="out", doubling=doubling)
    assert run_json("out")["status"] == "interrupted"


def test_labels_make_the_target_of_a_loss(study):
    picture("a.png")
    asked = []

    class Held(Inquiry):
        def program(self, fed, target):
            asked.append(target.truth.tolist())
            return (yield from first_look(fed.sample, self.prepared.question, target))

        def findings(self, fed, found):
            return Findings({"value": found.record.value, "loss": found.record.loss})

    doubling = Doubling()
    doubling.begin = lambda prepared: Held(doubling, prepared)
    _, heard = study("a.png", doubling=doubling, loss="mse", label="0,0,0")
    assert asked == [[0, 0, 0]]
    assert heard.records[0].results["loss"] == "mse"


def test_the_top_class_is_found_on_the_way(study):
    picture("a.png")
    _, heard = study("a.png")
    (record,) = heard.records
    assert record.results["target"].index == record.prediction.index
    assert record.results["value"] == pytest.approx(record.results["target"].value)


def test_the_same_from_python(study):
    picture("a.png")
    _, heard = study("a.png")
    request = ComputeRequest("picture.keras")
    found = inquire(open_stand_in(request, single=True), "a.png", request, Doubling())
    assert found.findings.results["doubled"] == heard.records[0].results["doubled"]
    array = np.zeros((8, 8, 3), np.float32)
    assert inquire(open_stand_in(request, single=True), array, request, Doubling()).found[1] == pytest.approx(0)
    with pytest.raises(InputError):
        inquire(open_stand_in(request, single=True), array[:3], request, Doubling())


def test_the_folder_of_a_run(here):
    Path("made").mkdir()
    for out, expected in ((None, "."), ("made", "made"), ("made/x.npz", "made"), ("x.npz", ".")):
        assert folder_of(ComputeRequest("m", out=out)) == Path(expected)


def test_the_command_line_prints_json_and_lines(monkeypatch, saliency):
    from saliency_cli.studies.jacobian import Jacobians

    pictures("in", 2)
    monkeypatch.setattr(studying, "run_study", partial(studying.run_study, open_engine=open_stand_in))
    monkeypatch.setattr(Jacobians, "begin", lambda self, prepared: Inquiry(Doubling(), prepared))
    told = saliency("jacobian", "picture.keras", "in", "--json", "-o", "out")
    assert told.code == 0, told.err
    document = json.loads(told.out)
    assert document["study"] == "jacobian"
    assert [item["results"]["doubled"] for item in document["items"]] == [
        line["results"]["doubled"] for line in journal("out")
    ]
    told = saliency("jacobian", "picture.keras", "in", "--jsonl", "-o", "again")
    assert [json.loads(line)["id"] for line in told.out.splitlines()] == ["in/0.png", "in/1.png"]
    told = saliency("jacobian", "picture.keras", "in/0.png", "-o", "file.npz")
    # The stand-in writes no such file, and a pipe never gets an input for one.
    assert (told.code, told.out) == (0, ""), told.err
    told = saliency("jacobian", "picture.keras")
    assert told.code == 2
    assert "missing argument" in told.err

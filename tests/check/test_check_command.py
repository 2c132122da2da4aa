"""`saliency check` from the command line: verdicts, exit codes, baselines, reports."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PIL import Image
from run_tools import picture, pictures, tree

HEAD = "version = 1\nprofile = 'custom'\nmodel = 'picture.keras'\ninputs = ['images/*.png']\nbaseline = 'base'\n"
KEPT = "[[rule]]\nid = 'kept'\nmetric = 'grad-l2'\nmax = 0.3\n"
BROKEN = "[[rule]]\nid = 'broken'\nmetric = 'grad-l2'\nmax = 0.1\n"
WARNING = "[[rule]]\nid = 'warned'\nmetric = 'grad-l2'\nmax = 0.1\nseverity = 'warning'\n"
RELATIVE = "[[rule]]\nid = 'relative'\nmetric = 'grad-l2'\nmax-increase = 0.25\n"
ALIKE = "[[rule]]\nid = 'alike'\nmetric = 'pearson'\nmin = 0.9\n"


@pytest.fixture(autouse=True)
def images():
    """Lay out ten pictures."""
    pictures("images", 10)


def policy(*rules, head=HEAD, name="saliency.toml"):
    """Write a policy."""
    Path(name).parent.mkdir(exist_ok=True, parents=True)
    Path(name).write_text(head + "".join(rules))


def test_the_first_line_of_each_rule_is_its_verdict(saliency):
    policy(KEPT, BROKEN, WARNING)
    told = saliency("check")
    lines = told.out.splitlines()
    assert [line.split()[:2] for line in lines if line[0] != " "][:3] == [
        ["PASS", "kept"], ["FAIL", "broken"], ["WARN", "warned"],
    ]  # fmt: skip
    assert all(len(line) <= 80 for line in lines)
    assert "1 of 3 rules failed on 10 inputs" in lines[-2]
    assert lines[-1] == "change the limit: saliency.toml:10, saliency.toml:14"
    assert told.code == 1


def test_quiet_shows_what_is_broken_alone(saliency):
    policy(KEPT, BROKEN)
    assert "PASS" not in saliency("check", "-q").out
    policy(KEPT)
    told = saliency("check", "-q")
    assert (told.code, told.out, told.err) == (0, "", "")


@pytest.mark.parametrize(
    ("rules", "options", "code"),
    [
        ((KEPT,), (), 0),
        ((KEPT, BROKEN), (), 1),
        ((KEPT, BROKEN), ("--exit-zero",), 0),
        ((KEPT, BROKEN), ("--select", "kept"), 0),
        ((KEPT, BROKEN), ("--select", "kept", "--select", "broken"), 1),
        ((KEPT, WARNING), (), 0),
        ((KEPT, WARNING), ("--fail-on", "warning"), 1),
        ((KEPT, WARNING), ("--fail-on", "warning", "--exit-zero"), 0),
        ((BROKEN + "min-inputs = 11\n",), ("--exit-zero",), 2),
    ],
)
def test_the_exit_code_is_the_answer(saliency, rules, options, code):
    policy(*rules)
    told = saliency("check", *options)
    assert told.code == code, told


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--yes",), "--yes goes with --update-baseline"),
        (("--update-baseline", "--junit", "x.xml"), "--junit is about verdicts"),
        (("--update-baseline", "--select", "kept"), "--select is about verdicts"),
        (("--update-baseline", "--exit-zero"), "--exit-zero is about verdicts"),
        (("--update-baseline", "--fail-on", "warning"), "--fail-on is about verdicts"),
        (("-q", "-v"), "--quiet and --verbose exclude each other"),
        (("--select", "kep"), "did you mean 'kept'?"),
        (("none.toml",), "there is no policy 'none.toml'"),
        (("picture.keras", "nothing/*.png"), "there is no input to check: nothing matches"),
    ],
)
def test_what_makes_no_sense_is_code_2(saliency, arguments, expected):
    policy(KEPT)
    told = saliency("check", *arguments)
    assert told.code == 2, told
    assert expected in told.err


def test_an_input_that_can_t_be_read_is_code_3(saliency):
    policy(KEPT, BROKEN)
    Path("images/bad.png").write_text("no picture")
    told = saliency("check")
    assert told.code == 3
    assert "images/bad.png" in told.out
    assert saliency("check", "--exit-zero").code == 3
    record = json.loads(saliency("check", "--json").out)
    assert list(record["failed_inputs"]) == ["images/bad.png"]
    assert record["passed"] is False
    assert [rule["n"] for rule in record["rules"]] == [10, 10]


def test_a_model_that_gives_nan_breaks_rules_and_is_no_failed_input(saliency):
    policy(
        "[[rule]]\nid = 'r'\nmetric = 'grad-l2'\nagg = 'each'\nmax = 9\n", head=HEAD.replace("picture.k", "hole.k")
    )
    Image.new("RGB", (8, 8), "white").save("images/white.png")
    told = saliency("check", "--json")
    assert told.code == 1, told
    (rule,) = json.loads(told.out)["rules"]
    assert (rule["failures"], rule["n"], rule["value"]) == (1, 11, None)
    assert "images/white.png" in rule["message"]


def test_strict_counts_flags_as_failed_inputs(saliency):
    policy("[[rule]]\nid = 'r'\nmetric = 'grad-l2'\nmax = 9\n", head=HEAD.replace("picture.k", "dead.k"))
    assert saliency("check").code == 0
    assert saliency("check", "--strict").code == 3


def test_max_failures_stops(saliency):
    policy(KEPT)
    for number in range(5):
        Path(f"images/0bad{number}.png").write_text("no picture")
    told = saliency("check", "--max-failures", "1", "--batch-size", "1")
    assert told.code != 0
    assert "stopped after" in told.err


def test_a_model_and_inputs_go_before_the_policy_s(saliency):
    policy(KEPT, head=HEAD.replace("picture.k", "nowhere.k"))
    assert saliency("check").code == 4
    assert saliency("check", "picture.keras").code == 0
    pictures("others", 8)
    record = json.loads(saliency("check", "picture.keras", "others", "--json").out)
    assert record["inputs"] == 8


def test_a_policy_without_model_or_inputs_says_so(saliency):
    policy(KEPT, head="version = 1\nprofile = 'custom'\n")
    assert "names no model" in saliency("check").err
    assert "names no inputs" in saliency("check", "picture.keras").err
    assert saliency("check", "picture.keras", "images").code == 0


def test_how_pictures_are_prepared_must_not_be_a_guess(saliency):
    policy(KEPT, head=HEAD.replace("picture.k", "guessed.k"))
    told = saliency("check")
    assert told.code == 2
    assert "a check must not guess" in told.err
    assert 'preprocess = "unit"' in told.err
    policy(KEPT, head=HEAD.replace("picture.k", "guessed.k") + "preprocess = 'unit'\n")
    assert saliency("check").code == 0


def test_paths_are_looked_up_from_the_policy_s_folder(saliency, here):
    policy(
        KEPT,
        ALIKE,
        head=HEAD.replace("images", "../images").replace("picture.k", "../picture.k"),
        name="ci [x]/p.toml",
    )
    assert saliency("check", "ci [x]/p.toml", "--update-baseline").code == 0
    assert tree("ci [x]") == ["base/baseline.json", "base/maps.png", "p.toml"]
    assert saliency("check", "ci [x]/p.toml").code == 0


def test_a_baseline_holds_wherever_the_command_is_typed(saliency, monkeypatch, here):
    policy(KEPT, ALIKE)
    saliency("check", "--update-baseline")
    monkeypatch.chdir("images")
    picture("0.png", seed=77)
    told = saliency("check", "../saliency.toml", "../picture.keras", "--json")
    baseline = json.loads(told.out)["baseline"]
    assert baseline["matched"] == 9
    assert len(baseline["changed"]) == 1
    assert not baseline["new"]
    assert not baseline["missing"]


def test_without_a_baseline_the_command_that_makes_one_is_told(saliency):
    policy(RELATIVE)
    told = saliency("check")
    assert told.code == 2
    assert "there is no baseline in 'base'" in told.err
    assert "saliency check --update-baseline" in told.err
    assert tree(".") == [f"images/{n}.png" for n in range(10)] + ["saliency.toml"]
    policy(KEPT, RELATIVE)
    assert saliency("check", "--select", "kept").code == 0


def test_an_update_shows_what_it_changes(saliency):
    policy(RELATIVE, ALIKE)
    first = saliency("check", "--update-baseline")
    assert first.code == 0
    assert "baseline of 10 inputs written to base" in first.out
    assert saliency("check").code == 0
    assert saliency("check", "louder.keras").code == 1
    picture("images/new.png", seed=50)
    Path("images/3.png").unlink()
    told = saliency("check", "saliency.toml", "louder.keras", "--update-baseline")
    row = next(line for line in told.out.splitlines() if line.startswith("grad-l2"))
    assert row.split()[1:] == ["0.197", "0.394", "+100%"]
    assert "1 added: images/new.png" in told.out
    assert "1 removed: images/3.png" in told.out
    assert saliency("check", "louder.keras").code == 0
    assert saliency("check").code == 0  # half of louder is no increase
    record = json.loads(saliency("check", "--update-baseline", "--json").out)
    assert record["schema"] == "baseline-update-1"


def test_a_build_does_not_accept_what_it_judges(saliency, monkeypatch):
    policy(RELATIVE)
    monkeypatch.setenv("CI", "true")
    told = saliency("check", "--update-baseline")
    assert told.code == 2
    assert "CI is set" in told.err
    assert not Path("base").exists()
    assert saliency("check", "--update-baseline", "--yes").code == 0
    assert Path("base/baseline.json").exists()


def test_a_baseline_without_an_input_that_failed_is_not_written(saliency):
    policy(RELATIVE)
    Path("images/bad.png").write_text("no picture")
    told = saliency("check", "--update-baseline")
    assert told.code == 3
    assert "the baseline was not written: images/bad.png" in told.err
    assert not Path("base").exists()


def test_an_update_needs_a_folder_to_write(saliency):
    policy(KEPT, head=HEAD.replace("baseline = 'base'\n", ""))
    assert "names no baseline folder" in saliency("check", "--update-baseline").err


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("[compute]\nmethod = 'smoothgrad'\n", "was made with method gradient, the policy says smoothgrad"),
        ("[compute]\nseed = 3\n", "was made with seed 0, the policy says 3"),
        ("[compute]\ntarget = '1'\n", "was made with target top, the policy says 1"),
        ("preprocess = 'unit'\n", "was made with preprocess auto, the policy says unit"),
    ],
)
def test_a_baseline_made_otherwise_is_refused(saliency, change, expected):
    policy(RELATIVE)
    saliency("check", "--update-baseline")
    policy(change, RELATIVE)
    told = saliency("check", "no-such.keras")  # before the model is opened
    assert told.code == 2
    assert expected in told.err
    assert "--update-baseline" in told.err


def test_a_model_that_takes_other_values_is_no_comparison(saliency):
    policy(RELATIVE)
    saliency("check", "--update-baseline")
    numbers = Path("base/baseline.json")
    numbers.write_text(numbers.read_text().replace('"space": "logit"', '"space": "output"'))
    told = saliency("check")
    assert told.code == 2
    assert "was made with space output, the model now has logit" in told.err


def test_a_rule_newer_than_the_baseline_can_t_be_judged(saliency):
    policy(RELATIVE)
    saliency("check", "--update-baseline")
    policy(RELATIVE, "[[rule]]\nid = 'new'\nmetric = 'gini'\nmax-delta = 0.1\n")
    told = saliency("check")
    assert told.code == 2
    assert "holds no gini" in told.out


def test_inputs_pair_by_content_and_the_others_are_told(saliency):
    policy(RELATIVE, ALIKE)
    saliency("check", "--update-baseline")
    Path("images/0.png").rename("images/renamed.png")
    picture("images/1.png", seed=90)
    Path("images/2.png").unlink()
    picture("images/new.png", seed=91)
    told = saliency("check")
    assert told.code == 0, told
    baseline = json.loads(saliency("check", "--json").out)["baseline"]
    assert (baseline["matched"], baseline["new"]) == (8, ["images/new.png"])
    assert (baseline["changed"], baseline["missing"]) == (["images/1.png"], ["images/2.png"])
    assert "changed since the baseline was made" in told.out.replace("\n", " ")


def test_nothing_in_common_with_the_baseline_is_no_pass(saliency):
    policy(RELATIVE)
    saliency("check", "--update-baseline")
    for number in range(10):
        picture(f"images/{number}.png", seed=200 + number)
    told = saliency("check")
    assert told.code == 2
    assert "none of the 10 inputs is in the baseline" in told.out.replace("\n       ", " ")


def test_a_second_model_in_place_of_a_folder(saliency):
    policy(RELATIVE, ALIKE, head=HEAD.replace("baseline = 'base'", "baseline-model = 'picture.keras'"))
    assert saliency("check").code == 0
    record = json.loads(saliency("check", "louder.keras", "--json").out)
    assert [rule["verdict"] for rule in record["rules"]] == ["fail", "pass"]
    assert record["baseline"]["kind"] == "model"
    assert record["baseline"]["matched"] == 10


def test_a_signed_comparison_looks_at_the_second_model_s_whole_map(saliency):
    rule = "[[rule]]\nid = 'signed'\nmetric = 'cosine'\nmin = 0.9\n"
    policy(rule, head=HEAD.replace("baseline = 'base'", "baseline-model = 'picture.keras'"))
    assert saliency("check").code == 0
    assert saliency("check", "flipped.keras").code == 1
    Path("labels.csv").write_text("".join(f"images/{n}.png,{n % 2}\n" for n in range(10)))
    policy(rule, head=HEAD.replace("baseline = 'base'", "baseline-model = 'picture.keras'\nlabels = 'labels.csv'"))
    assert saliency("check").code == 0


def test_reports_are_written_where_asked(saliency):
    policy(KEPT, BROKEN, RELATIVE)
    saliency("check", "--update-baseline")
    files = ("--junit", "r/j.xml", "--markdown", "r/m.md", "--gitlab", "r/g.txt", "--metrics", "r/m.json")
    told = saliency("check", *files, "--contact-sheet", "r/c.png")
    assert told.code == 1
    assert ET.parse("r/j.xml").getroot().get("failures") == "1"
    assert "broken" in Path("r/m.md").read_text()
    assert Path("r/g.txt").read_text().endswith("# EOF\n")
    assert json.loads(Path("r/m.json").read_text())["passed"] == 0
    with Image.open("r/c.png") as image:
        assert image.size[0] > 500
    assert "r/j.xml" in told.out


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_report_that_can_t_be_written_is_code_5_and_the_verdict_is_told(saliency, more):
    policy(KEPT, BROKEN)
    told = saliency("check", "--junit", "saliency.toml/x.xml", "--markdown", "m.md", *more)
    assert told.code == 5
    assert json.loads(told.out)["passed"] is False if more else "FAIL  broken" in told.out
    assert "saliency.toml/x.xml" in told.err
    assert "--junit FILE" in told.err
    assert "-o " not in told.err
    assert Path("m.md").exists()


def test_a_summary_that_can_t_be_written_keeps_the_verdict(saliency, monkeypatch):
    policy(BROKEN)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "saliency.toml/s.md")
    told = saliency("check", "--github")
    assert told.code == 5
    assert "::error" in told.out
    assert "FAIL  broken" in told.out
    assert "GITHUB_STEP_SUMMARY" in told.err


def test_annotations_name_the_policy_as_the_repository_does(saliency, monkeypatch, here):
    policy(BROKEN, head=HEAD.replace("images", "../images").replace("picture.k", "../picture.k"), name="ci/p.toml")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(here))
    assert "::error file=ci/p.toml," in saliency("check", here / "ci/p.toml", "--github").out
    monkeypatch.chdir("ci")
    assert "::error file=ci/p.toml," in saliency("check", "p.toml", "../picture.keras", "--github").out
    monkeypatch.setenv("GITHUB_WORKSPACE", str(here / "images"))
    assert "::error file=p.toml," in saliency("check", "p.toml", "../picture.keras", "--github").out


def test_only_what_another_baseline_mends_is_accepted_by_one(saliency):
    policy(RELATIVE, BROKEN)
    saliency("check", "--update-baseline")
    told = saliency("check")
    assert "accept:" not in told.out
    assert "change the limit: saliency.toml:10" in told.out
    told = saliency("check", "louder.keras", "--select", "relative")
    assert "accept: saliency check --update-baseline" in told.out
    assert "change the limit" not in told.out


def test_github_gets_annotations_at_the_rule_s_line(saliency, monkeypatch):
    policy(KEPT, BROKEN)
    assert "::error" not in saliency("check").out
    assert "::error" in saliency("check", "--github").out
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    told = saliency("check")
    assert "::error file=saliency.toml,line=10,title=broken is not kept::" in told.out
    saliency("check")
    assert Path("summary.md").read_text().count("saliency check") == 2
    assert "::error" not in saliency("check", "--no-github").out


def test_annotations_leave_the_json_whole(saliency, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    policy(BROKEN)
    told = saliency("check", "--json")
    assert json.loads(told.out)["schema"] == "check-1"
    assert "::error" in told.err


def test_the_json_holds_the_numbers(saliency):
    policy(KEPT)
    record = json.loads(saliency("check", "--json").out)
    assert record["rules"][0]["value"] == record["metrics"]["grad-l2"]["median"]
    assert record["run"]["measured"]["grad-l2"]["options"] == {"norm": "l2"}
    assert record["policy"] == "saliency.toml"


def test_another_top_class_is_noted(saliency):
    policy(ALIKE)
    saliency("check", "--update-baseline")
    numbers = Path("base/baseline.json")
    numbers.write_text(numbers.read_text().replace('"top":0', '"top":2', 1))
    record = json.loads(saliency("check", "--json").out)
    assert "1 of 10 inputs have another top class than before (images/0.png)" in record["notes"][0]


def test_labels_are_for_classes_and_targets(saliency):
    Path("labels.csv").write_text("".join(f"images/{n}.png,{n % 2}\n" for n in range(10)))
    rule = "[[rule]]\nid = 'r'\nmetric = 'flags'\nagg = 'each'\nmax = 0\nclasses = ['1']\nmin-inputs = 5\n"
    policy(rule, head=HEAD + "labels = 'labels.csv'\n")
    record = json.loads(saliency("check", "--json").out)
    assert record["rules"][0]["n"] == 5
    policy("[compute]\ntarget = 'label'\n", KEPT, head=HEAD + "labels = 'labels.csv'\n")
    assert saliency("check").code == 0
    policy("[compute]\ntarget = 'loss'\nloss = 'mse'\n", KEPT, head=HEAD + "labels = 'labels.csv'\n")
    assert saliency("check").code in (0, 1)

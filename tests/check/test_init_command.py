"""`saliency init`: what it writes is kept by the model it was written from."""

import tomllib
from pathlib import Path

import pytest
from run_tools import picture, pictures, tree

from saliency_cli.errors import UsageError
from saliency_cli.runs.check.held import Held
from saliency_cli.runs.check.init import gathered
from saliency_cli.runs.check.policy import FLAGS, Rule
from saliency_cli.runs.check.proposing import proposed, rounded


@pytest.mark.parametrize("profile", ["finetune", "reexport", "retrain"])
def test_what_init_writes_is_kept(saliency, profile):
    pictures("images", 10)
    told = saliency("init", "picture.keras", "images", "--profile", profile)
    assert told.code == 0, told
    assert told.out.split() == ["saliency.toml", "saliency-baseline"]
    policy = tomllib.loads(Path("saliency.toml").read_text())
    assert (policy["profile"], policy["model"], policy["inputs"]) == (profile, "picture.keras", ["images"])
    assert saliency("check").code == 0
    assert saliency("check", "louder.keras").code == 1


def test_every_rule_says_what_it_is_for(saliency):
    pictures("images", 10)
    saliency("init", "picture.keras", "images")
    lines = Path("saliency.toml").read_text().splitlines()
    rules = [number for number, line in enumerate(lines) if line == "[[rule]]"]
    assert rules
    assert all(lines[number + 1].startswith("# ") for number in rules)
    assert max(map(len, lines)) <= 120


def test_few_inputs_are_few_in_the_policy(saliency):
    pictures("images", 3)
    told = saliency("init", "picture.keras", "images", "--profile", "retrain")
    assert told.code == 0, told
    assert tomllib.loads(Path("saliency.toml").read_text())["min-inputs"] == 2
    assert saliency("check").code == 0


def test_a_rule_that_could_never_fail_is_not_written(saliency):
    pictures("images", 10)
    told = saliency("init", "dead.keras", "images", "--profile", "retrain")
    assert told.code == 2, told
    assert "10 of 10 inputs have nonzero beyond min = 1" in told.err
    assert tree(".") == [f"images/{n}.png" for n in range(10)]


def judged(count, flagged):
    return [
        Held(f"{n}.png", f"k{n}", {FLAGS: float(n < flagged)}, notes={FLAGS: "noisy" if n < flagged else ""})
        for n in range(count)
    ]


TRUSTED = Rule(id="maps-can-be-trusted", metric=FLAGS, label=FLAGS, agg="each", max=0.0)


@pytest.mark.parametrize(("count", "flagged"), [(8, 0), (8, 2), (4, 1), (9, 2)])
def test_a_quarter_of_the_inputs_may_break_a_rule_today(count, flagged):
    (rule,) = proposed([TRUSTED], judged(count, flagged), "gradient")
    assert rule.allow_failures == flagged


@pytest.mark.parametrize(("count", "flagged"), [(6, 6), (8, 3), (3, 1)])
def test_more_than_a_quarter_are_told_with_their_flag(count, flagged):
    with pytest.raises(UsageError, match=rf"{flagged} of {count} inputs have .*: noisy \({flagged}\)") as told:
        proposed([TRUSTED], judged(count, flagged), "smoothgrad")
    assert "--profile retrain" in told.value.hint
    assert "lower noise" in told.value.hint
    with pytest.raises(UsageError) as told:
        proposed([TRUSTED], judged(count, flagged), "gradient")
    assert "--profile" not in told.value.hint


def test_one_deleted_picture_is_no_error(saliency):
    pictures("images", 6)
    saliency("init", "picture.keras", "images")
    Path("images/3.png").unlink()
    assert saliency("check").code == 0


def test_nothing_is_replaced_unasked(saliency):
    pictures("images", 8)
    saliency("init", "picture.keras", "images")
    before = Path("saliency.toml").read_bytes()
    told = saliency("init", "louder.keras", "images")
    assert told.code == 5
    assert "'saliency.toml' is there already" in told.err
    assert Path("saliency.toml").read_bytes() == before
    assert saliency("init", "louder.keras", "images", "--overwrite").code == 0
    assert saliency("check").code == 0
    Path("saliency.toml").unlink()
    assert saliency("init", "picture.keras", "images").code == 5


def test_a_guess_is_no_policy(saliency):
    pictures("images", 8)
    told = saliency("init", "guessed.keras", "images")
    assert told.code == 2
    assert "--preprocess unit" in told.err
    assert tree(".") == [f"images/{n}.png" for n in range(8)]
    assert saliency("init", "guessed.keras", "images", "--preprocess", "unit").code == 0
    assert saliency("check").code == 0


def test_a_bad_input_is_told_and_nothing_written(saliency):
    pictures("images", 8)
    Path("images/bad.png").write_text("no picture")
    assert saliency("init", "picture.keras", "images").code == 3
    assert not Path("saliency.toml").exists()
    assert not Path("saliency-baseline").exists()


def test_a_policy_elsewhere_names_its_files_from_there(saliency):
    pictures("images", 8)
    Path("ci").mkdir()
    told = saliency("init", "picture.keras", "images", "-o", "ci/prod.toml")
    assert told.code == 0, told
    assert tree("ci") == ["prod-baseline/baseline.json", "prod-baseline/maps.png", "prod.toml"]
    assert saliency("check", "ci/prod.toml").code == 0


def test_a_table_s_model_gets_the_rules_it_can_keep(saliency):
    for number in range(8):
        import numpy as np

        np.save(f"{number}.npy", np.random.default_rng(number).random(4, np.float32))
    told = saliency("init", "table.keras", *(f"{number}.npy" for number in range(8)))
    assert told.code == 0, told
    policy = tomllib.loads(Path("saliency.toml").read_text())
    assert "flip-radius-linf" not in {rule["metric"] for rule in policy["rule"]}
    assert policy["inputs"] == ["*.npy"]
    assert saliency("check").code == 0


def test_labels_make_the_target(saliency):
    pictures("images", 8)
    Path("labels.csv").write_text("".join(f"images/{n}.png,{n % 2}\n" for n in range(8)))
    told = saliency("init", "picture.keras", "images", "--labels", "labels.csv", "--target", "label")
    assert told.code == 0, told
    assert saliency("check").code == 0


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_a_workflow_is_printed_and_nothing_else(saliency, kind):
    told = saliency("init", f"--{kind}")
    assert told.code == 0
    assert "saliency check saliency.toml" in told.out
    assert tree(".") == []
    assert saliency("init", f"--{kind}", "-o", "ci/p.toml").out.count("ci/p.toml")
    assert saliency("init", f"--{kind}", "model.keras").code == 2


def test_the_workflow_s_command_is_one_that_runs(saliency):
    import re
    import shlex

    pictures("images", 8)
    saliency("init", "picture.keras", "images")
    for kind in ("github", "gitlab"):
        text = saliency("init", f"--{kind}").out
        command = (
            re.search(r"saliency check (?:.|\n +--)*", text)[0].split("\n      - uses")[0].split("\n  artifacts")[0]
        )
        told = saliency(*shlex.split(command)[1:])
        assert told.code == 0, told
        assert Path("saliency-report/junit.xml").exists()


def test_what_is_missing_is_told(saliency):
    assert saliency("init").code == 2
    assert saliency("init", "picture.keras").code == 2
    assert saliency("init", "--github", "--gitlab").code == 2
    assert saliency("init", "picture.keras", "nothing").code == 2


def test_many_files_of_a_folder_are_written_as_a_pattern(here):
    names = [picture(f"images/{number}.png") for number in range(5)]
    assert gathered(names) == ["images/*.png"]
    assert gathered(names[:4]) == names[:4]
    assert gathered(names[:2]) == names[:2]


@pytest.mark.parametrize(
    ("value", "up", "expected"),
    [(0.123, False, 0.12), (0.123, True, 0.13), (0.12, False, 0.12), (0.12, True, 0.12), (1234, False, 1200),
     (-0.0123, False, -0.013), (0, False, 0), (float("inf"), True, float("inf")), (5e-9, False, 5e-9)],
)  # fmt: skip
def test_a_limit_is_a_readable_number(value, up, expected):
    assert rounded(value, up=up) == expected

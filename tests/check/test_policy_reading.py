"""A policy is read, or every mistake in it is told with its line."""

import re
import tomllib
from pathlib import Path

import pytest

from saliency_cli.errors import UsageError
from saliency_cli.runs.check.lines import Lines
from saliency_cli.runs.check.profiles import PROFILES, uncalibrated
from saliency_cli.runs.check.reading import parse_policy, read_policy

HEAD = 'version = 1\nprofile = "custom"\nmodel = "m.keras"\ninputs = ["i"]\nbaseline = "b"\n'
RULE = '[[rule]]\nid = "r"\nmetric = "gini"\n'


def parsed(text):
    return parse_policy(text, Path("p.toml"))


def mistakes(text):
    with pytest.raises(UsageError) as caught:
        parsed(text)
    assert caught.value.exit_code == 2
    return [*caught.value.message.splitlines(), caught.value.hint]


def test_lines_are_those_of_keys_and_tables():
    lines = Lines(
        '# c\r\nversion = 1\ninputs = [\n  "a", # x\n]\nnote = """\n[rule]\n"""\n[compute]\noptions = {draws = 2}\n'
        '[[rule]]\nid = "a"\n[rule.options]\nk = 1\n\n[[rule]]\n"id" = \'b\'\na.b = 3\n'
    )
    assert lines.of("version") == 2
    assert lines.of("inputs") == 3
    assert lines.of("compute", "options", "draws") == 10
    assert lines.of("rule", 0, "options", "k") == 14
    assert lines.of("rule", 1) == 16
    assert lines.of("rule", 1, "id") == 17
    assert lines.of("rule", 1, "a", "b") == 18
    assert lines.of("rule", 1, "agg") == 16
    assert lines.of("nothing") == 1


WRONG = tomllib.loads(Path(__file__).with_name("wrong_policies.toml").read_text())


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_told_with_its_line(name):
    expected = WRONG[name]["told"]
    told = mistakes(WRONG[name]["policy"].replace("@HEAD\n", HEAD))
    assert len(told) == len(expected), told
    for line, pattern in zip(told, expected, strict=True):
        assert re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), line), f"{line!r} is not {pattern!r}"


def test_no_policy_says_how_to_get_one():
    with pytest.raises(UsageError, match=r"there is no policy 'p.toml'") as caught:
        read_policy(Path("p.toml"))
    assert "saliency init" in caught.value.hint


def test_a_policy_that_is_no_text():
    Path("p.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        read_policy(Path("p.toml"))


def test_a_mark_at_the_beginning_is_read_over():
    Path("p.toml").write_text("﻿" + HEAD + RULE + "min = 0.1")
    assert read_policy(Path("p.toml")).rules[0].line == 6


def test_a_profile_s_rules_apply_and_those_of_the_same_id_are_replaced():
    head = 'version = 1\nprofile = "finetune"\nbaseline = "b"\n'
    policy = parsed(head + '[[rule]]\nid = "same-evidence"\nmetric = "pearson"\nmin = 0.9\n' + RULE + "min = 0.1")
    profile = [rule.id for rule in PROFILES["finetune"].rules]
    assert [rule.id for rule in policy.rules] == [*profile, "r"]
    by_id = {rule.id: rule for rule in policy.rules}
    assert by_id["same-evidence"].min == 0.9
    assert by_id["same-evidence"].line == 4
    assert by_id["same-top-places"].of_profile
    assert by_id["same-top-places"].line == 2
    assert (policy.compute.method, policy.compute.options) == ("smoothgrad", {"draws": 16, "noise": 0.1})
    assert uncalibrated(policy) == ""


def test_limits_found_with_another_method_are_noted():
    text = 'version = 1\nprofile = "finetune"\nbaseline = "b"\n[compute]\nmethod = "gradient"\n'
    assert "calibrated with smoothgrad" in uncalibrated(parsed(text))
    assert "calibrated" not in uncalibrated(parsed(text.replace("finetune", "retrain")))


def test_options_of_the_profile_s_method_can_be_changed_alone():
    text = 'version = 1\nprofile = "finetune"\nbaseline = "b"\n[compute]\noptions = {draws = 4}\n'
    policy = parsed(text)
    assert policy.compute.options == {"draws": 4, "noise": 0.1}
    assert "calibrated" in uncalibrated(policy)


@pytest.mark.parametrize("written", ["k = 0.1", "options = { k = 0.1 }", "[rule.options]\nk = 0.1"])
def test_a_metric_s_option_may_stand_in_the_rule(written):
    text = HEAD + '[[rule]]\nid = "r"\nmetric = "topk_intersection"\nmin = 0.5\n' + written
    (rule,) = parsed(text).rules
    assert rule.label == "topk-intersection:k=0.1"
    assert rule.metric == "topk-intersection"


def test_paths_are_looked_up_from_the_policy():
    policy = parse_policy(HEAD + RULE + "min = 0.1", Path("ci/p.toml"))
    assert policy.place(policy.model) == "ci/m.keras"

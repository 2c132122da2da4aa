import re
import shlex

from check_records import EMPTY, NASTY, UNUSUAL, check, example, many, rule
from hypothesis import given

from saliency_cli.reports import gitlab
from saliency_cli.reports.plaintext import one_line

EXAMPLE = """\
# TYPE saliency_rule_value gauge
# HELP saliency_rule_value What was measured for a rule.
saliency_rule_value{rule="sensitivity-not-up"} 4.91
saliency_rule_value{rule="looks-at-object"} 0.02
saliency_rule_value{rule="same-evidence"} 0.8499
saliency_rule_value{rule="maps-are-finite"} 1
saliency_rule_value{rule="object"} NaN
# TYPE saliency_rule_limit gauge
# HELP saliency_rule_limit What a rule's value is held to.
saliency_rule_limit{rule="sensitivity-not-up"} 4.41
saliency_rule_limit{rule="looks-at-object"} 0.1
saliency_rule_limit{rule="same-evidence"} 0.85
saliency_rule_limit{rule="maps-are-finite"} 1
# TYPE saliency_rules gauge
# HELP saliency_rules Rules by verdict.
saliency_rules{verdict="pass"} 1
saliency_rules{verdict="warning"} 1
saliency_rules{verdict="fail"} 2
saliency_rules{verdict="error"} 1
# TYPE saliency_inputs gauge
# HELP saliency_inputs Inputs measured.
saliency_inputs 64
# TYPE saliency_failed_inputs gauge
# HELP saliency_failed_inputs Inputs not measured.
saliency_failed_inputs 1
# EOF
"""
SAMPLE = re.compile(
    r'[a-z_]+(?:\{[a-z]+="((?:[^"\\\n]|\\["\\n])*)"\})? (?:NaN|[+-]Inf|-?[0-9.]+(?:e[+-][0-9]+)?)', re.ASCII
)


def samples(text):
    """Read the report as OpenMetrics has it and as GitLab does: cut at number signs, then split as a shell would."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""]
    found = {}
    for line in lines[:-2]:
        if line.startswith("# "):
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        name, value = shlex.split(re.sub("#.*$", "", line))
        assert name not in found
        found[name] = value
        if match[1] is not None:
            label = re.sub(r"\\(.)", r"\1", match[1])
            assert name == f"{name.partition('{')[0]}{{{name.partition('{')[2].partition('=')[0]}={label}}}"
    return found


def test_a_check_of_everything():
    assert gitlab.encode(example()) == EXAMPLE
    assert samples(EXAMPLE)["saliency_rule_value{rule=sensitivity-not-up}"] == "4.91"


def test_noise_in_the_seventh_digit_is_no_change():
    texts = {gitlab.encode(check(rule(value=value))) for value in (4.9100001, 4.9099999)}
    assert len(texts) == 1


def test_empty_unusual_and_many():
    assert samples(gitlab.encode(EMPTY))["saliency_rules{verdict=pass}"] == "0"
    found = samples(gitlab.encode(UNUSUAL))
    assert found["saliency_rule_value{rule=größe-日本}"] == "NaN"
    assert "saliency_rule_limit{rule=größe-日本}" not in found
    assert "saliency_rule_value{rule=same (min)}" in found
    infinite = samples(gitlab.encode(check(rule("a", value=float("inf")), rule("b", value=float("-inf")))))
    assert infinite["saliency_rule_value{rule=a}"] == "+Inf"
    assert infinite["saliency_rule_value{rule=b}"] == "-Inf"
    assert len(samples(gitlab.encode(many(500)))) == 1006


@given(NASTY)
def test_any_id_reaches_gitlab(name):
    found = samples(gitlab.encode(check(rule(name, value=2.0))))
    assert found[f"saliency_rule_value{{rule={(one_line(name) or 'rule').replace('#', '＃')}}}"] == "2"

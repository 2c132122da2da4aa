import re
from xml.etree import ElementTree as ET

import pytest
from check_records import CLEAN, EMPTY, NASTY, UNUSUAL, check, example, many, rule
from hypothesis import given

from saliency_cli.reports import junit
from saliency_cli.reports.plaintext import one_line
from saliency_cli.verdicts import WorstRecord

EXAMPLE = """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="saliency" tests="5" failures="2" errors="1" time="4.200">
  <testsuite name="saliency.toml" tests="5" failures="2" errors="1" skipped="0" time="4.200" \
timestamp="2026-11-21T05:00:00Z">
    <properties>
      <property name="provenance.1" value="saliency 0.1.0" />
      <property name="provenance.2" value="model models/current.keras (weights 0123456789ab)" />
      <property name="provenance.3" value="smoothgrad" />
      <property name="provenance.4" value="policy saliency.toml" />
      <property name="provenance.5" value="profile finetune" />
      <property name="provenance.6" value="2026-11-21T05:00:00Z" />
    </properties>
    <testcase classname="saliency.toml" name="sensitivity-not-up" time="0.840">
      <failure type="max-increase" message="loss_grad_l2 median is 4.91, must be &lt;= 4.41; baseline 3.53 +25%; \
changed by +39.1%; 95% interval [4.60, 5.20]">loss_grad_l2 median is 4.91, must be &lt;= 4.41; baseline 3.53 +25%; \
changed by +39.1%; 95% interval [4.60, 5.20]
worst: ci/017.png: 11.2 (was 3.00)
worst: ci/044.png: 9.80</failure>
    </testcase>
    <testcase classname="saliency.toml" name="looks-at-object" time="0.840">
      <failure type="min" message="worst mass_in_mask is 0.0200, must be &gt;= 0.100; 3 of 64 inputs break it, \
1 allowed">worst mass_in_mask is 0.0200, must be &gt;= 0.100; 3 of 64 inputs break it, 1 allowed
worst: ci/017.png: 0.0200</failure>
    </testcase>
    <testcase classname="saliency.toml" name="same-evidence" time="0.840">
      <system-out>warning: pearson median is 0.8499, must be &gt;= 0.8500
worst: ci/nan.png: is NaN</system-out>
    </testcase>
    <testcase classname="saliency.toml" name="maps-are-finite" time="0.840" />
    <testcase classname="saliency.toml" name="object" time="0.840">
      <error type="min" message="no input has a mask">no input has a mask
name their folder: masks = "ci/masks"</error>
    </testcase>
    <system-out>ci/baseline: 60 matched, 1 new, 1 changed
the baseline was made with TensorFlow 2.20</system-out>
    <system-err>not measured: ci/bad.png: not a picture</system-err>
  </testsuite>
</testsuites>
"""

# What Jenkins's schema (junit-10.xsd of its xUnit plug-in) lets an element hold: its attributes, of which
# those with an asterisk must be there, and its children.
SCHEMA = {
    "testsuites": ("name time tests failures errors", "testsuite"),
    "testsuite": (
        "name* tests* failures* errors* group time skipped timestamp hostname id package file log url",
        "testsuite properties testcase system-out system-err",
    ),
    "properties": ("", "property"),
    "property": ("name* value*", ""),
    "testcase": ("name* time classname group", "skipped error failure system-out system-err"),
    "failure": ("type message", ""),
    "error": ("type message", ""),
    "skipped": ("type message", ""),
    "system-out": ("", ""),
    "system-err": ("", ""),
}
TIME = re.compile(r"[0-9]+\.[0-9]{3}")


def valid(text):
    root = ET.fromstring(text.encode())  # encoding fails where a lone surrogate is left
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = (part.split() for part in SCHEMA[element.tag])
        assert element.attrib.keys() <= {name.rstrip("*") for name in attributes}
        assert element.attrib.keys() >= {name[:-1] for name in attributes if name.endswith("*")}
        assert {child.tag for child in element} <= {*children}
        assert TIME.fullmatch(element.get("time", "0.000"))
    for counted in (root, *root.findall("testsuite")):
        for attribute, tag in {"tests": "testcase", "failures": "failure", "errors": "error"}.items():
            assert int(counted.get(attribute)) == len([*counted.iter(tag)])
    return root


def test_a_check_of_everything():
    assert junit.encode(example()) == EXAMPLE
    valid(EXAMPLE)


def test_a_check_without_rules_fails_and_says_so():
    root = valid(junit.encode(EMPTY))
    (failure,) = root.iter("failure")
    assert failure.get("message") == "no rule was checked on 0 inputs"


def test_a_red_build_has_a_red_report():
    record = check(rule("near", "warning"), failed_inputs={"a.png": "torn"})
    root = valid(junit.encode(record))
    (failure,) = root.iter("failure")
    assert (
        failure.text
        == "0 rules kept on 8 inputs, 1 warning, 1 input could not be measured\nnot measured: a.png: torn"
    )
    record.passed = True
    assert not [*valid(junit.encode(record)).iter("failure")]


def test_a_green_build_has_a_green_report():
    root = valid(junit.encode(CLEAN))
    assert [case.get("name") for case in root.iter("testcase")] == ["kept"]
    assert not [*root.iter("failure"), *root.iter("error")]


def test_unusual_values():
    root = valid(junit.encode(UNUSUAL))
    names = [case.get("name") for case in root.iter("testcase")]
    assert names == ["größe-日本", "nan", "surrogate-�", "same (min)", "same (max)", "rule"]
    texts = "".join(root.itertext())
    assert "worst: a��[31m .png: — (was inf)" in texts


def test_the_cases_times_sum_to_the_runs():
    record = many(500)
    record.seconds = 50.0
    root = valid(junit.encode(record))
    assert sum(float(case.get("time")) for case in root.iter("testcase")) == pytest.approx(50)


@given(NASTY, NASTY, NASTY)
def test_any_text_makes_a_valid_report(name, message, policy):
    record = check(
        rule(name, worst=[WorstRecord(id=name, value=1.0, note=message)]),
        rule("unjudged", "error", message=message, hint=name),
        failed_inputs={name: message},
        notes=[message],
    )
    record.policy = policy
    root = valid(junit.encode(record))
    assert next(root.iter("testcase")).get("name") == (one_line(name) or "rule")
    assert next(root.iter("error")).get("message") == (one_line(message) or "could not be judged")

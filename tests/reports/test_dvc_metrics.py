import json

from check_records import EMPTY, NASTY, UNUSUAL, check, example, many, rule
from hypothesis import given
from hypothesis import strategies as st

from saliency_cli.records import StatisticRecord
from saliency_cli.reports import metrics
from saliency_cli.reports.plaintext import one_line


def test_a_check_of_everything():
    record = example()
    record.metrics = {
        "gradient": {"gini": StatisticRecord(mean=0.5, median=0.4, p05=None, p95=0.9, min=0.1, max=1.0, n=64)},
        "text": "no number",
        "list": [1, 2],
        "nan": float("nan"),
    }
    assert json.loads(metrics.encode(record)) == {
        "passed": 0,
        "inputs": {"measured": 64, "failed": 1},
        "verdicts": {"pass": 1, "warning": 1, "fail": 2, "error": 1},
        "rules": {
            "sensitivity-not-up": {"value": 4.91, "limit": 4.41, "baseline": 3.53, "difference": 1.38},
            "looks-at-object": {"value": 0.02, "limit": 0.1, "failures": 3},
            "same-evidence": {"value": 0.8499, "limit": 0.85},
            "maps-are-finite": {"value": 1, "limit": 1},
        },
        "metrics": {"gradient": {"gini": {"mean": 0.5, "median": 0.4, "p95": 0.9, "min": 0.1, "max": 1, "n": 64}}},
    }


def test_empty_unusual_and_many():
    assert set(json.loads(metrics.encode(EMPTY))) == {"passed", "inputs", "verdicts"}
    rules = json.loads(metrics.encode(UNUSUAL))["rules"]
    assert rules["nan"] == {"limit": 1.0}
    assert {"same (min)", "same (max)"} <= rules.keys()
    assert len(json.loads(metrics.encode(many(500)))["rules"]) == 500
    assert json.loads(metrics.encode(check(passed=True)))["passed"] == 1


def leaves(value):
    return [leaf for part in value.values() for leaf in leaves(part)] if isinstance(value, dict) else [value]


@given(NASTY, st.floats(), st.recursive(st.none() | st.floats() | st.text() | st.booleans(), st.lists, max_leaves=5))
def test_there_are_finite_numbers_and_nothing_else(name, value, anything):
    record = check(rule(name, value=value))
    record.metrics = {name.encode("utf-8", "replace").decode(): {"x": anything, "y": value}}
    text = metrics.encode(record)
    found = json.loads(text.encode(), parse_constant=lambda constant: 1 / 0)
    assert all(isinstance(leaf, int | float) for leaf in leaves(found))
    assert found["rules"][one_line(name) or "rule"]["limit"] == 1

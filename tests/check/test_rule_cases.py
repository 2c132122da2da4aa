"""Every kind of rule is kept by one model and broken by another: see `cases/README.md`."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_tools import pictures

from saliency_cli.runs.check.policy import FAMILIES
from saliency_cli.runs.needs import METRICS

CASES = {path.stem: tomllib.loads(path.read_text()) for path in Path(__file__).parent.glob("cases/*.toml")}
RUNS = [
    pytest.param(name, kind, aggregate, id=f"{name}-{aggregate}-{kind}" if aggregate else f"{name}-{kind}")
    for name, case in sorted(CASES.items())
    for aggregate in case.get("aggregates", [""])
    for kind in ("kept", "broken")
]
AGGREGATES = {"mean", "median", "p05", "p95", "min", "max", "each"}
KINDS = {
    "warning",
    "error",
    "classes",
    "allow-failures",
    "versus",
    "strict",
    "min-inputs",
    "options",
    "baseline-model",
}


@pytest.fixture
def inputs():
    """Lay out what the cases are about."""
    pictures("images", 10)
    Path("masks").mkdir()
    mask = np.zeros((9, 10), np.uint8)
    mask[:, :5] = 255
    for number in range(10):
        Image.fromarray(mask).save(f"masks/{number}.png")
    lines = [f"images/{number}.png,{number % 2}" for number in range(10)]
    Path("labels.csv").write_text("\n".join(["path,label", *lines]))


def policy(case, side, aggregate):
    """Return the text of one side's policy."""
    compared = {key: case[key] for key in ("baseline", "baseline-model") if key in case}
    if "baseline" in compared:
        compared["baseline"] = "base"
    head = "".join(f"{key} = '{value}'\n" for key, value in compared.items())
    return (
        f"version = 1\nprofile = 'custom'\nmodel = '{side.get('model', 'picture.keras')}'\ninputs = ['images']\n"
        f"{head}{case.get('head', '')}\n[[rule]]\nid = 'r'\n{side['rule']}\n"
    ).replace("@AGG", aggregate)


@pytest.mark.parametrize(("name", "kind", "aggregate"), RUNS)
def test_case(name, kind, aggregate, inputs, saliency):
    case = CASES[name]
    side = case[kind]
    Path("saliency.toml").write_text(policy(case, side, aggregate))
    if "baseline" in case:
        made = saliency("check", "saliency.toml", case["baseline"], "--update-baseline")
        assert made.code == 0, made
    told = saliency("check", "--json")
    expected = (0, "pass") if kind == "kept" else (side.get("code", 1), side.get("verdict", "fail"))
    assert told.code == expected[0], told
    record = json.loads(told.out)
    assert expected[1] in {rule["verdict"] for rule in record["rules"]}, told
    assert record["passed"] is (told.code == 0)
    assert saliency("check").code == told.code


@pytest.mark.parametrize("bound", [key for family in FAMILIES.values() for key in family])
def test_every_bound_has_a_case_with_every_aggregate(bound):
    assert any(bound in case["covers"] and set(case.get("aggregates", ())) == AGGREGATES for case in CASES.values())


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_other_key_has_a_case(kind):
    assert any(kind in case["covers"] for case in CASES.values())


@pytest.mark.parametrize("metric", METRICS.names())
def test_every_metric_has_a_case(metric):
    """A metric nobody can be held to is no use to a check: add `cases/metric-NAME.toml`."""
    assert any(metric in case["covers"] for case in CASES.values())

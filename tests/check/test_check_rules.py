"""Rules judged on inputs made by hand."""

from math import inf, nan

import numpy as np
import pytest

from saliency_cli.records import ErrorRecord, ItemRecord, MapRecord, TargetRecord
from saliency_cli.runs.check.baseline import Baseline, Before, content
from saliency_cli.runs.check.held import Held, held
from saliency_cli.runs.check.pairing import pair, warnings_of
from saliency_cli.runs.check.policy import Rule
from saliency_cli.runs.check.rules import judge
from saliency_cli.runs.measured import MeasuredItem
from saliency_cli.verdicts import BaselineRecord


def inputs(now, before=None, labels=None):
    """Return inputs with values now and, where given, before."""
    return [
        Held(
            id=f"{place}.png",
            key=f"k{place}",
            values={"m": value},
            label=labels[place] if labels else None,
            before=None
            if before is None or before[place] is None
            else Before(f"{place}.png", f"k{place}", {"m": before[place]}, np.zeros((2, 2))),
        )
        for place, value in enumerate(now)
    ]


def baseline(items=(), measured=("m",)):
    found = {entry.key: entry for entry in items}
    return Baseline("folder", "base", found, {label: {} for label in measured}, BaselineRecord(kind="folder"))


def judged(now, before=None, labels=None, pair_=False, options=None, measured=("m",), min_inputs=1, **fields):
    rule = Rule(id="r", metric="m", label="m", **fields)
    compared = baseline(measured=measured) if before is not None else None
    return judge(
        rule,
        inputs(now, before, labels),
        compared,
        pair=pair_,
        options=options or {},
        min_inputs=min_inputs,
        update="UPDATE",
    )


def test_a_kept_rule_tells_its_numbers():
    record = judged([1, 2, 3, 4], agg="mean", max=3.0)
    assert (record.verdict, record.value, record.limit, record.comparison) == ("pass", 2.5, 3.0, "<=")
    assert (record.bound, record.allowed, record.n, record.aggregate) == ("max", 3.0, 4, "mean")
    assert record.interval[0] < 2.5 < record.interval[1]
    assert record.baseline is record.change is record.difference is record.change_interval is None


def test_a_broken_rule_names_the_five_worst():
    record = judged([1, 9, 3, 8, 7, 6, 5], agg="max", max=4.0)
    assert record.verdict == "fail"
    assert [(entry.id, entry.value) for entry in record.worst] == [
        ("1.png", 9), ("3.png", 8), ("4.png", 7), ("5.png", 6), ("6.png", 5),
    ]  # fmt: skip


@pytest.mark.parametrize("aggregate", ["max", "p95", "each"])
def test_inputs_that_keep_a_broken_rule_are_not_among_its_worst(aggregate):
    record = judged([1, 9, 3, 8], agg=aggregate, max=4.0)
    assert record.verdict == "fail"
    assert [entry.id for entry in record.worst] == ["1.png", "3.png"]


def test_a_rule_that_another_baseline_may_keep_says_so():
    assert judged([1.0], agg="max", max=4.0).versus is None
    assert judged([1.0], [1.0], agg="max", max_increase=0.5).versus == "baseline"
    assert judged([1.0], [1.0], agg="max", max=4.0, pair_=True).versus == "baseline"


def test_a_warning_is_no_failure():
    assert judged([9.0], agg="max", max=4.0, severity="warning").verdict == "warning"


def test_a_change_is_of_the_aggregates():
    record = judged([2, 4, 6], [1, 2, 30], agg="median", max_increase=0.25)
    assert (record.value, record.baseline, record.difference, record.change) == (4, 2, 2, 1)
    assert (record.limit, record.verdict) == (2.5, "fail")
    assert record.change_interval is not None
    assert record.worst[0].id == "0.png"
    assert record.worst[0].baseline == 1


def test_of_two_bounds_the_broken_or_nearest_is_told():
    assert judged([1.9], agg="min", min=1.0, max=2.0).bound == "max"
    assert judged([1.1], agg="min", min=1.0, max=2.0).bound == "min"
    record = judged([0.5], [1.0], agg="min", max_increase=0.1, max_decrease=0.2)
    assert (record.bound, record.comparison, record.limit, record.verdict) == ("max-decrease", ">=", 0.8, "fail")


def test_max_delta_holds_on_both_sides():
    record = judged([3.0], [1.0], agg="max", max_delta=0.5)
    assert (record.limit, record.comparison, record.verdict) == (1.5, "<=", "fail")
    assert judged([0.4], [1.0], agg="max", max_delta=0.5).limit == 0.5


def test_each_input_is_held_and_some_may_fail():
    record = judged([1, 2, 5, 9], agg="each", max=4.0)
    assert (record.verdict, record.failures, record.n, record.value) == ("fail", 2, 4, 9)
    assert record.interval is None
    assert judged([1, 2, 5, 9], agg="each", max=4.0, allow_failures=2).verdict == "pass"
    assert judged([1, 2, 5, 9], agg="each", max=4.0, allow_failures=1).verdict == "fail"


def test_each_input_has_its_own_relative_limit():
    record = judged([10, 2.0], [9, 1.0], agg="each", max_increase=0.25)
    assert (record.failures, record.value, record.baseline, record.limit) == (1, 2, 1, 1.25)


def test_nan_fails_whatever_the_aggregate():
    for agg in ("mean", "median", "p05", "p95", "min", "max", "each"):
        for bound in ({"min": 0.0}, {"max": 9.0}):
            record = judged([1, nan, 2], agg=agg, **bound)
            assert record.verdict == "fail", (agg, bound)
            assert record.value is None
            assert "no value of m for 1.png" in record.message
            assert record.worst[0].id == "1.png"


def test_what_was_never_found_keeps_a_min():
    record = judged([0.1, inf, inf], agg="median", min=0.05)
    assert (record.verdict, record.value) == ("pass", inf)
    assert judged([0.1, inf, inf], agg="p05", min=0.15).verdict == "pass"
    assert judged([0.1, 0.1, inf], agg="median", min=0.15).verdict == "fail"


def test_without_strictness_chance_is_given_room():
    values = [0.0, 3.0] * 10
    assert judged(values, agg="mean", max=1.4).verdict == "fail"
    record = judged(values, agg="mean", max=1.4, strict=False)
    assert record.verdict == "pass"
    assert "within chance" in record.message
    assert judged([2.0, 3.0] * 10, agg="mean", max=1.4, strict=False).verdict == "fail"


def test_without_strictness_a_change_is_judged_pair_by_pair():
    before = [1.0, 100.0] * 10
    record = judged([1.3 * value for value in before], before, agg="mean", max_increase=0.25, strict=False)
    assert record.verdict == "fail"  # the values vary hundredfold, their change does not


def test_nan_is_no_chance():
    assert judged([1, nan, 2], agg="mean", max=9.0, strict=False).verdict == "fail"


def test_a_class_s_inputs_alone_are_judged():
    record = judged([1, 9, 2], labels=["cat", "dog", "cat"], agg="max", max=4.0, classes=["cat"])
    assert (record.verdict, record.n) == ("pass", 2)


def test_a_class_nobody_is_of_is_no_pass():
    record = judged([1, 9], labels=["cat", "dog"], agg="max", max=4.0, classes=["cta"])
    assert (record.verdict, record.message) == ("error", "no input is of the class 'cta'")
    assert record.hint == "did you mean 'cat'?"


def test_too_few_inputs_are_no_pass():
    record = judged([1.0] * 7, agg="mean", max=4.0, min_inputs=8)
    assert record.verdict == "error"
    assert "7 inputs are too few" in record.message
    assert judged([1.0] * 7, agg="mean", max=4.0, min_inputs=8).hint.endswith("min-inputs = 7 in the policy")


def test_a_rule_s_own_number_of_inputs_goes_before_the_policy_s():
    assert judged([1.0, 1.0], agg="mean", max=4.0, min_inputs=2).verdict == "pass"
    rule = Rule(id="r", metric="m", label="m", agg="mean", max=4.0, min_inputs=2)
    assert judge(rule, inputs([1.0, 1.0]), None, pair=False, options={}, min_inputs=8, update="").verdict == "pass"


def test_inputs_without_a_baseline_are_left_out_of_what_is_compared():
    record = judged([9, 1, 1.0], [None, 1, 1], agg="max", max_increase=0.1)
    assert (record.verdict, record.n) == ("pass", 2)
    assert judged([9, 1, 1.0], [None, 1, 1], agg="max", min=5.0).n == 3
    assert judged([9, 1, 1.0], [None, 1, 1], pair_=True, agg="max", min=0.5).n == 2


def test_no_input_of_the_baseline_is_an_error():
    record = judged([9, 1.0], [None, None], agg="max", max_increase=0.1)
    assert (record.verdict, record.hint) == ("error", "UPDATE")
    assert "none of the 2 inputs is in the baseline" in record.message


def test_a_metric_the_baseline_has_not_is_an_error():
    record = judged([1.0], [1.0], measured=("other",), agg="max", max_increase=0.1)
    assert (record.verdict, record.hint) == ("error", "UPDATE")
    assert "holds no m" in record.message


def test_a_metric_measured_otherwise_is_an_error():
    record = judged([1.0], [1.0], options={"k": 0.1}, agg="max", max_increase=0.1)
    assert (record.verdict, record.hint) == ("error", "UPDATE")
    assert "measured with no options" in record.message


def test_a_value_the_baseline_has_not_is_an_error():
    record = judged([1.0, 1.0], [1.0, nan], agg="max", max_increase=0.1)
    assert record.verdict == "error"
    assert "no value of m for 1.png" in record.message


def item(identity, key, flags=(), error="", values=None):
    maps = [MapRecord(method="gradient", target=TargetRecord(text="", output="", space="", label=""), inputs={})]
    record = ItemRecord(
        id=identity,
        status="error" if error else "ok",
        flags=list(flags),
        maps=[] if error else maps,
        error=ErrorRecord(reason=error, message=f"it is {error}") if error else None,
    )
    return MeasuredItem(record, key, values=values or {})


def test_an_unreadable_file_is_left_out_and_a_model_s_nan_is_judged():
    judged_, failed = held(
        [
            item("a", "1", ["constant", "stochastic"], values={"m": 1.0}),
            item("b", "2", error="truncated"),
            item("c", "3", error="non-finite-gradient", values={"m": nan, "finite": 0.0}),
        ]
    )
    assert failed == {"b": "it is truncated"}
    assert [entry.id for entry in judged_] == ["a", "c"]
    assert judged_[0].value("flags") == 2
    assert judged_[0].note("flags") == "constant, stochastic"
    assert judged_[1].value("flags") == 1
    assert judged_[1].value("finite") == 0
    assert judged_[1].note("m") == "it is non-finite-gradient"


def test_inputs_pair_by_content(tmp_path):
    old = [Before(name, key, {}, np.zeros((1, 1))) for name, key in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]]
    now = [Held(name, key, {}) for name, key in [("a", "1"), ("renamed", "2"), ("c", "changed"), ("e", "5")]]
    paired = pair(now, baseline(old), tmp_path, ["x"])
    assert [entry.before.id if entry.before else None for entry in paired.held] == ["a", "b", None, None]
    record = paired.record
    assert (record.matched, record.new, record.changed, record.missing) == (2, ["e"], ["c"], ["d"])
    assert len(warnings_of(record)) == 3


def test_an_input_that_failed_is_not_missing(tmp_path):
    old = [Before("a", "1", {}, np.zeros((1, 1)))]
    assert pair([], baseline(old), tmp_path, ["a"]).record.missing == []


def test_a_model_s_only_input_may_be_called_otherwise():
    first, second = (f"{name}={'ab' * 32}#3" for name in ("x", "serving_default_x"))
    assert content(first) == content(second) == "ab" * 32 + "#3"
    two = f"a={'ab' * 32}+b={'cd' * 32}"
    assert content(two) == two


@pytest.mark.parametrize("inside", [True, False])
def test_an_id_is_written_from_the_policy_s_folder(tmp_path, monkeypatch, inside):
    from saliency_cli.runs.check.baseline import portable
    from saliency_cli.runs.sources import identify

    (tmp_path / "p" / "i").mkdir(parents=True)
    (tmp_path / "p" / "i" / "a.png").touch()
    monkeypatch.chdir(tmp_path / "p" / "i" if inside else tmp_path)
    identity = identify(str(tmp_path / "p" / "i" / "a.png"))
    assert portable(f"{identity}#2", tmp_path / "p") == "i/a.png#2"
    assert portable("elsewhere.png", tmp_path / "p") == "elsewhere.png"

import math

import pytest
from check_records import CLEAN, EMPTY, UNUSUAL, check, example, rule
from hypothesis import given
from hypothesis import strategies as st

from saliency_cli.reports import wording
from saliency_cli.reports.numerals import apart, interval, number, percent, signed
from saliency_cli.reports.plaintext import cells, clean, one_line, pad, shorten
from saliency_cli.verdicts import WorstRecord


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.931, "0.931"),
        (4.9149, "4.91"),
        (11.24, "11.2"),
        (1.0, "1.00"),
        (0.9996, "1.00"),
        (999.6, "1000"),
        (1234.4, "1234"),
        (999_999.7, "1.00e+06"),
        (2.5e9, "2.50e+09"),
        (0.00012345, "0.000123"),
        (0.000012, "1.20e-05"),
        (-3.53, "-3.53"),
        (0.0, "0"),
        (-0.0, "-0"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (None, "—"),
    ],
)
def test_a_number_has_three_digits(value, text):
    assert number(value) == text


@given(st.floats(-1e300, 1e300))
def test_a_number_reads_back_within_half_a_percent(value):
    assert float(number(value)) == pytest.approx(value, rel=5.1e-3, abs=5e-324)
    assert len(number(value)) <= 10


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_two_numbers_look_different_exactly_where_they_are(first, second):
    texts = apart(first, second)
    assert (texts[0] == texts[1]) == (number(first) == number(second) if first == second else False)


def test_small_numerals():
    assert apart(0.8499, 0.85) == ("0.8499", "0.8500")
    assert interval((4.6, 5.2)) == "[4.60, 5.20]"
    assert interval(None) == "—"
    assert (percent(0.391), percent(-0.25), percent(0.0), percent(None)) == ("+39.1%", "-25.0%", "0%", "—")
    assert (signed(1.38), signed(-1.0), signed(math.nan), signed(math.inf)) == ("+1.38", "-1.00", "nan", "+inf")


@given(st.text(st.characters(exclude_categories=())))
def test_one_line_is_printable_and_stays_itself(text):
    line = one_line(text)
    assert line.isprintable()
    line.encode()  # no lone surrogates are left
    assert one_line(line) == line


def test_cleaning():
    assert clean("a\x1b[31mb\udc80\u202ec") == "a�[31mb��c"
    assert clean("a\nb\tc", "\n\t") == "a\nb\tc"
    assert clean("at 9.41\u202fPM\xa0日é") == "at 9.41 PM 日é"
    assert one_line("a\r\nb\tc") == "a b c"


@given(st.text(), st.integers(1, 40))
def test_shortened_text_fits_and_padded_text_fills(text, width):
    assert cells(shorten(text, width)) <= width
    assert cells(pad(text, width)) == width
    assert shorten(text, width) == text or cells(text) > width


def test_the_end_of_a_long_name_is_kept():
    assert shorten("ci/images/a-folder/017.png", 13) == "ci/ima…17.png"
    assert shorten("日本語の画像.png", 9) == "日本….png"


def test_names_are_one_line_and_differ():
    assert wording.names(UNUSUAL.rules) == ["größe-日本", "nan", "surrogate-�", "same (min)", "same (max)", "rule"]
    assert wording.names([rule("a"), rule("a"), rule("a\n")]) == ["a (max)", "a (max) (2)", "a"]


def test_headlines():
    assert wording.headline(example()) == (
        "2 of 5 rules failed on 64 inputs, 1 rule could not be judged, 1 warning, 1 input could not be measured"
    )
    assert wording.headline(CLEAN) == "1 rule kept on 8 inputs"
    assert wording.headline(EMPTY) == "no rule was checked on 0 inputs"
    assert (
        wording.headline(check(rule(verdict="pass"), rule(verdict="warning"))) == "1 rule kept on 8 inputs, 1 warning"
    )


def test_a_failure_without_a_broken_rule_is_unexplained():
    assert wording.unexplained(check(rule(verdict="warning")))
    assert wording.unexplained(EMPTY)
    assert not wording.unexplained(check(rule(verdict="error")))
    assert not wording.unexplained(CLEAN)


def test_sentences():
    relative, each, near, kept, unjudged = example().rules
    assert wording.sentence(relative) == (
        "loss_grad_l2 median is 4.91, must be <= 4.41; baseline 3.53 +25%; changed by +39.1%; "
        "95% interval [4.60, 5.20]"
    )
    assert wording.sentence(each) == (
        "worst mass_in_mask is 0.0200, must be >= 0.100; 3 of 64 inputs break it, 1 allowed"
    )
    assert wording.sentence(near) == "pearson median is 0.8499, must be >= 0.8500"
    assert wording.sentence(kept) == "finite min is 1.00, must be >= 1.00"
    assert wording.sentence(unjudged) == "no input has a mask"
    assert (
        wording.sentence(rule(value=None, message="all NaN")) == "gini median has no value, must be <= 1.00; all NaN"
    )


def test_where_a_limit_comes_from():
    assert wording.origin(rule(bound="max-increase", allowed=0.125, baseline=2.0)) == "baseline 2.00 +12.5%"
    assert wording.origin(rule(bound="max-decrease", allowed=0.25, baseline=2.0)) == "baseline 2.00 -25%"
    assert wording.origin(rule(bound="max-delta", allowed=0.1, baseline=2.0)) == "baseline 2.00 ±0.1"
    assert wording.origin(rule(bound="max", baseline=2.0)) == "baseline 2.00"
    assert wording.origin(rule()) == ""


def test_worst_values():
    assert wording.worst(WorstRecord(id="a", value=11.2, baseline=3.0)) == "11.2 (was 3.00)"
    assert wording.worst(WorstRecord(id="a", value=None, note="is NaN", baseline=3.0)) == "is NaN (was 3.00)"
    assert wording.worst(WorstRecord(id="a", value=0.5, note="> 0.06")) == "0.500 > 0.06"
    assert wording.worst(WorstRecord(id="a", value=None)) == "—"


def test_what_to_type_next():
    record = example()
    assert wording.next_step(record) == "saliency check --update-baseline"
    record.policy = "ci/my policy.toml"
    assert wording.next_step(record) == "saliency check 'ci/my policy.toml' --update-baseline"
    for judged in record.rules[:3]:
        judged.verdict = "pass"
    assert wording.next_step(record) == ""
    record = example()
    record.baseline.kind = "model"
    assert wording.next_step(record) == ""


def test_pairing_and_provenance():
    assert wording.pairing(example()) == "ci/baseline: 60 matched, 1 new, 1 changed"
    assert wording.pairing(EMPTY) == ""
    assert wording.provenance(example()) == [
        "saliency 0.1.0",
        "model models/current.keras (weights 0123456789ab)",
        "smoothgrad",
        "policy saliency.toml",
        "profile finetune",
        "2026-11-21T05:00:00Z",
    ]
    assert wording.provenance(EMPTY) == []

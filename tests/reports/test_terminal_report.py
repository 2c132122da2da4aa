from check_records import CLEAN, EMPTY, NASTY, UNUSUAL, check, example, many, rule
from hypothesis import given
from hypothesis import strategies as st

from saliency_cli.reports import markdown, terminal
from saliency_cli.reports.plaintext import cells
from saliency_cli.verdicts import WorstRecord

NARROW = """\
FAIL   sensitivity-not-up  loss_grad_l2 median  4.91    <= 4.41
       (baseline 3.53 +25%) +39.1% [4.60, 5.20]
       worst: ci/017.png 11.2 (was 3.00)   ci/044.png 9.80
FAIL   looks-at-object     mass_in_mask each    0.0200  >= 0.100
       3 of 64 inputs break it, 1 allowed
       worst: ci/017.png 0.0200
WARN   same-evidence       pearson median       0.8499  >= 0.8500
       worst: ci/nan.png is NaN
PASS   maps-are-finite     finite min           1.00    >= 1.00
ERROR  object              rank_in_mask mean
       no input has a mask
       name their folder: masks = "ci/masks"
1 input could not be measured:
       ci/bad.png: not a picture
baseline ci/baseline: 60 matched, 1 new, 1 changed
note: the baseline was made with TensorFlow 2.20
2 of 5 rules failed on 64 inputs, 1 rule could not be judged, 1 warning, 1 input
could not be measured.
report: out/report.html
accept: saliency check --update-baseline"""


def text(rows):
    return "\n".join(row.text for row in rows)


def test_eighty_columns():
    found = terminal.rows(example(), 80, "out/report.html")
    assert text(found) == NARROW
    assert [row.style for row in found] == (
        ["fail"] * 6
        + ["warning"] * 2
        + ["pass"]
        + ["error"] * 3
        + ["warning"] * 2
        + ["plain"] * 2
        + ["error"]
        + ["plain"] * 3
    )


def test_a_wide_terminal_has_it_all_on_one_line():
    lines = text(terminal.rows(example(), 120)).splitlines()
    assert lines[0] == (
        "FAIL   sensitivity-not-up  loss_grad_l2 median  4.91    <= 4.41    "
        "(baseline 3.53 +25%)  +39.1%  [4.60, 5.20]"
    )
    assert lines[6] == "PASS   maps-are-finite     finite min           1.00    >= 1.00    64 inputs"


def test_a_clean_check_ends_on_one_line():
    assert [(row.text, row.style) for row in terminal.rows(CLEAN)] == [
        ("PASS  kept  gini median  0.500  <= 1.00  8 inputs", "pass"),
        ("1 rule kept on 8 inputs.", "pass"),
    ]


def test_a_rule_that_was_nearly_broken_says_so():
    row = terminal.rows(check(rule("near", "pass", message="kept within chance"), passed=True))[1]
    assert row == ("       kept within chance", "pass")


def test_the_last_line_has_the_gravest_style():
    assert terminal.rows(EMPTY)[-1] == ("no rule was checked on 0 inputs.", "fail")
    assert terminal.rows(check(rule("near", "warning"), passed=True))[-1].style == "warning"
    assert terminal.rows(check(rule("near", "warning")))[-1].style == "fail"
    assert terminal.rows(check(rule()))[-1].style == "fail"


def test_what_to_type_next_stands_at_the_end():
    record = check(rule(baseline=1.0, versus="baseline"))
    record.baseline.kind = "folder"
    assert (
        terminal.rows(record)[-1].text == "1 of 1 rule failed on 8 inputs.  accept: saliency check --update-baseline"
    )


def test_a_broken_limit_of_its_own_is_named_by_its_line():
    record = check(rule(line=12))
    record.baseline.kind = "folder"
    assert terminal.rows(record)[-1].text == "1 of 1 rule failed on 8 inputs.  change the limit: saliency.toml:12"


def test_allowed_failures_do_not_contradict_the_verdict():
    kept = rule("flagged", "pass", metric="flags", aggregate="each", limit=0.0, failures=2, allowed_failures=2)
    assert terminal.rows(check(kept, passed=True))[0].text == ("PASS  flagged  flags each  2 of 8  over 0  2 allowed")
    assert terminal.rows(check(kept, passed=True), 48)[1].text == "       2 of 8 inputs break it, 2 allowed"
    assert " | 2 of 8 | over 0 | " in markdown.encode(check(kept, passed=True))


def test_why_an_input_failed_is_told_whole():
    message = "the picture can't be read: it is torn after 1,024 bytes, see " + "folder/" * 20
    lines = text(terminal.rows(check(failed_inputs={"ci/bad.png": message}), 60)).splitlines()
    told = [line for line in lines[1:] if line.startswith("       ")]
    assert "…" not in "".join(told)
    assert "".join("".join(told).split()) == "".join(f"ci/bad.png: {message}".split())


def test_long_ids_lose_their_middle_and_numbers_nothing():
    long = "a-rule-with-a-name-that-is-much-too-long-for-any-terminal-to-hold-1"
    row = terminal.rows(check(rule(long, metric="a-metric(with=options,and=more-of-them)")), 80)[0].text
    assert cells(row) == 80
    assert row.startswith("FAIL  a-rule-with-")
    assert row.endswith("-to-hold-1  a-metric(with=…f-them) median  2.00  <= 1.00") or "…" in row
    assert row.split("  ")[-2:] == ["2.00", "<= 1.00"]


def test_as_many_worst_inputs_as_fit():
    worst = [WorstRecord(id=f"ci/images/{number:03}.png", value=1.0) for number in range(9)]
    lines = text(terminal.rows(check(rule(worst=worst)), 64)).splitlines()
    assert lines[1] == "       worst: ci/images/000.png 1.00   ci/images/001.png 1.00"
    assert text(terminal.rows(check(rule(worst=worst)), 200)).count("ci/images/") == 3
    lone = [WorstRecord(id="x" * 100, value=1.0)]
    line = text(terminal.rows(check(rule(worst=lone)), 40)).splitlines()[1]
    assert cells(line) <= 40
    assert line.endswith("x 1.00")
    assert "x…x" in line


def test_many_inputs_that_failed_are_counted():
    record = check(passed=True, failed_inputs={f"{number}.png": "torn" for number in range(12)})
    assert text(terminal.rows(record)).splitlines() == [
        "12 inputs could not be measured:",
        "       0.png: torn",
        "       1.png: torn",
        "       2.png: torn",
        "       and 9 more",
        "no rule was checked on 8 inputs, 12 inputs could not be measured.",
    ]


def test_five_hundred_rules_line_up():
    found = [row.text for row in terminal.rows(many(500))[:500]]
    assert len({line.index("gini median") for line in found}) == 1


def test_unusual_values():
    lines = text(terminal.rows(UNUSUAL, 80)).splitlines()
    assert lines[0] == "FAIL   größe-日本   gini median  —     —        8 inputs"
    assert lines[1] == "FAIL   nan          gini median  nan   <= 1.00  (baseline inf)  nan%"
    assert "       worst: a��[31m .png — (was inf)" in lines


@given(NASTY, NASTY, st.integers(1, 160))
def test_no_row_is_wider_than_the_terminal_or_can_steer_it(name, message, width):
    record = check(
        rule(name, baseline=1.0, change=0.5, interval=(1.0, 2.0), worst=[WorstRecord(id=name, value=1.0)]),
        rule(message, "error", message=message, hint=name),
        failed_inputs={name: message},
        notes=[message],
    )
    record.baseline.kind = "folder"
    record.baseline.new = [name]
    record.baseline.path = name
    for row in terminal.rows(record, width, name):
        assert cells(row.text) <= width
        assert row.text.isprintable()

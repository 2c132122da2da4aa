from check_records import CLEAN, EMPTY, NASTY, UNUSUAL, check, example, many, rule
from hypothesis import given

from saliency_cli.reports import github
from saliency_cli.reports.plaintext import one_line, shorten
from saliency_cli.verdicts import WorstRecord

EXAMPLE = """\
::error file=saliency.toml,line=12,title=sensitivity-not-up is not kept::loss_grad_l2 median is 4.91, must be \
<= 4.41; baseline 3.53 +25%25; changed by +39.1%25; 95%25 interval [4.60, 5.20]; worst: ci/017.png, ci/044.png
::error file=saliency.toml,title=looks-at-object is not kept::worst mass_in_mask is 0.0200, must be >= 0.100; \
3 of 64 inputs break it, 1 allowed; worst: ci/017.png
::error file=saliency.toml,line=40,title=object could not be judged::no input has a mask → name their folder: \
masks = "ci/masks"
::warning file=saliency.toml,line=30,title=same-evidence is not kept::pearson median is 0.8499, must be >= 0.8500; \
worst: ci/nan.png
::warning file=saliency.toml,title=1 input could not be measured::ci/bad.png: not a picture
"""


def decoded(text):
    """Read workflow commands as the runner does: split at the signs, then unescape, the percent sign last."""

    def plain(escaped, signs):
        for code, sign in signs.items():
            escaped = escaped.replace(code, sign)
        return escaped.replace("%25", "%")

    found = []
    data = {"%0D": "\r", "%0A": "\n"}
    for line in text.split("\n")[:-1]:
        assert line.startswith("::")
        head, message = line[2:].split("::", 1)
        kind, _, listed = head.partition(" ")
        properties = dict(pair.split("=", 1) for pair in listed.strip().split(","))
        properties = {key: plain(value, {**data, "%3A": ":", "%2C": ","}) for key, value in properties.items()}
        found.append((kind, properties, plain(message, data)))
    return found


def test_a_check_of_everything():
    lines = {"sensitivity-not-up": 12, "same-evidence": 30, "object": 40}
    assert github.annotations(example(), lines) == EXAMPLE


def test_nothing_to_say_of_a_clean_check():
    assert github.annotations(CLEAN) == ""


def test_a_failure_without_a_broken_rule_is_an_error_all_the_same():
    ((kind, properties, message),) = decoded(github.annotations(EMPTY))
    assert (kind, properties, message) == ("error", {"title": "saliency check"}, "no rule was checked on 0 inputs")
    kinds = [kind for kind, _, _ in decoded(github.annotations(check(rule("near", "warning"))))]
    assert kinds == ["error", "warning"]


def test_at_most_ten_of_a_kind_and_the_tenth_names_the_rest():
    record = many(500)
    record.rules += many(11, "warning").rules
    found = decoded(github.annotations(record))
    errors, warnings = ([note for note in found if note[0] == kind] for kind in ("error", "warning"))
    assert len(errors) == len(warnings) == 10
    assert errors[8][1]["title"] == "rule-008 (max) is not kept"
    assert errors[9][1]["title"] == "and 491 more"
    assert errors[9][2].startswith("rule-009 (max) is not kept; rule-010 (max) is not kept; ")
    assert warnings[9][1]["title"] == "and 2 more"
    assert all(len(message) <= 4096 for _, _, message in found)


def test_ten_are_all_told():
    titles = [properties["title"] for _, properties, _ in decoded(github.annotations(many(10)))]
    assert titles == [f"rule-{number:03} is not kept" for number in range(10)]


def test_an_input_that_failed_counts_among_the_warnings():
    record = many(10, "warning")
    record.failed_inputs = {"a.png": "torn", "b.png": "empty"}
    found = [note for note in decoded(github.annotations(record)) if note[0] == "warning"]
    assert len(found) == 10
    assert found[9][2] == "rule-009 is not kept; 2 inputs could not be measured"


@given(NASTY, NASTY, NASTY)
def test_any_text_survives_the_runner(name, message, policy):
    record = check(
        rule(name, "error", message=message, worst=[WorstRecord(id=name, value=1.0)]), failed_inputs={name: message}
    )
    record.policy = policy
    error, warning = decoded(github.annotations(record, {name: 7}))
    assert error[0] == "error"
    assert error[1] == {
        **({"file": one_line(policy), "line": "7"} if policy else {}),
        "title": f"{one_line(name) or 'rule'} could not be judged",
    }
    told = one_line(message) or "could not be judged"
    assert error[2] == one_line(f"{told}; worst: {name}")
    assert warning[2] == shorten(one_line(f"{name}: {message}"), 4000)


def test_unusual_values():
    found = decoded(github.annotations(UNUSUAL))
    assert [properties["title"] for _, properties, _ in found] == [
        "größe-日本 is not kept",
        "nan is not kept",
        "surrogate-� is not kept",
        "same (min) is not kept",
        "same (max) is not kept",
        "rule could not be judged",
    ]
    assert found[0][2] == "gini median has no value"


def test_a_summary_is_never_too_large_to_be_uploaded():
    record = check(*(rule(f"{number:05}-{'é' * 100}") for number in range(6000)))
    text = github.summary(record)
    assert 800_000 < len(text.encode()) <= 900_000
    assert text.endswith(" more lines were left out: this may hold 900,000 bytes.*\n")
    shown = sum(line.startswith("| ❌ fail") for line in text.splitlines())
    assert f"\n*{6000 - shown:,} more lines" in text

"""Checks to report: one of everything, and Hypothesis's worst ids."""

from hypothesis import strategies as st

from saliency_cli.records import MethodRecord, ModelRecord, RunRecord
from saliency_cli.verdicts import BaselineRecord, CheckRecord, RuleRecord, WorstRecord

# Every sign there is, lone surrogates among them: an id is a file's name, and that is any bytes.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
NASTY = st.one_of(ANY_TEXT, st.text("`|\\#@:,%\"'<>&*_[]()-+=~$!\r\n\t 1a.é日\x1b\u202e", max_size=20))


def example() -> CheckRecord:
    """Return a check with a rule of every verdict, a baseline and an input that failed."""
    relative = RuleRecord(
        id="sensitivity-not-up",
        metric="loss_grad_l2",
        aggregate="median",
        bound="max-increase",
        allowed=0.25,
        verdict="fail",
        comparison="<=",
        limit=4.41,
        value=4.91,
        baseline=3.53,
        difference=1.38,
        change=0.391,
        interval=(4.6, 5.2),
        n=64,
        versus="baseline",
        worst=[WorstRecord(id="ci/017.png", value=11.2, baseline=3.0), WorstRecord(id="ci/044.png", value=9.8)],
    )
    each = RuleRecord(
        id="looks-at-object",
        metric="mass_in_mask",
        aggregate="each",
        bound="min",
        allowed=0.1,
        verdict="fail",
        comparison=">=",
        limit=0.1,
        value=0.02,
        n=64,
        failures=3,
        allowed_failures=1,
        worst=[WorstRecord(id="ci/017.png", value=0.02)],
    )
    near = RuleRecord(
        id="same-evidence",
        metric="pearson",
        aggregate="median",
        bound="min",
        allowed=0.85,
        verdict="warning",
        severity="warning",
        comparison=">=",
        limit=0.85,
        value=0.8499,
        n=64,
        worst=[WorstRecord(id="ci/nan.png", value=None, note="is NaN")],
    )
    kept = RuleRecord(
        id="maps-are-finite",
        metric="finite",
        aggregate="min",
        bound="min",
        allowed=1,
        verdict="pass",
        comparison=">=",
        limit=1.0,
        value=1.0,
        n=64,
    )
    unjudged = RuleRecord(
        id="object",
        metric="rank_in_mask",
        aggregate="mean",
        bound="min",
        allowed=0.3,
        verdict="error",
        message="no input has a mask",
        hint='name their folder: masks = "ci/masks"',
    )
    return CheckRecord(
        policy="saliency.toml",
        profile="finetune",
        rules=[relative, each, near, kept, unjudged],
        inputs=64,
        failed_inputs={"ci/bad.png": "not a picture"},
        baseline=BaselineRecord(
            kind="folder", path="ci/baseline", matched=60, new=["ci/n.png"], changed=["ci/c.png"]
        ),
        notes=["the baseline was made with TensorFlow 2.20"],
        run=RunRecord(
            created="2026-11-21T05:00:00Z",
            tool={"name": "saliency", "version": "0.1.0"},
            model=ModelRecord(path="models/current.keras", format="keras", weights_sha256="0123456789abcdef"),
            methods=[MethodRecord(name="smoothgrad", options={}, definition="", unit="")],
        ),
        seconds=4.2,
    )


def rule(name: str = "rule", verdict: str = "fail", **more) -> RuleRecord:
    """Return a rule with a value and a limit."""
    fields = {"metric": "gini", "aggregate": "median", "bound": "max", "allowed": 1.0, "comparison": "<="}
    return RuleRecord(id=name, verdict=verdict, **{**fields, "limit": 1.0, "value": 2.0, "n": 8, **more})


def check(*rules: RuleRecord, passed: bool = False, **more) -> CheckRecord:
    """Return a check of these rules."""
    return CheckRecord(policy="saliency.toml", rules=list(rules), passed=passed, inputs=8, **more)


def many(count: int, verdict: str = "fail") -> CheckRecord:
    """Return a check of `count` rules."""
    return check(*(rule(f"rule-{number:03}", verdict) for number in range(count)))


UNUSUAL = check(
    rule("größe-日本", value=None, limit=None, comparison=""),
    rule("nan", value=float("nan"), baseline=float("inf"), difference=float("-inf"), change=float("nan")),
    rule("surrogate-\udc80", worst=[WorstRecord(id="a\udcff\x1b[31m\n.png", value=None, baseline=float("inf"))]),
    rule("same", bound="min"),
    rule("same", bound="max"),
    rule("", "error"),
)
EMPTY = CheckRecord()
CLEAN = check(rule("kept", "pass", value=0.5), passed=True)

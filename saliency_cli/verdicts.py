"""What a check says: the records its JSON, its reports and its exit code are made of.

NaN and infinity become `null` in JSON; `note` then says what was found instead.
"""

from typing import Any, Literal

from msgspec import Struct, field

from saliency_cli.records import RunRecord

Verdict = Literal["pass", "warning", "fail", "error"]


class WorstRecord(Struct, kw_only=True, frozen=True):
    """One of the inputs a rule is furthest from being kept on."""

    id: str
    value: float | None
    baseline: float | None = None
    note: str = ""
    label: str | None = None


class RuleRecord(Struct, kw_only=True):
    """One rule, judged.

    `metric` is the metric as the policy wrote it, with its options; `aggregate` how the inputs' values
    became `value` (`each`: every input is held to the bound, `value` is the worst). `bound` is the
    policy's key (`max-increase`), `allowed` its number, `limit` the absolute number `value` is held to
    (from the baseline, where the bound is relative), `comparison` how (`<=`). `difference` is value −
    baseline, `change` that over |baseline|. `interval` is the bootstrap's 95 % interval of `value`,
    `change_interval` that of what a bound relative to the baseline holds: of `change`, for `max-delta` of
    `difference`, inputs drawn together with what they were.
    `failures` counts the inputs that break an `each` rule, of `n`. `verdict` `error`: the rule could not
    be judged, and `message` says why and what to type next. `versus`: a rule that another baseline may keep;
    None: one on the model alone. `line` is where the rule stands in the policy, 0 where that is not known.
    `worst` are inputs that break the bound themselves; of a rule that is kept, those nearest to it.
    """

    id: str
    metric: str
    aggregate: str
    bound: str
    allowed: float
    verdict: Verdict
    severity: Literal["error", "warning"] = "error"
    comparison: str = ""
    limit: float | None = None
    value: float | None = None
    baseline: float | None = None
    difference: float | None = None
    change: float | None = None
    interval: tuple[float, float] | None = None
    change_interval: tuple[float, float] | None = None
    n: int = 0
    failures: int = 0
    allowed_failures: int = 0
    classes: list[str] = []
    versus: Literal["baseline"] | None = None
    line: int = 0
    worst: list[WorstRecord] = []
    message: str = ""
    hint: str = ""


class BaselineRecord(Struct, kw_only=True):
    """What the model was compared with: a baseline folder or a second model, and how the inputs paired."""

    kind: Literal["folder", "model", "none"] = "none"
    path: str = ""
    created: str = ""
    weights_sha256: str = ""
    matched: int = 0
    new: list[str] = []
    missing: list[str] = []
    changed: list[str] = []
    notes: list[str] = []


class CheckRecord(Struct, kw_only=True):
    """A whole check. `passed` is what the exit code says; `run` is the provenance of the measured run."""

    schema: str = "check-1"
    passed: bool = False
    policy: str = ""
    profile: str = ""
    rules: list[RuleRecord] = []
    baseline: BaselineRecord = field(default_factory=BaselineRecord)
    inputs: int = 0
    failed_inputs: dict[str, str] = {}
    notes: list[str] = []
    run: RunRecord = field(default_factory=RunRecord)
    metrics: dict[str, Any] = {}
    seconds: float = 0.0

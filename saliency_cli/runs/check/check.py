"""`check`: a policy's rules judged on a model; and the baseline made anew."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from saliency_cli.errors import InputError, UsageError, nearest
from saliency_cli.runs.check.asking import asked, require_declared
from saliency_cli.runs.check.baseline import Baseline, measured_options
from saliency_cli.runs.check.comparing import Comparing
from saliency_cli.runs.check.fingerprint import other_versions, require_same_meaning
from saliency_cli.runs.check.held import held
from saliency_cli.runs.check.pairing import pair, warnings_of
from saliency_cli.runs.check.policy import Policy, Rule
from saliency_cli.runs.check.reading import read_policy
from saliency_cli.runs.check.request import CheckRequest
from saliency_cli.runs.check.rule_sense import is_pair, metrics_of
from saliency_cli.runs.check.rules import judge
from saliency_cli.runs.check.summing import is_guessed, notes, statistics
from saliency_cli.runs.engine import open_engine
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.measure import measure
from saliency_cli.runs.measured import MeasuredRun
from saliency_cli.runs.naming import readable
from saliency_cli.runs.preparing import OpenEngine
from saliency_cli.verdicts import CheckRecord

BROKEN = 1


@dataclass(frozen=True, eq=False)
class Checked:
    """The end of a check: its record, and what reports draw with.

    `lines` says where each rule stands in the policy.
    """

    record: CheckRecord
    run: MeasuredRun
    baseline: Baseline | None
    lines: dict[str, int]

    def exit_code(self, *, exit_zero: bool = False) -> int:
        """Return the exit code: 1 says that the answer is no and nothing else is wrong.

        Inputs that could not be measured (3) go before rules that could not be judged (2), which may follow
        from them: too few are left. `exit_zero` changes the answer no into 0, not the others.
        """
        if self.record.failed_inputs:
            return InputError.exit_code
        if any(rule.verdict == "error" for rule in self.record.rules):
            return UsageError.exit_code
        return 0 if self.record.passed or exit_zero else BROKEN


def check(request: CheckRequest, listen: Listener, open_engine: OpenEngine = open_engine) -> Checked:
    """Judge a policy's rules.

    Raises:
        UsageError: the policy or its baseline can't be used, or no input was found.
        ModelError: the model can't. A rule that can't be judged has the verdict `error`, never raised.
    """
    began = time.perf_counter()
    policy = read_policy(request.policy)
    rules = _selected(policy, request.select)
    metrics = metrics_of(rules)
    wanted = asked(policy, request, tuple(metrics))
    baseline = Comparing(policy, request.update, listen, open_engine).baseline(rules, wanted)
    if policy.baseline_model and any("reference-attribution" in metric.needs for metric in metrics.values()):
        wanted = replace(wanted, reference=policy.place(policy.baseline_model))
    references = None if wanted.reference else baseline
    run = measure(wanted, listen, open_engine, metrics=metrics, references=references)
    require_declared(policy.path, guessed=any(is_guessed(item.record) for item in run.items))
    if baseline is not None and baseline.kind == "folder":
        require_same_meaning(baseline, run.run, request.update)
    judged, failed = held(run.items)
    paired = pair(judged, baseline, policy.folder, tuple(failed))
    record = CheckRecord(
        policy=readable(str(policy.path)),
        profile=policy.profile,
        rules=[
            judge(
                rule,
                paired.held,
                baseline,
                pair=rule.label in metrics and is_pair(metrics[rule.label]),
                options=measured_options(run.run).get(rule.label, {}),
                min_inputs=policy.min_inputs,
                update=request.update,
            )
            for rule in rules
        ],
        baseline=paired.record,
        inputs=len(judged),
        failed_inputs=failed,
        notes=notes(policy, paired.held, baseline),
        run=run.run,
        metrics=statistics(judged, tuple(metrics)),
    )
    record.baseline.notes = [
        *warnings_of(paired.record),
        *(other_versions(baseline, run.run) if baseline is not None and baseline.kind == "folder" else []),
    ]
    grave = {"fail", "error", *(["warning"] if request.fail_on == "warning" else [])}
    record.passed = not failed and not any(rule.verdict in grave for rule in record.rules)
    record.seconds = round(time.perf_counter() - began, 3)
    return Checked(record, run, baseline, {rule.id: rule.line for rule in rules})


def _selected(policy: Policy, wanted: Sequence[str]) -> tuple[Rule, ...]:
    """Return the rules that are asked for, every one where none is named."""
    ids = tuple(rule.id for rule in policy.rules)
    for name in wanted:
        if name not in ids:
            hint = nearest(name, ids) or f"its rules: {', '.join(ids)}"
            raise UsageError(f"'{policy.path}' has no rule '{name}'", hint=hint, reason="unknown-rule")
    return tuple(rule for rule in policy.rules if not wanted or rule.id in wanted)

"""What the model is compared with, found before it is measured itself."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from saliency_cli.runs.check.baseline import Baseline, of_model
from saliency_cli.runs.check.baseline_file import read_baseline
from saliency_cli.runs.check.fingerprint import require_same_question
from saliency_cli.runs.check.policy import Policy, Rule
from saliency_cli.runs.check.rule_sense import is_pair, metrics_of
from saliency_cli.runs.listening import Listener
from saliency_cli.runs.measure import measure
from saliency_cli.runs.preparing import OpenEngine
from saliency_cli.runs.request import ComputeRequest


@dataclass(frozen=True)
class Comparing:
    """Opens what a policy compares with. `update` is the command that makes a baseline folder."""

    policy: Policy
    update: str
    listen: Listener
    open_engine: OpenEngine

    def baseline(self, rules: Iterable[Rule], request: ComputeRequest) -> Baseline | None:
        """Return the baseline, None where no rule looks at it.

        A folder is read, and must have been made as the policy says now; a second model is measured.
        """
        metrics = metrics_of(rules)
        pairs = any(is_pair(metric) for metric in metrics.values())
        against = metrics_of(rule for rule in rules if rule.against)
        if not pairs and not against:
            return None
        if self.policy.baseline is not None:
            found = read_baseline(Path(self.policy.folder / self.policy.baseline), self.update)
            require_same_question(found, self.policy, self.update)
            return found
        other = self.policy.place(self.policy.baseline_model)
        assert other is not None
        labels = tuple(against) or request.metrics
        asked = replace(request, model=other, metrics=labels, strict=False, max_failures=None)
        run = measure(asked, self.listen, self.open_engine, metrics=against)
        return of_model(run, self.policy.folder)

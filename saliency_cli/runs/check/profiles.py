"""The rules a profile stands for, and the method their limits were calibrated with.

The limits come from `benchmarks/calibration` (three architectures, six seeds each, 48 inputs; fixed on three
of the seeds, `docs/calibration.md` has both halves): SmoothGrad of 16 draws tells harmless changes (fp16 and
int8 weights, noise, fine-tuning: the 5th percentile of Pearson ≥ 0.906) from broken ones (a randomised top
layer ≤ 0.848, a shortcut, an untrained network). The median tells them apart less well. A retrained network
has other maps though nothing is wrong with it, and a sensitivity between 0.67 and 1.65 of the first's.
"""

from dataclasses import dataclass, field
from typing import Any

from saliency_cli.runs.check.policy import FLAGS, Policy, Profile, Rule


@dataclass(frozen=True)
class ProfileRules:
    """`meaning`: what happened to the model. `method`, `options`: what the limits hold for."""

    meaning: str
    method: str = "gradient"
    options: dict[str, Any] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()


_ALWAYS = (
    Rule(id="maps-are-finite", metric="finite", agg="min", min=1.0),
    Rule(id="maps-are-not-zero", metric="nonzero", agg="min", min=1.0),
    Rule(id="maps-can-be-trusted", metric=FLAGS, agg="each", max=0.0),
)
_SENSITIVITY = (
    Rule(id="sensitivity-not-up", metric="grad-l2", max_increase=0.25),
    Rule(id="sensitivity-not-down", metric="grad-l2", max_decrease=0.25, severity="warning"),
)
_ANOTHER_SEED = (
    Rule(id="sensitivity-not-up", metric="grad-l2", max_increase=1.0),
    Rule(id="sensitivity-not-down", metric="grad-l2", max_decrease=0.5),
)
_SMOOTH: dict[str, Any] = {"draws": 16, "noise": 0.1}

PROFILES: dict[Profile, ProfileRules] = {
    "reexport": ProfileRules(
        "the same weights in another file, precision or format: maps must be the same",
        "smoothgrad",
        _SMOOTH,
        (*_ALWAYS, *_SENSITIVITY, Rule(id="same-evidence", metric="pearson", versus="baseline", agg="p05", min=0.98)),
    ),
    "finetune": ProfileRules(
        "the same network trained on: maps must be alike",
        "smoothgrad",
        _SMOOTH,
        (
            *_ALWAYS,
            *_SENSITIVITY,
            Rule(id="same-evidence", metric="pearson", versus="baseline", agg="p05", min=0.87),
            Rule(
                id="same-top-places",
                metric="topk-intersection",
                options={"k": 0.05},
                versus="baseline",
                min=0.65,
                severity="warning",
            ),
        ),
    ),
    "retrain": ProfileRules(
        "trained anew from another seed: maps differ, sensitivity must not",
        rules=(*_ALWAYS, *_ANOTHER_SEED),
    ),
    "custom": ProfileRules("only the rules written in the policy"),
}


def uncalibrated(policy: Policy) -> str:
    """Say that a profile's limits of likeness were found with another method, where that is so."""
    profile = PROFILES[policy.profile]
    drift = [rule.id for rule in policy.rules if rule.of_profile and rule.versus]
    method = policy.compute.method
    if not drift or (method == profile.method and policy.compute.options.get("draws", 0) >= profile.options["draws"]):
        return ""
    options = ", ".join(f"{key} = {value}" for key, value in profile.options.items())
    return (
        f"the limits of profile '{policy.profile}' ({', '.join(drift)}) were calibrated with {profile.method} "
        f"({options}); the policy computes {method}: set them from your own values (saliency init proposes some)"
    )

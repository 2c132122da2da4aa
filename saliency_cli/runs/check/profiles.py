"""The rules a profile stands for, and the method their limits were calibrated with.

The limits come from an experiment (48×48 pictures, a small convolutional network, 96 inputs): SmoothGrad of
16 draws told harmless changes (fp16 and int8 weights, fine-tuning: Pearson ≥ 0.944, top 5 % ≥ 0.78) from
broken ones (a randomised layer, an untrained network: ≤ 0.742, ≤ 0.57). A retrained network has other maps
(0.44) though nothing is wrong with it. Norms of harmless versions lay within 0.89–1.11 of the first.
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
            Rule(id="same-evidence", metric="pearson", versus="baseline", min=0.85),
            Rule(id="same-top-places", metric="topk-intersection", options={"k": 0.05}, versus="baseline", min=0.65),
        ),
    ),
    "retrain": ProfileRules(
        "trained anew from another seed: maps differ, sensitivity must not",
        rules=(*_ALWAYS, *_SENSITIVITY),
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

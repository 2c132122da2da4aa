"""What must be the same of two runs for their numbers to be comparable, and what they say when it is not."""

from collections.abc import Mapping
from typing import Any

import msgspec

from saliency_cli.errors import UsageError
from saliency_cli.records import RunRecord
from saliency_cli.runs.check.baseline import Baseline
from saliency_cli.runs.check.policy import Policy
from saliency_cli.runs.check.sense import option_texts
from saliency_cli.runs.settings import build_methods, describe_methods


def fingerprint(policy: Policy) -> dict[str, Any]:
    """Return what a policy asks for, every option of the method included: known before the model is opened."""
    compute = policy.compute
    assert compute.method is not None
    (method,) = describe_methods(build_methods((compute.method,), option_texts(compute.options)))
    asked = {
        "method": method.name,
        "options": method.options,
        "target": compute.target,
        "space": compute.space,
        "loss": compute.loss,
        "output-name": compute.output_name,
        "preprocess": policy.preprocess,
        "resize": compute.resize,
        "seed": compute.seed,
        "valid-range": compute.valid_range,
    }
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(asked))
    return found


def resolved(run: RunRecord) -> dict[str, Any]:
    """Return what the model made of it: the space of the target, and the scale of its input."""
    preparing = {
        name: {"name": entry.name, "scale": entry.scale, "offset": entry.offset, "channels": entry.channel_order}
        for name, entry in run.preparing.items()
    }
    found: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode({"space": run.space, "loss": run.loss, "preparing": preparing})
    )
    return found


def require_same_question(baseline: Baseline, policy: Policy, update: str) -> None:
    """Raise `UsageError` if a folder's baseline was made otherwise than the policy says now."""
    _require(baseline, baseline.fingerprint, fingerprint(policy), "the policy says", update)


def require_same_meaning(baseline: Baseline, run: RunRecord, update: str) -> None:
    """Raise `UsageError` if the model's numbers are of another kind than the baseline's."""
    _require(baseline, baseline.resolved, resolved(run), "the model now has", update)


def _require(baseline: Baseline, then: Mapping[str, Any], now: Mapping[str, Any], said: str, update: str) -> None:
    before, after = _flat(then), _flat(now)
    differing = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    # Another method has other options: that they differ too says nothing more.
    if "method" in differing:
        differing = [key for key in differing if not key.startswith("options.")]
    if not differing:
        return
    told = "; ".join(f"{_said(key, before)}, {said} {_value(after.get(key))}" for key in differing)
    raise UsageError(
        f"the baseline in '{baseline.path}' was made with {told}",
        hint=f"{update} makes it anew",
        reason="other-baseline",
    )


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            found.update(_flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found


def _said(key: str, values: Mapping[str, Any]) -> str:
    return f"{key.removeprefix('options.')} {_value(values.get(key))}"


def _value(value: Any) -> str:
    return "none" if value is None else str(value)


_NOTED = ("saliency", "tensorflow", "keras")


def other_versions(baseline: Baseline, run: RunRecord) -> list[str]:
    """Say which programs were of another version when the baseline was made: worth knowing, no obstacle."""
    now = {"saliency": run.tool.get("version"), **run.environment}
    differing = [
        f"{name} {baseline.environment[name]} (now {now[name]})"
        for name in _NOTED
        if baseline.environment.get(name) and now.get(name) and baseline.environment[name] != now[name]
    ]
    return [f"the baseline was made with {', '.join(differing)}"] if differing else []

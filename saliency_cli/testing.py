"""A policy as one test of a suite of your own: `assert_policy("saliency.toml")`."""

import os
from pathlib import Path
from typing import Any

from saliency_cli.errors import InputError, UsageError


def assert_policy(policy: str | os.PathLike[str] = "saliency.toml", **overrides: Any) -> None:
    """Check a policy, and raise `AssertionError` with the broken rules' rows where the answer is no.

    `overrides` are the fields of `saliency_cli.runs.check.request.CheckRequest`: `model`, `inputs`, `select`,
    `fail_on`, ….

    Raises:
        AssertionError: a rule is broken.
        SaliencyError: there is no answer: the policy, the model or an input can't be used.
    """
    __tracebackhide__ = True
    from saliency_cli.reports.terminal import rows
    from saliency_cli.runs.check import check as module
    from saliency_cli.runs.check.request import CheckRequest
    from saliency_cli.runs.listening import Silent

    checked = module.check(CheckRequest(Path(policy), **overrides), Silent())
    record = checked.record
    for name, message in record.failed_inputs.items():
        raise InputError(f"{name}: {message}", reason="failed-input")
    for rule in record.rules:
        if rule.verdict == "error":
            raise UsageError(f"{rule.id}: {rule.message}", hint=rule.hint, reason="not-judged")
    if not record.passed:
        told = [row.text for row in rows(record) if row.style != "pass"]
        raise AssertionError("\n".join([f"{record.policy} is not kept:", *told]))

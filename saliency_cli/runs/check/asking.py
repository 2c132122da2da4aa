"""A policy and its overrides become a `ComputeRequest`, and its inputs are looked for before any model is opened."""

import glob
from pathlib import Path

from saliency_cli.errors import UsageError
from saliency_cli.runs.check.policy import Policy
from saliency_cli.runs.check.request import CheckRequest
from saliency_cli.runs.check.sense import option_texts
from saliency_cli.runs.places import exists
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import listed


def asked(policy: Policy, request: CheckRequest, metrics: tuple[str, ...]) -> ComputeRequest:
    """Return what is to be measured. Raises `UsageError` where the model or every input is missing."""
    compute = policy.compute
    model = request.model or policy.place(policy.model)
    if model is None:
        raise UsageError(
            f"'{policy.path}' names no model",
            hint='model = "model.keras" in it, or saliency check MODEL',
            reason="no-model",
        )
    assert compute.method is not None
    by_loss = compute.target == "loss"
    found = ComputeRequest(
        model,
        inputs=request.inputs or tuple(_placed(policy, given) for given in policy.inputs),
        methods=(compute.method,),
        options=option_texts(compute.options),
        target="top" if by_loss else compute.target,
        loss=compute.loss,
        space=compute.space,
        output_name=compute.output_name,
        labels=policy.place(policy.labels),
        class_names=policy.place(policy.class_names),
        masks=policy.place(policy.masks),
        preprocess=policy.preprocess,
        resize=compute.resize,
        valid_range=compute.valid_range,
        seed=compute.seed,
        # Labels are refused where nobody reads them; a rule's classes do, whatever is measured.
        metrics=metrics or ("grad-l2",),
        batch_size=request.batch_size or compute.batch_size,
        device=request.device,
        threads=request.threads,
        custom_objects=request.custom_objects,
        signature=request.signature,
        input_tensors=request.input_tensors,
        output_tensors=request.output_tensors,
        replace=request.replace,
        trust_model=request.trust_model,
        strict=request.strict,
        max_failures=request.max_failures,
        command=request.command,
    )
    _require_inputs(found, policy)
    return found


def _placed(policy: Policy, given: str) -> str:
    """Return an input of the policy from the current folder; signs of a pattern mean one in it only."""
    folder = str(policy.folder)
    escaped = glob.escape(folder) if glob.has_magic(given) and not exists(policy.folder / given) else folder
    return str(Path(escaped) / given)


def _require_inputs(request: ComputeRequest, policy: Policy) -> None:
    """Raise `UsageError` if the policy's inputs come to none: a check of nothing must not look like one."""
    if not request.inputs:
        raise UsageError(
            f"'{policy.path}' names no inputs",
            hint='inputs = ["images/*.png"] in it, or saliency check MODEL INPUT…',
            reason="no-inputs",
        )
    sources = listed(request) or []
    errors = [source.error for source in sources if source.error is not None]
    if sources and len(errors) < len(sources):
        return
    told = errors[0] if errors else None
    raise UsageError(
        f"there is no input to check: {told.message if told else 'none was found'}",
        hint=(told.hint if told else "") or f"inputs are looked up from '{policy.folder}'",
        reason="no-inputs",
    )


def require_declared(path: Path, *, guessed: bool) -> None:
    """Raise `UsageError` if how pictures are prepared was guessed: another guess would be another number."""
    if guessed:
        raise UsageError(
            "nothing in the model tells how its pictures were scaled, and a check must not guess",
            hint=f'preprocess = "unit" in {path} ([0, 1]), or another: none, symmetric, imagenet-torch, …',
            reason="preparing-guessed",
        )

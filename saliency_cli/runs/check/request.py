"""What the user asked `check` for: the policy, what goes before it, and how strict to be."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from saliency_cli.runs.check.policy import NAME


@dataclass(frozen=True)
class CheckRequest:
    """One `saliency check`. `model` and `inputs` go before the policy's; so does `batch_size`.

    `select`: ids of rules, the others are left out. `fail_on`: whether a broken rule of severity `warning`
    fails the check. `strict`: a map that carries a flag is a failed input, as in `compute`.
    """

    policy: Path = Path(NAME)
    model: str | None = None
    inputs: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    fail_on: Literal["error", "warning"] = "error"
    update_baseline: bool = False
    yes: bool = False
    strict: bool = False
    max_failures: int | None = None
    batch_size: int | None = None
    device: str | None = None
    threads: int | None = None
    custom_objects: str | None = None
    signature: str | None = None
    input_tensors: tuple[str, ...] = ()
    output_tensors: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    trust_model: bool = False
    command: tuple[str, ...] = field(default=(), compare=False)

    @property
    def update(self) -> str:
        """The command that makes the baseline of this policy."""
        import shlex

        named = [] if self.policy == Path(NAME) else [str(self.policy)]
        return shlex.join(["saliency", "check", *named, "--update-baseline"])

"""From a trace's rule text to what it gives: `guided`, `lrp:dense=epsilon,epsilon=0.1`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from saliency_cli.autodiff.backward.flow import Flow
from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import UsageError
from saliency_cli.registry import Registry

Tensor = Any


@dataclass(frozen=True, eq=False)
class Way:
    """A forward pass to be gone back: from `sources` to the scores `(batch, classes)`, or a loss `(batch,)`.

    `seed` is what starts at the end: the weights of the classes, or ones. `space` is that of the scores.
    """

    flow: Flow
    seed: Tensor
    space: str


@dataclass(frozen=True, eq=False)
class Pulled:
    """What a rule found: a tensor for each source, None where nothing arrived, and `(batch,)` numbers to tell."""

    messages: Sequence[Tensor | None]
    told: Mapping[str, Tensor] = field(default_factory=dict)


class Rule(Protocol):
    """A way of going back through a traced graph."""

    @property
    def references(self) -> int:
        """How many further points it compares each point with."""
        ...

    def backward(self, way: Way, others: Sequence[Tensor]) -> Pulled:
        """Go back. `others` are the ends of the same forward pass at the further points."""
        ...


RULES: Registry[Rule] = Registry("saliency_cli.autodiff.rules", "rule")


@lru_cache(maxsize=64)
def rule_of(text: str) -> Rule:
    """Return the rule that a trace names. Raises `UsageError` for an unknown one or wrong options."""
    name, _, given = text.partition(":")
    pairs = [part.partition("=") for part in given.split(",") if part]
    return RULES.build(name, {key: value for key, _, value in pairs})


def counted(way: Way, counts: Mapping[str, int]) -> dict[str, Tensor]:
    """Return the number of operations that went by the rule, in all and by type, for every row of the batch."""
    rows = tf.shape(way.seed)[:1]
    told = {"patched": sum(counts.values())} | {f"patched_{kind.lower()}": n for kind, n in sorted(counts.items())}
    return {name: tf.fill(rows, tf.constant(float(n))) for name, n in told.items()}


def require_score(way: Way, what: str, spaces: tuple[str, ...]) -> None:
    """Raise `UsageError` where the target is of a space that a rule can't share out."""
    if way.space not in spaces:
        raise UsageError(
            f"{what} shares out a score, and the target is a {way.space}",
            hint="--space logit" if way.space != "loss" else "leave --loss away",
            reason="rule-space",
        )

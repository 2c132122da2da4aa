"""A trace that goes back by a rule: the forward passes it needs, emitted, and what the rule makes of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from saliency_cli.autodiff.backward.flow import Flow
from saliency_cli.autodiff.backward.ruled import Way, rule_of
from saliency_cli.autodiff.runtime import tf

Tensor = Any


class Scored(NamedTuple):
    """A target in a traced graph: the scores `(batch, classes)`, their weights, and the value of each row.

    For a loss `scores` and `rows` are None.
    """

    values: Tensor
    scores: Tensor | None
    rows: Tensor | None

    @property
    def end(self) -> Tensor:
        """Where going back begins."""
        return self.values if self.scores is None else self.scores


def pulled_by_rule(
    text: str,
    sources: Sequence[Tensor],
    here: Scored,
    space: str,
    references: Sequence[Mapping[str, Tensor]],
    score: Callable[[Mapping[str, Tensor]], Scored],
) -> tuple[list[Tensor | None], dict[str, Tensor]]:
    """Return what a rule gives for each source, and what it tells of every row by name.

    `references` are the further points; `score` emits the forward pass for one of them.
    """
    rule = rule_of(text)
    others = [score(named) for named in references]
    seed = tf.ones_like(here.values) if here.rows is None else here.rows
    way = Way(Flow(tuple(sources), here.end), seed, space)
    found = rule.backward(way, [other.end for other in others])
    told = {name: tf.cast(numbers, tf.float64) for name, numbers in found.told.items()}
    for k, other in enumerate(others):
        values = other.values if here.rows is None else tf.reduce_sum(here.rows * other.scores, axis=-1)
        told[f"reference_value_{k}"] = tf.cast(values, tf.float64)
    return list(found.messages), told

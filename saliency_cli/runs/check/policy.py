"""What a check holds a model to: `saliency.toml` as values. `reading.py` reads it, `profiles.py` fills it up."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta, Struct

from saliency_cli.geometry import Resize

Profile = Literal["reexport", "finetune", "retrain", "custom"]
Aggregate = Literal["mean", "median", "p05", "p95", "min", "max", "each"]
Severity = Literal["error", "warning"]

# Aggregates whose bootstrap interval means something: of an extreme it does not, and `each` has none.
ESTIMATED: tuple[Aggregate, ...] = ("mean", "median", "p05", "p95")

FAMILIES = {
    "absolute": ("min", "max"),
    "relative": ("max-increase", "max-decrease"),
    "delta": ("max-delta",),
}
"""A rule has bounds of one family."""

FLAGS = "flags"
"""The one metric that is no plug-in: how many reasons a map's record gives not to trust it."""

NAME = "saliency.toml"


class Bound(NamedTuple):
    """One limit of a rule: its key in the policy, and the number there."""

    key: str
    allowed: float


_Share = Annotated[float, Meta(ge=0)]


class Rule(Struct, kw_only=True, frozen=True, rename="kebab"):
    """One `[[rule]]`: a metric, how the inputs' values become one, and the bounds it is held to.

    `label` is what the metric's values are called among the measured ones (its name and the options that
    differ from the defaults), `line` where the rule stands in the policy, `of_profile` whether the profile
    wrote it; none of them is read from the policy.
    """

    id: str
    metric: str
    options: dict[str, Any] = {}
    versus: Literal["baseline"] | None = None
    agg: Aggregate = "median"
    min: float | None = None
    max: float | None = None
    max_increase: _Share | None = None
    max_decrease: _Share | None = None
    max_delta: _Share | None = None
    severity: Severity = "error"
    classes: list[str] = []
    allow_failures: Annotated[int, Meta(ge=0)] = 0
    strict: bool = True
    min_inputs: Annotated[int, Meta(ge=1)] | None = None
    label: str = ""
    line: int = 0
    of_profile: bool = False

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """The bounds that are given."""
        every = {
            "min": self.min,
            "max": self.max,
            "max-increase": self.max_increase,
            "max-decrease": self.max_decrease,
            "max-delta": self.max_delta,
        }
        return tuple(Bound(key, allowed) for key, allowed in every.items() if allowed is not None)

    @property
    def families(self) -> tuple[str, ...]:
        """The families its bounds are of; a rule without mistakes has one."""
        keys = {bound.key for bound in self.bounds}
        return tuple(name for name, members in FAMILIES.items() if keys & set(members))

    @property
    def against(self) -> bool:
        """Whether the value is compared with the baseline's value of the same metric."""
        return not set(self.families) <= {"absolute"}


class Compute(Struct, kw_only=True, frozen=True, rename="kebab"):
    """`[compute]`: what is attributed, and how. Without a method it is the profile's."""

    method: str | None = None
    options: dict[str, Any] = {}
    seed: Annotated[int, Meta(ge=0)] = 0
    target: str = "top"
    space: Literal["logit", "probability", "log-probability"] | None = None
    loss: str | None = None
    output_name: str | None = None
    batch_size: Annotated[int, Meta(ge=1)] | None = None
    resize: Resize = "stretch"
    valid_range: tuple[float, float] | None = None


class Policy(Struct, kw_only=True, frozen=True, rename="kebab"):
    """A whole policy. Paths in it are relative to its own folder; `place` turns one into ours.

    `path` and `rules` are filled in by the reader: where it was read, and its rules with the profile's.
    """

    version: int
    profile: Profile
    model: str | None = None
    inputs: list[str] = []
    labels: str | None = None
    masks: str | None = None
    class_names: str | None = None
    baseline: str | None = None
    baseline_model: str | None = None
    preprocess: str = "auto"
    min_inputs: Annotated[int, Meta(ge=1)] = 8
    compute: Compute = Compute()
    path: Path = Path(NAME)
    rules: tuple[Rule, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder the policy stands in."""
        return self.path.parent

    def place(self, path: str | None) -> str | None:
        """Return a path of the policy from the current folder."""
        return None if path is None else str(self.folder / path)

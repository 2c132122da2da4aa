"""`perturb`: the smallest changes of an input that change what a model says of it, for testing one's own model."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from saliency_cli.errors import UsageError, nearest
from saliency_cli.registry import Registry
from saliency_cli.runs.places import is_folder
from saliency_cli.runs.preparing import Prepared
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.settings import definition
from saliency_cli.runs.sources import Source, listed
from saliency_cli.studies.perturb_crowd import found_together, gathered
from saliency_cli.studies.perturb_files import PICTURES
from saliency_cli.studies.perturb_planned import planned_files
from saliency_cli.studies.perturb_program import Perturbation, Together
from saliency_cli.studies.perturb_ranges import Range, Ranges, ranges_of, recorded, require_moved
from saliency_cli.targets import class_index
from saliency_cli.threat import Attack, Norm

ATTACKS: Registry[Attack] = Registry("saliency_cli.attacks", "attack")
FORMATS = ("after", *PICTURES, "all")


@dataclass(frozen=True, eq=False)
class Perturb:
    """The options of `saliency perturb`.

    `attack` by its name, with its options. `epsilon`: the radius in the units of the files, None for 8/255 of each
    input's range (in ℓ2 a root mean square of 2/255). `to`: the class to reach, any other than the true one without
    it. `smallest`: look for the least ε. `only`: the inputs that are moved, all that have a gradient without it.
    `valid_range`: the lowest and highest value of arrays, in the files' units, for all inputs or by name. `formats`:
    what is written of the perturbed inputs: `after` (themselves, always), `before`, `difference`, `panel`, or `all`;
    without it all, but of several inputs no panels.
    """

    attack: str = "pgd"
    settings: Mapping[str, Any] = field(default_factory=dict)
    epsilon: float | None = None
    norm: Norm = "inf"
    to: str | None = None
    smallest: bool = False
    only: tuple[str, ...] = ()
    valid_range: Range | Ranges | None = None
    formats: tuple[str, ...] = ()

    name: ClassVar[str] = "perturb"

    def __post_init__(self) -> None:
        if self.epsilon is not None and not 0 < self.epsilon < float("inf"):
            raise UsageError(f"--epsilon is {self.epsilon:g}; it is above 0", hint="--epsilon 8 for 8 of 255 steps")
        ranges_of(self.valid_range)
        for kind in self.formats:
            if kind not in FORMATS:
                raise UsageError(
                    f"perturb writes no '{kind}'",
                    hint=nearest(kind, FORMATS) or f"--format takes {', '.join(FORMATS)}",
                    reason="bad-option",
                )
        attack = ATTACKS.build(self.attack, self.settings)  # its mistakes are told before a model is opened
        if self.smallest and hasattr(attack, "perturb_all"):
            raise UsageError(
                f"--smallest is looked for by input, and {self.attack} finds one perturbation for all",
                hint="--attack pgd --smallest",
            )

    @property
    def suffixes(self) -> Mapping[str, str]:
        """The perturbed input, a picture or an array, and what is drawn of it."""
        drawn = self.kinds(alone=True)
        return {"after": ".png", **{kind: ".png" for kind in PICTURES if kind in drawn}, "array": ".npy"}

    def kinds(self, *, alone: bool) -> frozenset[str]:
        """Return what is drawn of a perturbed input. `alone`: it is the only one, and nobody waits for a figure."""
        if self.formats:
            return frozenset(PICTURES if "all" in self.formats else self.formats) - {"after"}
        return frozenset(PICTURES) - (set() if alone else {"panel"})

    def planned(self, source: Source, *, alone: bool) -> Mapping[str, str]:
        """Return each kind of file it writes of an input that flips → its suffix, as far as its file tells."""
        return planned_files(source, self.only, self.kinds(alone=alone and "#" not in source.id))

    @property
    def ranges(self) -> Ranges:
        """The valid range of each input by its name; the empty name: of every other."""
        return ranges_of(self.valid_range)

    @property
    def sequential(self) -> bool:
        """One point after another."""
        return True

    def options(self) -> dict[str, Any]:
        """Return every option, those of the attack with its exact definition."""
        attack = ATTACKS.build(self.attack, self.settings)
        return {
            "attack": self.attack,
            "definition": definition(ATTACKS, self.attack),
            "cost": attack.cost,
            "settings": {option.name: getattr(attack, option.name) for option in ATTACKS.options(self.attack)},
            "epsilon": self.epsilon,
            "norm": self.norm,
            "to": self.to,
            "smallest": self.smallest,
            "only": list(self.only),
            "valid_range": recorded(self.ranges),
            "formats": list(self.formats),
        }

    def sources(self, request: ComputeRequest) -> list[Source] | None:
        """Return the inputs that the request names."""
        return listed(request)

    def begin(self, prepared: Prepared) -> "Perturbation":
        """Bind the options to an open model.

        Raises:
            UsageError: the output has no classes (reason `no-classes`), `to` is none of them, `only` no input, or
                `valid_range` of one that isn't moved.
        """
        engine, request = prepared.engine, prepared.request
        if not engine.has_classes or engine.regression:
            what = "values of a regression" if engine.regression else "one value"
            raise UsageError(
                f"the output '{engine.output}' is {what}: there is no class on top that a perturbation could change",
                hint="--output-name with an output of classes, or saliency maximize to raise a value",
                reason="no-classes",
            )
        for name in self.only:
            if name not in engine.connected:
                known = engine.disconnected.get(name) or nearest(name, engine.connected)
                hint = known or f"inputs that can be moved: {', '.join(engine.connected)}"
                raise UsageError(f"--only {name}: the model has no input of that name with a gradient", hint=hint)
        moved = tuple(name for name in engine.connected if not self.only or name in self.only)
        require_moved(self.ranges, [spec.name for spec in engine.specs], moved)
        if len(moved) > 1 and self.one_file(request.out):
            raise UsageError(
                f"-o {request.out} is one file, and {len(moved)} inputs are perturbed: {', '.join(moved)}",
                hint="-o DIR/ for a folder, or --only NAME",
            )
        target = None if self.to is None else class_index(self.to.strip(), prepared.question.classes)
        attack = ATTACKS.build(self.attack, self.settings)
        # From Python there is one input, and no request for it.
        called = not (request.inputs or request.named_inputs or request.files_from)
        sources = [] if called else self.sources(request)
        alone = called or (sources is not None and len(sources) == 1)
        found = Perturbation(prepared, self, attack, moved, target, alone)
        if not hasattr(attack, "perturb_all") or called:
            return found
        crowd = gathered(prepared, sources, found.ball, found.goal)
        common, cost = found_together(prepared, attack, crowd)
        return replace(found, together=Together(common, cost, crowd))

    def one_file(self, out: str | None) -> str | None:
        """Return the kind of file that `-o` names, None where it is a folder or nothing."""
        if out is None or out.endswith(("/", os.sep)) or is_folder(out):
            return None
        suffix = Path(out).suffix.lower()
        return next((kind for kind, known in self.suffixes.items() if known == suffix), None)

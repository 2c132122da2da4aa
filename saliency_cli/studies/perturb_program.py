"""An attack on one model: what is asked about each sample, and what is told and written of it."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saliency_cli.autodiff.packing import Query, Reply
from saliency_cli.differentiable import Array, Ask, Trace
from saliency_cli.errors import InputError
from saliency_cli.records import InputSpec, ItemRecord, RunRecord
from saliency_cli.runs.diagnosis import require_finite_values
from saliency_cli.runs.explaining import prediction_of
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.naming import distinct_parts
from saliency_cli.runs.preparing import Prepared
from saliency_cli.runs.study import File, Findings
from saliency_cli.studies.perturb_crowd import Crowd
from saliency_cli.studies.perturb_files import array_file, drawn_files, encoded, is_picture, view_of
from saliency_cli.studies.perturb_found import Found, results_of, title
from saliency_cli.studies.perturb_reach import ball_of
from saliency_cli.studies.perturb_search import Cost, driven, smallest
from saliency_cli.studies.remade import read_back
from saliency_cli.targets import Target
from saliency_cli.threat import Attack, Ball, Common, Goal, Perturbed, Perturbing, look_at

if TYPE_CHECKING:
    from saliency_cli.studies.perturb import Perturb

_SEE = Trace(gradient=False, space="log-odds")


class Together(NamedTuple):
    """What was found for all inputs at once, what it cost, and of which it was made."""

    common: Common
    cost: Cost
    crowd: Crowd


@dataclass(frozen=True, eq=False)
class Perturbation:
    """An attack on one model.

    `alone`: there is one input. `together`: what was found for all at once, where the attack is of that kind.
    """

    prepared: Prepared
    options: "Perturb"
    attack: Attack
    moved: tuple[str, ...]
    target: int | None
    alone: bool
    together: Together | None = None

    def program(self, fed: Fed, target: Target | None) -> Generator[Query, Reply, Found]:
        """Ask what the model says, search, write what was found in memory, read it back and ask again.

        `target` is the sample's true class where it has a label; else the class on top is taken for it.
        """
        sample = fed.sample
        before = yield Query(Ask(1, lambda _, out: sample.write(out), np.zeros(1), trace=_SEE))
        require_finite_values(float(before.answer.values[0]))
        prediction = prediction_of(self.prepared.engine, self.prepared.question.classes, before)
        top = int(before.answer.tops[0])
        truth = top if target is None or target.index is None else target.index
        goal = self.goal(truth)
        found = Found(prediction, truth, before.scores, before.scores, goal.reached(top))
        if found.already:
            return found
        ball, cost = self.ball(fed), Cost()
        if self.together is not None:
            perturbed, share = (yield from driven(_tried(ball, goal, self.together.common), cost)), None
        elif self.options.smallest:
            perturbed, share = yield from driven(smallest(self.attack, ball, goal), cost)
        else:
            perturbed, share = (yield from driven(self.attack.perturb(ball, goal), cost)), None
        found = replace(found, ball=ball, perturbed=perturbed, cost=cost)
        if not perturbed.reached or not self._counts(ball, perturbed):
            return found
        files = {name: self._encoded(fed, name, perturbed.values[name]) for name in ball.reaches}
        again = sample.at({name: read_back(file, self.prepared.feeder, name) for name, file in files.items()})
        after = yield Query(Ask(1, lambda _, out: again.write(out), np.zeros(1), trace=_SEE))
        cost.passes += 1
        flipped = goal.reached(int(after.answer.tops[0]))
        return replace(found, flipped=flipped, after=after.scores, smallest=share, files=files)

    def goal(self, truth: int) -> Goal:
        """Return what is looked for with a sample of this true class."""
        engine = self.prepared.engine
        space = "logit" if engine.head in ("softmax", "sigmoid", "binary") else "output"
        return Goal(truth, engine.classes, self.target, space)

    def ball(self, fed: Fed) -> Ball:
        """Return what a sample may become. Raises `InputError`, see `ball_of`."""
        return ball_of(
            fed,
            {spec.name: spec for spec in self.prepared.engine.specs},
            self.moved,
            norm=self.options.norm,
            epsilon=self.options.epsilon,
            ranges=self.options.ranges,
            bounded=not self.attack.minimal,
        )

    def _counts(self, ball: Ball, perturbed: Perturbed) -> bool:
        """Whether what was found lies within ε, where an attack was free to go beyond the ε that the user named."""
        return self.options.epsilon is None or not self.attack.minimal or ball.length(perturbed.values) <= 1 + 1e-9

    def _encoded(self, fed: Fed, name: str, values: Array) -> File:
        return encoded(values, fed.parts[name], self._spec(name), self._metadata(fed, name))

    def _spec(self, name: str) -> InputSpec:
        return next(spec for spec in self.prepared.engine.specs if spec.name == name)

    def _metadata(self, fed: Fed, name: str) -> dict[str, Any]:
        from saliency_cli import __version__

        return {
            "software": f"saliency {__version__}",
            "schema": "perturb-1",
            "weights_sha256": self.prepared.engine.record.weights_sha256,
            "seed": self.prepared.request.seed,
            "attack": self.options.attack,
            "norm": self.options.norm,
            "input": {"name": name, "path": fed.sources[name].path, "sha256": fed.sources[name].sha256},
        }

    def findings(self, fed: Fed, found: Found) -> Findings:
        """Return the record of what was tried, and the files of what was found. Raises `InputError`, see `_files`."""
        given = self.options.epsilon is not None
        results = results_of(found, self.prepared.question.classes.label, epsilon_given=given)
        flags = ["stochastic"] if self.prepared.engine.record.stochastic else []
        flags += ["no-loss-gradient"] if found.perturbed is not None and found.perturbed.stuck else []
        for name in found.files:
            part = fed.parts[name]
            results["inputs"][name]["resized"] = part.geometry is not None and (
                part.geometry.original != part.geometry.size
            )
        return Findings(results, self._files(fed, found) if found.flipped else {}, found.prediction, tuple(flags))

    def _files(self, fed: Fed, found: Found) -> dict[str, File]:
        """Return the perturbed inputs and what is drawn of them, by kind, with their names where they are several.

        Raises `InputError` where `-o` names one file of a kind that isn't made of this input.
        """
        assert found.ball is not None
        label, ends = self.prepared.question.classes.label, distinct_parts(self.moved)
        titles = title(found.before, label), title(found.after, label)
        caption = f"{Path(fed.id).name} · {self.options.attack} · {titles[0]} → {titles[1]}"
        kinds = self.options.kinds(alone=self.alone and "#" not in fed.id)
        files: dict[str, File] = {}
        for name, file in found.files.items():
            part, spec, start = fed.parts[name], self._spec(name), found.ball.reaches[name].start
            view = view_of(start, found.values[name], part, spec, caption, self._metadata(fed, name))
            made = {"after" if is_picture(part) else "array": file}
            made |= drawn_files(start, found.values[name], part, spec, titles=titles, view=view, kinds=kinds)
            end = f".{ends[name]}" if len(self.moved) > 1 else ""
            files |= {f"{kind}{end}": each for kind, each in made.items()}
        wanted = self.options.one_file(self.prepared.request.out)
        if wanted is not None and wanted not in files:
            came = "an array is written as .npy" if wanted == "after" else "a picture is written as .png"
            raise InputError(
                f"-o is '{self.prepared.request.out}', and {came}",
                hint="-o DIR/ for a folder",
                reason="perturbed-format",
            )
        return files

    def conclude(self, run: RunRecord, items: Iterator[ItemRecord]) -> Mapping[str, File]:
        """Count how many were flipped."""
        outcomes = [str(item.results.get("outcome")) for item in items]
        tried = len(outcomes) - outcomes.count("already")
        run.results |= {
            "tried": tried,
            "flipped": outcomes.count("flipped"),
            "already": outcomes.count("already"),
            "flip_rate": outcomes.count("flipped") / tried if tried else None,
        }
        if self.together is None:
            return {}
        common, cost, crowd = self.together
        run.results["together"] = {
            "inputs": len(crowd),
            "reached": common.reached,
            "steps": common.steps,
            "gradients": cost.gradients,
            "passes": cost.passes,
        }
        ends = distinct_parts(self.moved)
        files = {}
        for name, delta in common.delta.items():
            end = f".{ends[name]}" if len(self.moved) > 1 else ""
            files[f"universal{end}"] = array_file(delta)
        return files


def _tried(ball: Ball, goal: Goal, common: Common) -> Perturbing:
    """Look at a sample moved by what was found for all."""
    seen = yield from look_at(ball, ball.moved_by(common.delta), _SEE, goal.objective())
    return Perturbed(seen.values, goal.reached(seen.top), seen.top, common.steps, common.stuck)

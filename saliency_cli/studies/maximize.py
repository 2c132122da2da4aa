"""`maximize`: inputs made to raise a class, a channel or a unit, from noise or from a picture."""

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from saliency_cli import __version__
from saliency_cli.autodiff.packing import Query, Reply
from saliency_cli.differentiable import Array, Ask, Sample
from saliency_cli.errors import InputError, UsageError, nearest
from saliency_cli.maximizing.ascending import Aim, Ascended, Climb, Moment, ascend
from saliency_cli.maximizing.parametrizations import Fourier
from saliency_cli.records import InputSpec, ItemRecord, PredictionRecord, RunRecord
from saliency_cli.rendering.encoding import encode_picture
from saliency_cli.runs.explaining import prediction_of, query
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.naming import distinct_parts
from saliency_cli.runs.places import is_folder
from saliency_cli.runs.preparing import Prepared
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import Source, listed
from saliency_cli.runs.study import File, Findings
from saliency_cli.studies.maximize_canvases import Manner, canvases_of, is_picture
from saliency_cli.studies.maximize_files import Animation, Frame, animated, encoded, scaled, sheet
from saliency_cli.studies.maximize_objectives import Objective
from saliency_cli.studies.maximize_starts import Bounds, StartingFeeder, ended_ranges, takes_pictures
from saliency_cli.studies.perturb_ranges import ranges_of, recorded, require_moved
from saliency_cli.studies.remade import pixels, read_back
from saliency_cli.targets import Target, resolve

Watch = Callable[[str, Frame, int, float], None]
_SHOWN = 32
_WATCHED = 16


def _unwatched(identity: str, frame: Frame, steps: int, start: float) -> None:
    """Show nobody."""


@dataclass(frozen=True, eq=False)
class Maximize:
    """The options of `saliency maximize`.

    `objectives`: what is raised; several only from noise, each in an input of its own. `climb` and `manner`: how
    (`maximizing/`). `every`: each n-th step is kept as a picture, 0 for none. `animation`: the form of a film of the
    way there. `only`: the inputs that are varied, all that have a gradient without it. `sizes`: of places that the
    model leaves open. `watch(id, frame, steps, start)` is shown the way as it goes. `given`: whether there is a
    sample to begin with, None where the request tells.
    """

    objectives: tuple[Objective, ...]
    climb: Climb = field(default_factory=Climb)
    manner: Manner = field(default_factory=Manner)
    every: int = 0
    animation: Animation | None = None
    only: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    watch: Watch = _unwatched
    given: bool | None = None

    name: ClassVar[str] = "maximize"

    def __post_init__(self) -> None:
        climb, manner = self.climb, self.manner
        wrong = {
            "--steps": climb.steps < 1,
            "--tv": not 0 <= climb.tv < np.inf,
            "--l2": not 0 <= climb.l2 < np.inf,
            "--blur": not 0 <= climb.blur < np.inf,
            "--learning-rate": manner.rate is not None and not 0 < manner.rate < np.inf,
            "--jitter": manner.jitter is not None and manner.jitter < 0,
            "--every": self.every < 0 or self.every > climb.steps,
        }
        if found := [name for name, bad in wrong.items() if bad]:
            hint = f"--every N with N up to {climb.steps}" if found == ["--every"] else "a number above 0"
            raise UsageError(f"{', '.join(found)} can't be so", hint=hint, reason="bad-option")
        ended_ranges(manner.valid_range, manner.range_of)

    @property
    def suffixes(self) -> Mapping[str, str]:
        """Each kind of file it may write of a sample; kept steps are `step-0016` and so on."""
        film = {"animation": f".{self.animation}"} if self.animation else {}
        return {"picture": ".png", "values": ".npy", **film}

    @property
    def sequential(self) -> bool:
        """One point after another."""
        return True

    def options(self) -> dict[str, Any]:
        """Return every option."""
        return {
            "objectives": [objective.record() for objective in self.objectives],
            **asdict(self.climb),
            **asdict(self.manner),
            "valid_range": recorded(ranges_of(self.manner.valid_range)),
            "every": self.every,
            "animation": self.animation,
            "only": list(self.only),
            "sizes": list(self.sizes),
        }

    def sources(self, request: ComputeRequest) -> list[Source] | None:
        """Return the inputs that the request names, or without any one made for each objective."""
        self._require_room(request.out)
        if request.inputs or request.named_inputs or request.files_from:
            if len(self.objectives) > 1:
                raise UsageError(
                    f"{len(self.objectives)} things were asked to be raised, and a picture to begin with was given",
                    hint="one target, channel or unit with pictures; several from noise",
                    reason="several-objectives",
                )
            if self.sizes:
                raise _needless_size()
            return listed(request)
        ids = distinct_parts([objective.id for objective in self.objectives])
        for objective in self.objectives:
            if objective.target is not None and objective.target.needs_prediction:
                raise UsageError(
                    "--target top is what a model says of an input, and without one there is only noise",
                    hint="--target CLASS, or give a picture to begin with",
                    reason="top-of-noise",
                )
        return [Source(ids[objective.id], ()) for objective in self.objectives]

    def _require_room(self, out: str | None) -> None:
        """Raise `UsageError` where one file is to hold what is several."""
        kind = self.one_file(out)
        also = "--every" if self.every else "--animation" if self.animation and kind != "animation" else ""
        if kind is not None and also:
            raise UsageError(f"{also} makes further files, and -o {out} is one", hint="-o DIR/ for a folder")

    def one_file(self, out: str | None) -> str | None:
        """Return the kind of file that `-o` names, None where it is a folder or nothing."""
        if out is None or out.endswith(("/", os.sep)) or is_folder(out):
            return None
        suffix = Path(out).suffix.lower()
        return next((kind for kind, known in self.suffixes.items() if known == suffix), None)

    def begin(self, prepared: Prepared) -> "Maximization":
        """Bind the options to an open model.

        Raises:
            UsageError, ModelError: it has nothing of what is to be raised, or no input of that name.
        """
        engine, request = prepared.engine, prepared.request
        for objective in self.objectives:
            objective.require(engine, prepared.question.classes)
        for name in self.only:
            if name not in engine.connected:
                known = engine.disconnected.get(name) or nearest(name, engine.connected)
                hint = known or f"inputs that can be varied: {', '.join(engine.connected)}"
                raise UsageError(f"--only {name}: the model has no input of that name with a gradient", hint=hint)
        varied = tuple(name for name in engine.connected if not self.only or name in self.only)
        specs = {spec.name: spec for spec in engine.specs}
        named = bool(request.inputs or request.named_inputs or request.files_from)
        made = not (named if self.given is None else self.given)
        if self.sizes and not made:
            raise _needless_size()
        # From noise those that are held are made as well.
        ranged = tuple(name for name, spec in specs.items() if spec.floating) if made else varied
        require_moved(ranges_of(self.manner.valid_range), tuple(specs), ranged, "varied")
        bounds = Bounds.of(prepared.feeder, self.manner.valid_range, self.manner.range_of)
        feeder = StartingFeeder.of(prepared, self.sizes, bounds) if made else prepared.feeder
        if self.animation and not any(takes_pictures(specs[name]) for name in varied):
            raise UsageError("--animation is of pictures, and the model takes none", hint="leave it away")
        if len(varied) > 1 and self.one_file(request.out) in ("picture", "values"):
            raise UsageError(
                f"-o {request.out} is one file, and {len(varied)} inputs are varied: {', '.join(varied)}",
                hint="-o DIR/ for a folder, or --only NAME",
            )
        told = "; ".join(objective.text for objective in self.objectives)
        asked = replace(prepared, feeder=feeder, request=replace(request, target=told))
        return Maximization(asked, self, specs, varied, bounds, made)


@dataclass(frozen=True, eq=False)
class Made:
    """What came of one sample: the way, the files of the inputs, and what the model says of them as read back."""

    objective: str
    space: str
    ascended: Ascended
    frames: tuple[Frame, ...]
    files: Mapping[str, File]
    written: float
    prediction: PredictionRecord
    before: PredictionRecord | None
    probability: float | None
    waves: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Maximization:
    """A maximisation on one model. `made`: its samples are made, not read."""

    prepared: Prepared
    options: Maximize
    specs: Mapping[str, InputSpec]
    varied: tuple[str, ...]
    bounds: Bounds
    made: bool

    @cached_property
    def _by_id(self) -> dict[str, Objective]:
        ids = distinct_parts([objective.id for objective in self.options.objectives])
        return {ids[objective.id]: objective for objective in self.options.objectives}

    def program(self, fed: Fed, target: Target | None) -> Generator[Query, Reply, Made]:
        """Go uphill, write what was made in memory, read it back and ask again. `target` is not looked at."""
        del target
        options, engine, classes = self.options, self.prepared.engine, self.prepared.question.classes
        objective = self._by_id[fed.id] if self.made else options.objectives[0]
        canvases = canvases_of(fed, self.specs, self.varied, options.manner, self.bounds, given=not self.made)
        chosen, before = self._fixed(objective), None
        if not self.made:
            first = yield query(_at(fed.sample, objective), chosen)
            before = prediction_of(engine, classes, first)
            if objective.target is not None and chosen is None:
                chosen = resolve(objective.target, classes, first.logits)[0]
        frames: list[Frame] = []
        climbing = ascend(
            fed.sample, canvases, options.climb, Aim(objective.trace), self._keep(fed, frames), self._interval
        )
        ascended = yield from _driven(climbing, chosen)
        files = {name: self._encoded(fed, name, ascended.last.u[name], objective) for name in canvases}
        again = fed.sample.at({name: read_back(file, self.prepared.feeder, name) for name, file in files.items()})
        after = yield query(_at(again, objective), chosen)
        probability = None
        if chosen is not None and chosen.index is not None and engine.head in ("softmax", "sigmoid", "binary"):
            probability = float(after.scores[chosen.index])
        return Made(
            objective.text if chosen is None else chosen.label,
            "activation" if chosen is None else engine.space,
            ascended,
            tuple(frames),
            files,
            float(after.answer.values[0]),
            prediction_of(engine, classes, after),
            before,
            probability,
            tuple(name for name, canvas in canvases.items() if isinstance(canvas.parametrization, Fourier)),
        )

    def _fixed(self, objective: Objective) -> Target | None:
        """Return a target that is known before the sample has been looked at."""
        if objective.target is None or objective.target.needs_prediction:
            return None
        return resolve(objective.target, self.prepared.question.classes, None)[0]

    @property
    def _interval(self) -> int:
        """How many steps lie between two moments that are looked at: those kept, else enough to show the way."""
        steps = self.options.climb.steps
        return self.options.every or max(1, steps // (_SHOWN if self.options.animation else _WATCHED))

    def _keep(self, fed: Fed, frames: list[Frame]) -> Callable[[Moment], None]:
        kept = bool(self.options.every or self.options.animation)
        name = next((name for name in self.varied if is_picture(fed.parts[name])), None)
        limits = (0.0, 255.0) if name is None else self.bounds.limits(name, InputError, picture=True)

        def keep(moment: Moment) -> None:
            shown = None if name is None else pixels(scaled(moment.u[name], limits), self.specs[name])
            frame = Frame(moment.step, moment.value, shown)
            frames.append(frame if kept else replace(frame, pixels=None))
            self.options.watch(fed.id, frame, self.options.climb.steps, frames[0].value)

        return keep

    def _encoded(self, fed: Fed, name: str, u: Array, objective: Objective) -> File:
        part = fed.parts[name]
        limits = self.bounds.limits(name, InputError, picture=is_picture(part))
        return encoded(u, part, self.specs[name], limits, self._metadata(objective.text))

    def _metadata(self, objective: str) -> dict[str, Any]:
        return {
            "software": f"saliency {__version__}",
            "schema": "maximize-1",
            "weights_sha256": self.prepared.engine.record.weights_sha256,
            "seed": self.prepared.request.seed,
            "objective": objective,
            "options": self.options.options(),
        }

    def findings(self, fed: Fed, found: Made) -> Findings:
        """Return the record of the way, and the files of what was made."""
        first, last = found.ascended.first, found.ascended.last
        results = {
            "objective": found.objective,
            "space": found.space,
            "start": first.value,
            "end": last.value,
            "written": found.written,
            "rise": found.written - first.value,
            "probability": found.probability,
            "contrast": found.ascended.contrast,
            "penalty_scale": found.ascended.scale,
            "parametrization": {name: "fourier" if name in found.waves else "pixel" for name in found.files},
            "way": [[frame.step, frame.value] for frame in found.frames],
        }
        if found.before is not None:
            results["before"] = found.before
        flags = ["stochastic"] if self.prepared.engine.record.stochastic else []
        flags += ["not-raised"] if found.written <= first.value else []
        return Findings(results, self._files(fed, found), found.prediction, tuple(flags))

    def _files(self, fed: Fed, found: Made) -> dict[str, File]:
        """Return the inputs that were made, the steps kept and the animation, by kind."""
        ends = distinct_parts(self.varied)
        files: dict[str, File] = {}
        for name, file in found.files.items():
            kind = "picture" if is_picture(fed.parts[name]) else "values"
            files[f"{kind}.{ends[name]}" if len(found.files) > 1 else kind] = file
        shown = [frame for frame in found.frames if frame.pixels is not None]
        digits = len(str(self.options.climb.steps))
        for frame in shown if self.options.every else ():
            metadata = {**self._metadata(found.objective), "step": frame.step, "value": frame.value}
            assert frame.pixels is not None
            picture = encode_picture(frame.pixels, "PNG", metadata)
            files[f"step-{frame.step:0{digits}}"] = File(".png", picture)
        if self.options.animation and shown:
            film = animated([frame.pixels for frame in shown if frame.pixels is not None], self.options.animation)
            files["animation"] = File(f".{self.options.animation}", film)
        wanted = self.options.one_file(self.prepared.request.out)
        if wanted is not None and wanted not in files:
            came = "an array is written as .npy" if wanted == "picture" else "a picture is written as .png"
            raise InputError(
                f"-o is '{self.prepared.request.out}', and {came}", hint="-o DIR/ for a folder", reason="made-format"
            )
        return files

    def conclude(self, run: RunRecord, items: Iterator[ItemRecord]) -> Mapping[str, File]:
        """Put what was made for several objectives side by side."""
        if not self.made or len(self.options.objectives) < 2:
            return {}
        root = Path(self.prepared.request.out or "")
        tiles = []
        for item in items:
            file = item.files.get("picture")
            if file is not None:
                with Image.open(root / file) as image:
                    tiles.append((self._tile(item), np.asarray(image)))
        run.results["shown"] = len(tiles)
        return {"sheet": File(".png", sheet(tiles, self._metadata(run.target)))} if tiles else {}

    def _tile(self, item: ItemRecord) -> str:
        objective = self._by_id.get(item.id)
        short = objective.short if objective is not None and objective.layer else item.results["objective"]
        return f"{short}: {item.results['written']:.3g}"


def _needless_size() -> UsageError:
    return UsageError("--size is for what is made from noise, and inputs were given", hint="leave it away")


def _at(sample: Sample, objective: Objective) -> Ask:
    return Ask(1, lambda _, out: sample.write(out), np.ones(1), trace=objective.trace)


def _driven(program: Generator[Ask, Any, Ascended], target: Target | None) -> Generator[Query, Reply, Ascended]:
    """Drive an ascent about one target; None where the trace is its own."""
    try:
        ask = next(program)
        while True:
            reply = yield query(ask, target)
            ask = program.send(reply.answer)
    except StopIteration as stop:
        ascended: Ascended = stop.value
        return ascended

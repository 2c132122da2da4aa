"""`hessian`: how a target curves at a sample, from products of its second derivative with vectors.

H[i, j] = ∂²s/∂xᵢ∂xⱼ over all floating inputs together, of one target s, which is the sample's own top class unless
another is named. Where the inputs have few values all of H is asked for, and its diagonal and eigenvalues are exact;
else the diagonal is estimated and the eigenvalues of largest magnitude are found by Lanczos.

A network of ReLUs and max pooling is linear almost everywhere, and its second derivative zero: that is told, and
`smooth` takes softplus(βx)/β for each ReLU instead. The target is still the one of the model as it is.
"""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from saliency_cli.autodiff.packing import Evaluation, Evaluator, Query, Reply
from saliency_cli.differentiable import Array, Arrays, Ask, Trace
from saliency_cli.errors import InputError, UsageError
from saliency_cli.records import ItemRecord, RunRecord
from saliency_cli.runs.explaining import query
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.preparing import Prepared
from saliency_cli.runs.reading import read_document
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import Source, listed, read
from saliency_cli.runs.study import File, Findings, first_look
from saliency_cli.studies.hessian_asking import Products
from saliency_cli.studies.hessian_files import archive, picture
from saliency_cli.studies.hessian_found import Curvature, Diagonal, Smoothing, Space, results
from saliency_cli.studies.lanczos import Eigen
from saliency_cli.targets import Target

_SMALL = 256


@dataclass(frozen=True, eq=False)
class Hessian:
    """The options of `saliency hessian`.

    `top`: how many eigenvalues. `probes`: how many random signs the diagonal is estimated from, 0 for none of it.
    `matrix`: whether all of H is asked for; `auto` up to 256 values. `direction`: `gradient`, `random`, or a file of
    the inputs' shapes; H times it is written. `steps`: how many products the eigenvalues may take. `smooth`: β.
    """

    top: int = 3
    probes: int = 32
    matrix: Literal["auto", "yes", "no"] = "auto"
    direction: str = "gradient"
    steps: int = 200
    smooth: float | None = None

    name: ClassVar[str] = "hessian"

    def __post_init__(self) -> None:
        wrong = {"--top": self.top < 0, "--probes": self.probes < 0, "--steps": self.steps < 1}
        if found := [name for name, bad in wrong.items() if bad]:
            raise UsageError(
                f"{', '.join(found)} can't be so", hint="0 or more; --steps 1 or more", reason="bad-option"
            )
        if self.probes == 1:
            raise UsageError("--probes 1 has no standard error", hint="--probes 32, or 0 for no diagonal")
        if self.smooth is not None and not 0 < self.smooth < float("inf"):
            raise UsageError(f"--smooth-relu is {self.smooth:g}; it is above 0", hint="--smooth-relu 10")
        if self.direction not in ("gradient", "random") and not Path(self.direction).is_file():
            raise UsageError(
                f"--direction: there is no file '{self.direction}'", hint="gradient, random, or an .npy or .npz file"
            )

    @property
    def suffixes(self) -> Mapping[str, str]:
        """The arrays, and what is drawn of them."""
        return {"grid": ".png", "arrays": ".npz"}

    @property
    def sequential(self) -> bool:
        """Each step of Lanczos waits for the one before."""
        return True

    def options(self) -> dict[str, Any]:
        """Return every option; a direction from a file goes by its hash."""
        from hashlib import sha256

        named = self.direction in ("gradient", "random")
        digest = None if named else sha256(read(self.direction)).hexdigest()
        told = {"top": self.top, "probes": self.probes, "matrix": self.matrix, "steps": self.steps}
        return {**told, "direction": self.direction if named else digest, "smooth_relu": self.smooth}

    def sources(self, request: ComputeRequest) -> list[Source] | None:
        """Return the inputs that the request names."""
        return listed(request)

    def begin(self, prepared: Prepared) -> "Curving":
        """Bind the options to an open model.

        Raises:
            UsageError: several targets, or a direction that can't be read. ModelError: there is no ReLU to smooth.
        """
        target = prepared.question.target
        if target.every or target.top > 1:
            raise UsageError(
                f"hessian is about one target, and '{target.text}' is several", hint="--target INDEX, once for each"
            )
        named = self.direction in ("gradient", "random")
        arrays = {} if named else dict(read_document(self.direction, read(self.direction)).arrays)
        engine = prepared.engine
        if self.smooth is None:
            return Curving(prepared, self, arrays, {}, engine.kinks())
        assert engine.smoothed is not None
        smooth, replaced = engine.smoothed(self.smooth)
        both = replace(engine, evaluator=_Either(engine.evaluator, smooth))
        return Curving(replace(prepared, engine=both), self, arrays, replaced, engine.kinks())


class _Either:
    """Two models behind one evaluator: as it is, and with its ReLUs smoothed, as a trace says."""

    def __init__(self, plain: Evaluator, smooth: Evaluator) -> None:
        self.plain, self.smooth, self.batch = plain, smooth, plain.batch

    def __call__(self, inputs: Arrays, weights: Array, top: Array, truth: Array, trace: Trace) -> Evaluation:
        evaluator = self.plain if trace.smooth is None else self.smooth
        return evaluator(inputs, weights, top, truth, replace(trace, smooth=None))


@dataclass(frozen=True, eq=False)
class Curving:
    """The second derivatives of one model. `arrays`: the direction, from a file; `replaced`: the ReLUs smoothed."""

    prepared: Prepared
    study: Hessian
    arrays: Arrays
    replaced: Mapping[str, int]
    kinks: Mapping[str, int]

    def program(self, fed: Fed, target: Target | None) -> Generator[Query, Reply, Curvature]:
        """Ask for the gradient, for H times the direction, and for what else is wanted.

        Raises `InputError` where something is not finite, or the direction has another shape than the sample.
        """
        study, sample = self.study, fed.sample
        look = yield from first_look(sample, self.prepared.question, target)
        chosen = look.targets[0]
        space = Space.of(sample)
        products = Products(sample, chosen, space, study.smooth, self.prepared.engine.evaluator.batch)
        smoothing, gradients = None, look.reply.answer.gradients
        if study.smooth is not None:
            ask = Ask(1, lambda _, out: sample.write(out), np.ones(1), trace=Trace(smooth=study.smooth))
            reply = yield query(ask, chosen)
            smoothing = Smoothing(study.smooth, self.replaced, float(reply.answer.values[0]))
            gradients = reply.answer.gradients
        gradient = space.flat(gradients)
        direction = self._direction(products, gradient)
        product = yield from products.one(direction)
        along = product if study.direction == "gradient" else (yield from products.one(gradient))
        # Not of random signs: (x₀ − x₁)² takes half of those to zero, and of normal draws none.
        flat = not np.any(product) and not np.any((yield from products.one(products.normal())))
        square = float(gradient @ gradient)
        found = Curvature(
            space=space,
            prediction=look.prediction,
            target=look.record,
            gradient=gradient,
            direction=direction,
            product=product,
            along=float(gradient @ along) / square if square else None,
            flat=flat,
            kinks=self.kinks,
            smoothing=smoothing,
        )
        return _zero(found, study) if flat else (yield from self._whole(found, products))

    def _whole(self, found: Curvature, products: Products) -> Generator[Query, Reply, Curvature]:
        """Ask for the diagonal and the eigenvalues, or for all of H, which has both."""
        study, size = self.study, found.space.size
        if study.matrix == "yes" or (study.matrix == "auto" and size <= _SMALL):
            raw = yield from products.matrix()
            largest = float(np.abs(raw).max()) or 1.0
            asymmetry = float(np.abs(raw - raw.T).max()) / largest
            return _from_matrix(found, (raw + raw.T) / 2, study.top, asymmetry)
        diagonal = (yield from products.diagonal(study.probes)) if study.probes else None
        eigen = (yield from products.top(study.top, study.steps)) if study.top else None
        flags = () if eigen is None or eigen.settled else ("eigenvalues-unsettled",)
        return replace(found, diagonal=diagonal, eigen=eigen, flags=flags)

    def _direction(self, products: Products, gradient: Array) -> Array:
        study, space = self.study, products.space
        if study.direction == "gradient":
            return gradient
        if study.direction == "random":
            return np.asarray(products.sample.generator("hessian direction", 0).standard_normal(space.size))
        names = tuple(space.shapes)
        given = {names[0]: self.arrays[""]} if set(self.arrays) == {""} and len(names) == 1 else self.arrays
        if unknown := [name for name in given if name and name not in names]:
            raise InputError(
                f"--direction holds an array '{unknown[0]}', and the inputs are {', '.join(names)}",
                hint="an .npz with one array for each input",
                reason="direction",
            )
        for name, shape in space.shapes.items():
            array = given.get(name)
            if array is None or np.asarray(array).shape != shape:
                came = "nothing" if array is None else "×".join(map(str, np.asarray(array).shape))
                raise InputError(
                    f"--direction has {came} for the input '{name}', which is {'×'.join(map(str, shape))}",
                    hint="an .npy of the input's shape, or an .npz with one array for each input",
                    reason="direction",
                )
            if not np.isfinite(array).all():
                raise InputError(
                    f"--direction holds values that are NaN or infinite for the input '{name}'",
                    hint="mend the file",
                    reason="direction",
                )
        return space.flat(given)

    def findings(self, fed: Fed, found: Curvature) -> Findings:
        """Return the numbers, the arrays and the picture."""
        flags = ["stochastic"] if self.prepared.engine.record.stochastic else []
        flags += ["disconnected"] if self.prepared.engine.disconnected else []
        if found.flat:
            flags.append("flat" if self.kinks else "linear")
        about = {"study": self.study.name, "input": fed.id, "target": found.target.label}
        specs = {spec.name: spec for spec in self.prepared.engine.specs}
        files = {"grid": picture(fed, found, specs, about), "arrays": archive(found)}
        return Findings(results(found), files, found.prediction, (*flags, *found.flags))

    def conclude(self, run: RunRecord, items: Iterator[ItemRecord]) -> Mapping[str, File]:
        """Record what of the model is linear but for kinks, and what was smoothed."""
        del items
        run.results["kinks"] = dict(self.kinks)
        if self.study.smooth is not None:
            run.results["smoothed"] = dict(self.replaced)
        return {}


def _zero(found: Curvature, study: Hessian) -> Curvature:
    """Return what is known of a second derivative that is zero."""
    size = found.space.size
    diagonal = Diagonal(np.zeros(size), None, 0.0, None)
    if study.matrix == "yes" or (study.matrix == "auto" and size <= _SMALL):
        return replace(
            found, diagonal=diagonal, eigen=_no_eigenvalues(study.top, size), matrix=np.zeros((size, size))
        )
    return replace(
        found,
        diagonal=diagonal if study.probes else None,
        eigen=_no_eigenvalues(study.top, size) if study.top else None,
    )


def _no_eigenvalues(count: int, size: int) -> Eigen:
    count = min(count, size)
    return Eigen(np.zeros(count), np.zeros((0, size)), np.zeros(count), 0, settled=True)


def _from_matrix(found: Curvature, matrix: Array, top: int, asymmetry: float) -> Curvature:
    """Return what all of H tells: its diagonal and eigenvalues, exact but for rounding."""
    values, vectors = np.linalg.eigh(matrix)
    order = np.argsort(-np.abs(values), kind="stable")[:top]
    diagonal = np.diagonal(matrix).copy()
    return replace(
        found,
        matrix=matrix,
        asymmetry=asymmetry,
        diagonal=Diagonal(diagonal, None, float(diagonal.sum()), None),
        eigen=Eigen(values[order], vectors[:, order].T, np.zeros(len(order)), 0, settled=True),
    )

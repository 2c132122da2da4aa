"""Documents become samples: each model input finds its array, prepared as the run declares.

A file may hold one sample or a stack of them (one more axis than the model's input, or the rows of a
table); each gets its own id, `x.npy#17`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from saliency_cli.differentiable import Array, Arrays, Sample, content_hash
from saliency_cli.errors import InputError, UsageError, nearest
from saliency_cli.geometry import Geometry, Resize
from saliency_cli.preprocessing import Preparing, baseline, choose, parse_preprocess, prepare_picture
from saliency_cli.readers import Document
from saliency_cli.records import InputSpec, Layout, PreparingRecord, ScalingClue, SourceRecord
from saliency_cli.runs.fitting import as_dtype, fits, from_array, from_table, layout_of, require_finite
from saliency_cli.runs.reading import read_document
from saliency_cli.runs.sources import Source, read, written

_AS_IS = Preparing("none", "arrays and tables are taken as they are", False, (1.0,), (0.0,))


@dataclass(frozen=True, eq=False)
class Part:
    """One model input of one sample: its array, and what a picture of its map is drawn on.

    `whole`: its file holds whole numbers of 8 bits, 0 to 255.
    """

    values: Array
    raw: Array
    layout: Layout
    preparing: Preparing
    original: Array | None = None
    original_format: str = "PNG"
    geometry: Geometry | None = None
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    resize: Resize | None = None
    whole: bool = False

    def preparing_record(self) -> PreparingRecord:
        """Return what the JSON says of how the values were prepared."""
        return self.preparing.record(self.resize, self.geometry.size if self.geometry else None)


@dataclass(frozen=True, eq=False)
class Fed:
    """One sample, ready: its id, its arrays, and the parts its maps are drawn on."""

    id: str
    sample: Sample
    parts: Mapping[str, Part]
    sources: Mapping[str, SourceRecord]
    notes: tuple[str, ...] = ()
    guessed: bool = False


@dataclass(frozen=True, eq=False)
class Unfit:
    """A sample of a stack that can't be used, beside others that can."""

    id: str
    error: InputError


@dataclass(frozen=True, eq=False)
class Feeder:
    """Builds samples for a model: its input specs, and how pictures are prepared for each."""

    specs: tuple[InputSpec, ...]
    preparing: Mapping[str, Preparing]
    declared: bool
    resize: Resize
    seed: int
    differentiated: tuple[str, ...] = field(default=())

    @classmethod
    def plan(
        cls,
        specs: tuple[InputSpec, ...],
        clues: Mapping[str, Sequence[ScalingClue]],
        preprocess: str,
        resize: Resize,
        *,
        seed: int,
        differentiated: tuple[str, ...],
    ) -> "Feeder":
        """Choose how each input's pictures are prepared. Raises `UsageError` for a `--preprocess` without sense."""
        declared = parse_preprocess(preprocess)
        chosen = {spec.name: declared or choose(clues.get(spec.name, ()), spec) for spec in specs}
        return cls(specs, chosen, declared is not None, resize, seed, differentiated)

    def feed(self, source: Source, held: Mapping[str, bytes] | None = None) -> "list[Fed | Unfit]":
        """Read a source's files and return its samples, those that hold NaN or infinity as unfit.

        `held` gives the bytes of files that have been read already, by path.

        Raises:
            InputError: a file can't be read or doesn't fit the model.
        """
        if source.error:
            raise source.error
        stacks: dict[str, list[Part]] = {}
        records: dict[str, SourceRecord] = {}
        stacked = False
        for name, path in self._assigned(source):
            data = held[path] if held is not None else read(path)
            document = read_document("" if path == "-" else written(path), data)
            parts, many = self._parts(document, name)
            stacked = stacked or many
            stacks.update(parts)
            for given in parts:
                records[given] = _source_record(path, data, document)
        self._require_all(stacks)
        lengths = {len(parts) for parts in stacks.values()}
        if len(lengths) > 1:
            counts = ", ".join(f"{len(parts)} for '{name}'" for name, parts in stacks.items())
            raise InputError(f"the inputs hold different numbers of samples: {counts}", reason="unpaired")
        rows = range(lengths.pop())
        return [
            self._fed(
                f"{source.id}#{row}" if stacked else source.id, {n: p[row] for n, p in stacks.items()}, records, row
            )
            for row in rows
        ]

    def _assigned(self, source: Source) -> tuple[tuple[str, str], ...]:
        """Return a source's parts, those without a name given to the inputs in the model's order."""
        unnamed = len(source.parts) > 1 and not any(name for name, _ in source.parts)
        if not unnamed or len(source.parts) != len(self.specs):
            return source.parts
        return tuple((spec.name, path) for spec, (_, path) in zip(self.specs, source.parts, strict=True))

    def take(self, documents: Mapping[str, Document]) -> "Fed | Unfit":
        """Return the one sample that documents in memory hold, by input name."""
        parts = {spec.name: self._one(documents[spec.name], spec)[0][spec.name] for spec in self.specs}
        stacked = next((name for name, found in parts.items() if len(found) != 1), None)
        if stacked is not None:
            raise InputError(f"the input '{stacked}' got {len(parts[stacked])} samples, and one was expected")
        records = {name: SourceRecord(path="") for name in parts}
        return self._fed("array", {name: found[0] for name, found in parts.items()}, records, 0)

    def part(self, document: Document, name: str) -> Part:
        """Return the one array that a document in memory holds for an input. Raises `InputError` for a stack."""
        (spec,) = (spec for spec in self.specs if spec.name == name)
        found = self._one(_single(document), spec)[0][name]
        if len(found) != 1:
            raise InputError(f"the input '{name}' got {len(found)} samples, and one was expected")
        return found[0]

    def _fed(
        self, identity: str, parts: dict[str, Part], records: dict[str, SourceRecord], row: int
    ) -> "Fed | Unfit":
        arrays = {spec.name: parts[spec.name].values for spec in self.specs}
        try:
            for name, array in arrays.items():
                require_finite(name, array)
        except InputError as error:
            return Unfit(identity, error)
        content = content_hash(arrays)
        floating = self.differentiated
        channels = {spec.name: _channels(spec, parts[spec.name]) for spec in self.specs}
        sample = Sample(
            arrays, floating, lambda kind: self._baseline(kind, parts, content), self.seed, content, channels
        )
        sources = {
            name: _with_row(records[name], part, row if "#" in identity else None) for name, part in parts.items()
        }
        notes = tuple(note for part in parts.values() for note in part.notes)
        guessed = any(part.preparing.guessed for part in parts.values())
        return Fed(identity, sample, parts, sources, notes, guessed)

    def _parts(self, document: Document, name: str) -> tuple[dict[str, list[Part]], bool]:
        """Return the parts a document holds by input name, and whether they are a stack."""
        names = tuple(spec.name for spec in self.specs)
        if name:
            spec = next((spec for spec in self.specs if spec.name == name), None)
            if spec is None:
                hint = nearest(name, names) or f"its inputs: {', '.join(names)}"
                raise UsageError(f"the model has no input '{name}'", hint=hint, reason="unknown-input")
            return self._one(_single(document), spec)
        if set(document.arrays) != {""} and (len(names) > 1 or set(document.arrays) & set(names)):
            unknown = [key for key in document.arrays if key not in names]
            if unknown:
                raise InputError(
                    f"the file's arrays are {', '.join(document.arrays)}; the model's inputs are {', '.join(names)}",
                    hint=f"name the arrays like the inputs: np.savez(file, {', '.join(f'{n}=…' for n in names)})",
                    reason="unknown-array",
                )
            found: dict[str, list[Part]] = {}
            stacked = False
            for spec in (spec for spec in self.specs if spec.name in document.arrays):
                parts, many = self._one(_renamed(document, spec.name), spec)
                stacked = stacked or many
                found.update(parts)
            return found, stacked
        if len(names) == 1:
            return self._one(_single(document), self.specs[0])
        if document.kind == "table" and set(document.columns) == set(names):
            return self._scalars(document), len(document.arrays[""]) > 1
        raise InputError(
            f"the model takes {len(names)} inputs ({', '.join(names)}), and one file came",
            hint=" ".join(f"--input {name}=FILE" for name in names) + ", or an .npz with arrays of these names",
            reason="several-inputs",
        )

    def _require_all(self, found: Mapping[str, Any]) -> None:
        missing = [spec.name for spec in self.specs if spec.name not in found]
        if missing:
            raise InputError(
                f"the model's input '{missing[0]}' got no file",
                hint=f"--input {missing[0]}=FILE",
                reason="missing-input",
            )

    def _scalars(self, document: Document) -> dict[str, list[Part]]:
        table = document.arrays[""]
        return {
            spec.name: [
                _plain(
                    table[row, document.columns.index(spec.name)].reshape([1] * len(spec.shape)),
                    spec,
                    "table",
                    (spec.name,),
                )
                for row in range(len(table))
            ]
            for spec in self.specs
        }

    def _one(self, document: Document, spec: InputSpec) -> tuple[dict[str, list[Part]], bool]:
        if spec.dtype == "string":
            raise InputError(f"the input '{spec.name}' takes text, which has no gradient", reason="integer-input")
        if document.kind == "picture":
            return {spec.name: [self._picture(document, document.arrays[""], spec)]}, False
        if document.kind == "table":
            samples = from_table(document, spec)
            layout: Layout = "table" if len(spec.shape) <= 1 and len(document.columns) > 1 else "signal"
            names = document.columns if layout == "table" or len(spec.shape) > 1 else ()
            parts = [_plain(sample, spec, layout, names, self._given(spec)) for sample in samples]
            return {spec.name: parts}, len(samples) > 1
        array = document.arrays[""]
        if array.dtype == np.uint8 and len(spec.shape) == 3 and array.ndim in (2, 3) and not fits(array, spec, 1):
            picture = array[..., None] if array.ndim == 2 else array
            return {spec.name: [self._picture(document, picture.astype(np.float32), spec)]}, False
        samples, stacked = from_array(array, spec)
        declared = (
            self.preparing[spec.name] if array.dtype == np.uint8 and len(spec.shape) == 3 else self._given(spec)
        )
        parts = [_plain(sample, spec, layout_of(spec), (), declared) for sample in samples]
        return {spec.name: parts}, stacked

    def _given(self, spec: InputSpec) -> Preparing:
        """Arrays are taken as they are unless the user declared otherwise."""
        return self.preparing[spec.name] if self.declared else _AS_IS

    def _picture(self, document: Document, picture: Array, spec: InputSpec) -> Part:
        if len(spec.shape) not in (2, 3):
            raise InputError(
                f"a picture came for the input '{spec.name}', which takes an array of {spec.describe()}",
                hint="give it as .npy, .npz or .csv",
                reason="not-an-array",
            )
        raw, geometry, notes = prepare_picture(picture, spec, self.resize)
        preparing = self.preparing[spec.name]
        values = preparing.apply(raw, spec.channels if len(spec.shape) == 3 else None)
        return Part(
            values=as_dtype(values, spec),
            raw=raw,
            layout="picture",
            preparing=preparing,
            original=document.display,
            original_format=document.format or "PNG",
            geometry=geometry,
            notes=(*document.notes, *notes),
            resize=self.resize,
            whole=True,
        )

    def _baseline(self, kind: str, parts: Mapping[str, Part], content: str) -> Arrays:
        """Return what "absent" means for every differentiated input, prepared like it."""
        return {name: self._absent(kind, name, parts[name], content) for name in self.differentiated}

    def _absent(self, kind: str, name: str, part: Part, content: str) -> Array:
        spec = next(spec for spec in self.specs if spec.name == name)
        channels = _channels(spec, part)
        if kind == "zero":
            return np.zeros_like(part.values)
        if kind == "noise":
            key = int(sha256(f"{self.seed}|{content}|{name}|baseline".encode()).hexdigest()[:32], 16)
            low, high = (0.0, 255.0) if part.layout == "picture" else (float(part.raw.min()), float(part.raw.max()))
            raw = np.random.Generator(np.random.Philox(key=key)).uniform(low, high, part.raw.shape)
        elif Path(kind).is_file():
            return self._from_file(kind, spec, part)
        else:
            raw = baseline(kind, part.raw, channels, part.layout == "picture")
        return part.preparing.apply(np.asarray(raw, np.float32), channels)

    def _from_file(self, path: str, spec: InputSpec, part: Part) -> Array:
        document = read_document(path, read(path))
        if set(document.arrays) != {""} and spec.name in document.arrays:
            document = _renamed(document, spec.name)
        found = self._one(_single(document), spec)[0][spec.name][0].values
        if found.shape != part.values.shape:
            raise InputError(
                f"the baseline '{path}' is {found.shape}, and the input {part.values.shape}", reason="baseline"
            )
        return found


def _channels(spec: InputSpec, part: Part) -> int | None:
    return spec.channels if len(spec.shape) == 3 or part.layout == "signal" else None


def _single(document: Document) -> Document:
    """Return a document that holds one unnamed array; an archive of a single array counts."""
    if set(document.arrays) == {""}:
        return document
    if len(document.arrays) == 1:
        return _renamed(document, next(iter(document.arrays)))
    raise InputError(
        f"the file holds {len(document.arrays)} arrays ({', '.join(document.arrays)}), and one was expected",
        hint="give an .npy, or an .npz with one array",
        reason="several-arrays",
    )


def _renamed(document: Document, name: str) -> Document:
    return Document(
        document.kind, {"": document.arrays[name]}, None, document.format, document.columns, document.notes
    )


def _plain(
    sample: Array, spec: InputSpec, layout: Layout, names: tuple[str, ...], preparing: Preparing = _AS_IS
) -> Part:
    raw = np.asarray(sample, np.float32) if spec.floating else np.asarray(sample)
    values = preparing.apply(raw, spec.channels if len(spec.shape) == 3 else None) if spec.floating else raw
    return Part(as_dtype(values, spec), raw, layout, preparing, names=names, whole=sample.dtype == np.uint8)


def _source_record(path: str, data: bytes, document: Document) -> SourceRecord:
    shown = document.display.shape if document.display is not None else None
    return SourceRecord(
        path=written(path),
        sha256=sha256(data).hexdigest(),
        width=shown[1] if shown else None,
        height=shown[0] if shown else None,
    )


def _with_row(record: SourceRecord, part: Part, row: int | None) -> SourceRecord:
    return SourceRecord(
        path=record.path,
        sha256=record.sha256,
        row=row,
        width=record.width,
        height=record.height,
        preparing=part.preparing_record(),
        notes=list(part.notes),
    )

"""From what was computed of one sample to its files and its record."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from saliency_cli.differentiable import Method
from saliency_cli.errors import InputError
from saliency_cli.records import InputSpec, ItemRecord, MapRecord
from saliency_cli.rendering.view import Style, View
from saliency_cli.runs.destination import WRITERS, Destination, write_whole
from saliency_cli.runs.explaining import Attributed, Explained
from saliency_cli.runs.feeding import Fed
from saliency_cli.runs.summary import summarise
from saliency_cli.writers import Writer


@dataclass(frozen=True, eq=False)
class Publisher:
    """Draws, encodes and writes one sample's maps, and returns its record. Safe to call from threads."""

    destination: Destination
    specs: Mapping[str, InputSpec]
    methods: Mapping[str, Method]
    style: Style
    reduce_given: bool
    metadata: Mapping[str, Any]
    writers: Mapping[str, Writer]

    @classmethod
    def plan(
        cls,
        destination: Destination,
        specs: tuple[InputSpec, ...],
        methods: Mapping[str, Method],
        style: Style,
        *,
        reduce_given: bool,
        metadata: Mapping[str, Any],
    ) -> "Publisher":
        """Build the writers a destination asks for."""
        writers = {name: WRITERS.build(name, {}) for name in destination.formats}
        return cls(destination, {spec.name: spec for spec in specs}, methods, style, reduce_given, metadata, writers)

    def publish(self, fed: Fed, explained: Explained, seconds: float) -> tuple[ItemRecord, bytes]:
        """Write a sample's files and return its record, and the bytes of a picture meant for stdout."""
        record = ItemRecord(
            id=fed.id,
            status="ok",
            sources=dict(fed.sources),
            prediction=explained.prediction,
            flags=["preparing-guessed"] if fed.guessed else [],
            seconds=seconds,
        )
        pending: list[tuple[dict[str, str], str, Writer, list[View], dict[str, str]]] = []
        for found in explained.maps:
            entry, views = self.describe(fed, found, record, drawn=bool(self.writers))
            record.maps.append(entry)
            parts = {"method": found.method, "target": found.target.label}
            for format_name, writer in self.writers.items():
                if writer.scope == "attribution":
                    pending.append((entry.files, format_name, writer, list(views.values()), parts))
                elif writer.scope == "input":
                    for name, view in views.items():
                        files = entry.inputs[name].files
                        pending.append((files, format_name, writer, [view], {**parts, "input": name}))
                elif found is explained.maps[-1]:
                    pending.append((record.files, format_name, writer, list(views.values()), {}))
        record.flags += [
            flag for flag in dict.fromkeys(f for m in record.maps for f in m.flags) if flag not in record.flags
        ]
        return record, self._write(record, pending)

    def _write(self, record: ItemRecord, pending: list[Any]) -> bytes:
        shown = b""
        # Names first, so that the JSON file can tell of every other file.
        for files, format_name, writer, views, parts in pending:
            files[format_name] = self.destination.name(record.id, format_name, writer.suffix(views[0]), parts)
        for files, format_name, writer, views, _ in pending:
            self._require_format(writer, views[0])
            data = writer.encode(views)
            if self.destination.kind == "stdout":
                shown = data
            else:
                write_whole(self.destination.path(files[format_name]), data)
        return shown

    def _require_format(self, writer: Writer, view: View) -> None:
        """Raise `InputError` where the one file asked for is named after another format than it would get."""
        root = self.destination.root
        if self.destination.kind != "file" or self.destination.picture_format is None:
            return
        suffix = writer.suffix(view)
        if root.suffix.lower().replace(".jpeg", ".jpg") != suffix:
            raise InputError(
                f"a map of this input is drawn as {suffix.removeprefix('.').upper()}, and -o is '{root}'",
                hint=f"-o {root.with_suffix(suffix)}",
                reason="picture-format",
            )

    def describe(
        self, fed: Fed, found: Attributed, record: ItemRecord | None = None, *, drawn: bool = True
    ) -> tuple[MapRecord, dict[str, View]]:
        """Return one map's numbers, and the view of each input it is drawn from, if it is drawn."""
        method = self.methods[found.method]
        entry = MapRecord(
            method=found.method,
            target=found.target,
            inputs={},
            details=dict(found.explanation.details),
            metrics={label: value if isfinite(value) else None for label, (value, _) in found.measured.items()},
            notes={label: note for label, (_, note) in found.measured.items() if note},
            flags=list(found.flags),
        )
        views = {}
        for name, values in found.explanation.values.items():
            spec, part = self.specs[name], fed.parts[name]
            channels = spec.channels if part.layout in ("picture", "signal") and len(spec.shape) > 1 else None
            if len(spec.shape) == 2 and part.layout == "picture":
                channels = None
            entry.inputs[name] = summarise(values, channels, part.names, method.unit)
            if not drawn:
                continue
            style = self.style if self.reduce_given else replace(self.style, reduce=method.reduce)
            views[name] = View(
                values=values,
                layout=part.layout,
                signed=method.signed,
                style=style,
                channels=channels,
                original=part.original,
                original_format=self.destination.picture_format or part.original_format,
                geometry=part.geometry,
                raw=part.raw,
                names=part.names,
                input_name=name if len(fed.parts) > 1 else "",
                caption=self._caption(fed, found),
                unit=method.unit,
                metadata=self._metadata(fed, found, name, style),
                record=record,
                layers=found.explanation.layers,
            )
        return entry, views

    @staticmethod
    def _caption(fed: Fed, found: Attributed) -> str:
        target = found.target
        what = f"{target.loss} loss" if target.loss else f"{target.label} ({target.space})"
        return f"{Path(fed.id).name} · {found.method} · {what}"

    def _metadata(self, fed: Fed, found: Attributed, name: str, style: Style) -> dict[str, Any]:
        target = found.target
        return {
            **self.metadata,
            "method": found.method,
            "options": _options(self.methods[found.method]),
            "target": {"label": target.label, "output": target.output, "space": target.space, "value": target.value},
            "input": {"name": name, "path": fed.sources[name].path, "sha256": fed.sources[name].sha256},
            "reduce": style.reduce,
            "clip_percentile": style.clip_percentile,
        }


def _options(method: Method) -> dict[str, Any]:
    return dict(vars(method))

"""What `run.json` says a run was made of, and the settings that `--resume` holds it to."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from saliency_cli import __version__
from saliency_cli.clipping import clip_of
from saliency_cli.records import MethodRecord, RunRecord
from saliency_cli.runs.engine import Engine
from saliency_cli.runs.feeding import Feeder
from saliency_cli.runs.naming import readable
from saliency_cli.runs.remote import without_credentials
from saliency_cli.runs.request import ComputeRequest
from saliency_cli.runs.sources import read


def run_record(
    request: ComputeRequest,
    engine: Engine,
    feeder: Feeder,
    *,
    methods_of: list[MethodRecord],
    formats: tuple[str, ...],
) -> RunRecord:
    """Return a run's provenance, before anything of it is done."""
    clip = clip_of(request.clip_norm, request.clip_value, request.clip_global_norm)
    settings = {
        "weights": engine.record.weights_sha256,
        "method": {method.name: method.options for method in methods_of},
        "target": request.target,
        "output": engine.output,
        "space": engine.space,
        "loss": engine.loss,
        "label": request.label,
        "class_names": _digest(request.class_names),
        "custom_objects": _digest(request.custom_objects),
        "baseline": _digest_of_baselines(methods_of),
        "preprocess": {name: preparing.name for name, preparing in feeder.preparing.items()},
        "resize": request.resize,
        "reduce": request.reduce,
        "colormap": request.colormap,
        "alpha": request.alpha,
        "clip_percentile": request.clip_percentile,
        "format": list(formats),
        "seed": request.seed,
        "batch_size": engine.evaluator.batch,
        "folded": engine.folded,
        "clip": None if clip is None else clip.describe(),
        "saliency": __version__,
        "tensorflow": engine.environment.get("tensorflow"),
        "keras": engine.environment.get("keras"),
        "device": engine.environment.get("device"),
    }
    return RunRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        tool={"name": "saliency", "version": __version__},
        command=[without_credentials(readable(word)) for word in request.command],
        environment=dict(engine.environment),
        model=msgspec.structs.replace(engine.record, path=readable(engine.record.path)),
        methods=methods_of,
        target=request.target,
        space=engine.space,
        loss=engine.loss,
        preparing={name: preparing.record(request.resize) for name, preparing in feeder.preparing.items()},
        reduce=request.reduce,
        seed=request.seed,
        batch_size=engine.evaluator.batch,
        memory=engine.memory,
        folded=engine.folded,
        settings=settings,
    )


def _digest(file: str | None) -> str | None:
    """Return the hash of a file that a run's maps or names depend on."""
    return None if file is None else sha256(read(file)).hexdigest()


def _digest_of_baselines(methods: list[MethodRecord]) -> dict[str, str | None]:
    baselines = {found.name: found.options.get("baseline") for found in methods}
    return {name: _digest(str(file)) for name, file in baselines.items() if file and Path(str(file)).is_file()}

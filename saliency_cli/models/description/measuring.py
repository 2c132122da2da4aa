"""How large a model is, and the hash of it that its loader gives, by which the records of runs know it."""

import hashlib
from pathlib import Path

from saliency_cli.errors import ModelError
from saliency_cli.models.tfjs.document import model_file, read_document
from saliency_cli.models.tfjs.manifest import read_groups


def measure(place: Path, kind: str) -> tuple[str, int]:
    """Return a model's SHA-256 and its size in bytes."""
    main = [place]
    if kind == "saved-model":
        main = [place / "saved_model.pb"]
    elif kind.startswith("tfjs"):
        main = [model_file(place)]
        if kind == "tfjs-layers":
            main += _shards(main[0])
    digest = hashlib.sha256()
    for file in main:
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    inside = place.rglob("*") if place.is_dir() else main
    return digest.hexdigest(), sum(file.stat().st_size for file in inside if file.is_file())


def _shards(file: Path) -> list[Path]:
    _, document = read_document(file)
    try:
        return [shard for group in read_groups(file.parent, document["weightsManifest"]) for shard in group.files]
    except ModelError:
        return []

"""What the user asked `compute` for, as plain values: the command line and Python both fill this in."""

from dataclasses import dataclass, field
from typing import Literal

from saliency_cli.geometry import Resize


@dataclass(frozen=True)
class ComputeRequest:
    """One `saliency compute`. Text options hold the user's text; whoever understands it parses it.

    `inputs`: files, folders, quoted globs, `-` for a picture on stdin. `files_from`: a file of paths or `-`.
    `named_inputs`: `(input name, path)` in the order given. `options`: the `-p` texts. `out`: None for pictures in
    the current folder, `-` for one PNG on stdout. `formats` empty: the default of the output kind. `layout`: of a
    run folder, files of every input or parts of rows; `keep_maps`: which maps the latter keeps, `all`, `failing`,
    `worst:K`, `sample:K`, `none`. `metrics`: what is measured of every map, `name:option=value,…`. `masks`: a
    folder of masks, or a table of boxes. `reference`: a second model that every map is compared with, by
    `reference_method` where it is another than the first's. `valid_range`: the lowest and highest value arrays may
    have, in the file's own units (pictures: 0 to 255). `outputs`: of a study that looks at several outputs, their
    names, or empty for all; None where one is differentiated. `by_weights`: so that none of the inputs needs a
    gradient. `clip_…`: gradients are cut down in one of these ways (`saliency_cli/clipping.py`). `jobs`: worker
    processes, None for this process alone, or for a worker a core with `engine` `dask`. `scheduler`: of a Dask
    cluster that is joined, `tcp://…`, `tls://…` or its file. `batch_size` `auto`: as large as fits and is worth it;
    `max_memory`: what a batch may take, a text such as `2GB`; `expected`: how many points will be asked for in all,
    where the plan tells.
    """

    model: str
    inputs: tuple[str, ...] = ()
    named_inputs: tuple[tuple[str, str], ...] = ()
    files_from: str | None = None
    null_separated: bool = False
    out: str | None = None
    formats: tuple[str, ...] = ()
    layout: Literal["auto", "files", "sharded"] = "auto"
    keep_maps: str | None = None
    methods: tuple[str, ...] = ("gradient",)
    options: tuple[str, ...] = ()
    layer: str | None = None
    target: str = "top"
    space: Literal["logit", "probability", "log-probability"] | None = None
    output_name: str | None = None
    outputs: tuple[str, ...] | None = None
    by_weights: bool = False
    loss: str | None = None
    label: str | None = None
    labels: str | None = None
    class_names: str | None = None
    preprocess: str = "auto"
    resize: Resize = "stretch"
    reduce: Literal["max", "mean", "sum", "l2", "none"] | None = None
    colormap: str | None = None
    alpha: float = 0.5
    clip_percentile: float = 99.0
    seed: int = 0
    batch_size: int | Literal["auto"] | None = None
    max_memory: str | None = None
    expected: int | None = None
    fold: Literal["auto", "yes", "no"] = "auto"
    clip_norm: float | None = None
    clip_value: float | None = None
    clip_global_norm: float | None = None
    device: str | None = None
    threads: int | None = None
    jobs: int | None = None
    engine: Literal["local", "dask"] = "local"
    scheduler: str | None = None
    shard: tuple[int, int] | None = None
    custom_objects: str | None = None
    signature: str | None = None
    input_tensors: tuple[str, ...] = ()
    output_tensors: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    trust_model: bool = False
    resume: bool = False
    overwrite: bool = False
    strict: bool = False
    dry_run: bool = False
    max_failures: int | None = None
    metrics: tuple[str, ...] = ()
    masks: str | None = None
    reference: str | None = None
    reference_method: str | None = None
    reference_options: tuple[str, ...] = ()
    valid_range: tuple[float, float] | None = None
    command: tuple[str, ...] = field(default=(), compare=False)

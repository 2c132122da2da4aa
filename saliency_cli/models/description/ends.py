"""The inputs and outputs that a Keras configuration names."""

from saliency_cli.models.description.facts import End, written
from saliency_cli.models.description.layers import Node
from saliency_cli.models.description.shapes import axes, units
from saliency_cli.models.tfjs.calls import layer_name, references
from saliency_cli.models.tfjs.inputs import first_shape

_HALF = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


def inputs(model: Node) -> list[End]:
    """Return the inputs of a model, in its order."""
    options = model.config
    order = [name for name, _, _ in references(options.get("input_layers"))]
    known = {layer_name(node.entry): node for node in model.inside if node.kind == "InputLayer"}
    if order or "input_layers" in options:
        return [End(name, written(known[name].gives), _dtype(known[name])) for name in order if name in known]
    for node in known.values():
        return [End(node.name, written(node.gives), _dtype(node))]
    if not model.inside:
        return _built(model)
    shape = axes(first_shape(model.entry)) or axes(options.get("build_input_shape"))
    return [End(f"{model.inside[0].name}_input", written(shape), _dtype(model.inside[0]))] if shape else []


def _built(model: Node) -> list[End]:
    """Return the inputs of a subclassed model, whose shapes are those it was built with."""
    built = model.entry.get("build_config")
    if not isinstance(built, dict):
        return []
    shapes = built.get("shapes_dict") or built.get("input_shape")
    if isinstance(shapes, dict):
        named = {key.removesuffix("_shape"): axes(shape) for key, shape in shapes.items()}
        plain = len(named) == 1 and "shapes_dict" in built
        return [End("input" if plain else name, written(shape), "float32") for name, shape in named.items()]
    return [End("input", written(axes(shapes)), "float32")] if axes(shapes) else []


def _dtype(node: Node) -> str:
    config = node.config
    dtype = config.get("input_dtype") or config.get("dtype") or "float32"
    if isinstance(dtype, dict):
        inner = dtype.get("config")
        dtype = inner.get("name", "float32") if isinstance(inner, dict) else "float32"
    return "float32" if dtype in _HALF else str(dtype)


def outputs(model: Node) -> list[End]:
    """Return the outputs of a model: the layers at its end, what they are and, where it is told, their shape."""
    options = model.config
    ends = options.get("output_layers")
    known = {layer_name(node.entry): node for node in model.inside}
    named = [name for name, _, _ in references(ends)]
    if ends is None:
        named = [layer_name(model.inside[-1].entry)] if model.inside else []
    labels = [str(key) for key in ends] if isinstance(ends, dict) and len(ends) == len(named) else named
    found = zip(labels, named, strict=True)
    return [_end(label, known[name]) for label, name in found if name in known]


def _end(label: str, node: Node) -> End:
    last = node
    while last.inside:
        last = last.inside[-1]
    activation = last.config.get("activation")
    by = f"{last.kind}, {activation}" if isinstance(activation, str) and activation != "linear" else last.kind
    shape = written(node.gives)
    if not shape and (size := units(last)) is not None:
        shape = f"…×{size}"
    return End(label, shape, "", by)

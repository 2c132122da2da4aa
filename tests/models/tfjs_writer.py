"""Writes TensorFlow.js layers-models from tiny Keras models, and evaluates opened ones; a tool of the tests."""

import json
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def shared(name):
    """A file or folder of the reference material beside the project; skips the test where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the reference material is not here: no {name} beside the project")
    return path


def weights_of(model):
    """A model's weights as TensorFlow.js calls them: `layer/kernel`, a cell's own name left out."""
    found = {}
    for layer in model.layers:
        parts = {"": layer}
        if hasattr(layer, "forward_layer"):
            inner = (layer.forward_layer, layer.backward_layer)
            parts = {f"/{part.name}": part for part in inner}
        for prefix, part in parts.items():
            for variable in part.weights:
                if "seed" in variable.name:
                    continue
                kind = variable.name
                if type(layer).__name__.startswith("DepthwiseConv") and kind == "kernel":
                    kind = "depthwise_kernel"
                found[f"{layer.name}{prefix}/{kind}"] = variable.numpy()
    return found


def topology_of(model, version="tfjs-layers 4.22.0"):
    """A Sequential model's topology as TensorFlow.js saves it: the input's shape in the first layer."""
    layers = []
    for layer in model.layers:
        config = {key: value for key, value in layer.get_config().items() if key != "dtype"}
        config = json.loads(json.dumps(config, default=list))
        if not layers:
            config["batch_input_shape"] = [None, *model.inputs[0].shape[1:]]
            config["dtype"] = "float32"
        layers.append({"class_name": type(layer).__name__, "config": config})
    config = {"name": model.name, "layers": layers}
    return {"class_name": "Sequential", "config": config, "keras_version": version, "backend": "tensor_flow.js"}


def packed(array, quantised=None):
    """An array's bytes and its entry in a manifest, without the name."""
    array = np.asarray(array)
    entry = {"shape": list(array.shape), "dtype": array.dtype.name}
    if quantised is None:
        return array.astype(array.dtype.newbyteorder("<")).tobytes(), entry
    if quantised == "float16":
        return array.astype("<f2").tobytes(), {**entry, "quantization": {"dtype": "float16"}}
    low, high = float(array.min()), float(array.max())
    scale = (high - low) / np.iinfo(quantised).max or 1.0
    numbers = np.rint((array.astype(np.float64) - low) / scale).astype(quantised)
    quantisation = {"dtype": quantised, "scale": scale, "min": low}
    return numbers.astype(numbers.dtype.newbyteorder("<")).tobytes(), {**entry, "quantization": quantisation}


def write(folder, topology, weights, *, shards=1, groups=1, quantised=None, suffix=".bin", **more):
    """Write a layers-model; `groups` groups of weights, each cut into `shards` files of one size."""
    folder.mkdir(parents=True, exist_ok=True)
    names, manifest = list(weights), []
    for group in range(groups):
        content, entries = b"", []
        for name in names[group::groups]:
            data, entry = packed(weights[name], quantised)
            content += data
            entries.append({"name": name, **entry})
        size = -(-len(content) // shards) or 1
        paths = [f"group{group + 1}-shard{i + 1}of{shards}{suffix}" for i in range(shards)]
        for i, path in enumerate(paths):
            (folder / path).write_bytes(content[i * size : (i + 1) * size])
        manifest.append({"paths": paths, "weights": entries})
    document = {"modelTopology": topology, "weightsManifest": manifest, **more}
    (folder / "model.json").write_text(json.dumps(document))
    return folder


def write_model(folder, model, version="tfjs-layers 4.22.0", **options):
    """Write a Sequential Keras model as TensorFlow.js would."""
    return write(folder, topology_of(model, version), weights_of(model), **options)


def seeded(model, seed=3):
    """Give every weight a drawn value; variances stay positive."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed" in variable.name:
            continue
        drawn = rng.normal(0, 0.5, variable.shape)
        variable.assign(np.abs(drawn) + 0.5 if "variance" in variable.name else drawn)
    return model


def evaluate(model, inputs, score=None):
    """A model's outputs and the gradient of `score(outputs)`, taken inside one compiled function."""
    from saliency_cli.autodiff.runtime import tf

    names = [spec.name for spec in model.inputs]
    floating = [spec.name for spec in model.inputs if spec.floating]
    score = score or (lambda outputs: tf.add_n([tf.reduce_sum(y**2) for y in outputs]))

    @tf.function(autograph=False)
    def run(tensors):
        named = dict(zip(names, tensors, strict=True))
        watched = [named[name] for name in floating]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(watched)
            outputs = list(model.forward(named).outputs.values())
            value = score(outputs)
        return outputs, tape.gradient(value, watched)

    tensors = [tf.constant(array, spec.dtype) for array, spec in zip(inputs, model.inputs, strict=True)]
    outputs, gradients = run(tensors)
    return [y.numpy() for y in outputs], [None if g is None else tf.convert_to_tensor(g).numpy() for g in gradients]

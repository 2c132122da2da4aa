"""Small models of Keras 2, built by tf_keras, and ways to write them as old files do."""

import json

import h5py
import numpy as np

from saliency_cli.autodiff.runtime import tf
from saliency_cli.models.legacy.runtime import import_tf_keras, quiet

tf_keras = import_tf_keras()
L = tf_keras.layers


def functional(*layers, shape, **options):
    x = inputs = tf_keras.Input(shape, **options)
    for layer in layers:
        x = layer(x)
    return tf_keras.Model(inputs, x)


def two_by_two():
    left, right, shared = tf_keras.Input((5,), name="left"), tf_keras.Input((5,), name="right"), L.Dense(4)
    both = L.Concatenate()([shared(left), shared(right)])
    heads = [L.Dense(3, "softmax", name="kind")(both), L.Dense(1, "sigmoid", name="alarm")(both)]
    return tf_keras.Model([left, right], heads)


def nested():
    inner = tf_keras.Sequential(
        [tf_keras.Input((8, 8, 3)), L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU(6.0)], name="backbone"
    )
    deeper = functional(inner, L.GlobalAveragePooling2D(), shape=(8, 8, 3))
    return tf_keras.Sequential([tf_keras.Input((8, 8, 3)), deeper, L.Dense(3, "softmax")])


def arithmetic():
    x = inputs = tf_keras.Input((6, 6, 3))
    x = x / 127.5 - 1.0
    return tf_keras.Model(inputs, L.Dense(3)(L.Flatten()(tf.math.tanh(L.Conv2D(2, 3)(x)))))


def with_tokens():
    x, tokens = tf_keras.Input((4,), name="x"), tf_keras.Input((3,), dtype="int32", name="tokens")
    embedded = L.GlobalAveragePooling1D()(L.Embedding(10, 4)(tokens))
    return tf_keras.Model([x, tokens], L.Dense(3)(L.Concatenate()([x, embedded])))


def normalized():
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).normal(3, 2, (20, 4)))
    return functional(layer, L.Dropout(0.5), L.Dense(3), shape=(4,))


def augmented():
    return pictures(L.RandomFlip(), L.RandomRotation(0.1), L.Rescaling(1 / 255), L.Resizing(5, 5), L.Conv2D(2, 2))


def half_precision():
    policy = tf_keras.mixed_precision.Policy("mixed_float16")
    return functional(L.Dense(5, "relu", dtype=policy), L.Dense(3, "softmax", dtype="float32"), shape=(4,))


def pictures(*layers, order="channels_last"):
    shape = (3, 9, 9) if order == "channels_first" else (9, 9, 3)
    return functional(*layers, L.Flatten(), L.Dense(3, "softmax"), shape=shape)


FIRST = {"data_format": "channels_first"}

MODELS = {
    "dense": lambda: functional(L.Dense(6, "hard_sigmoid"), L.Dense(3, "softmax"), shape=(4,)),
    "convolution": lambda: pictures(L.Conv2D(4, 3, activation="relu"), L.MaxPooling2D(), L.BatchNormalization()),
    "depthwise": lambda: pictures(L.DepthwiseConv2D(3, depth_multiplier=2), L.LeakyReLU(), L.ZeroPadding2D()),
    "separable": lambda: pictures(L.SeparableConv2D(4, 3), L.PReLU(shared_axes=[1, 2]), L.AveragePooling2D()),
    "transposed": lambda: pictures(L.Conv2DTranspose(2, 3, strides=2), L.UpSampling2D(interpolation="bilinear")),
    "thresholded": lambda: pictures(L.ThresholdedReLU(0.2), L.ELU(0.5)),
    "local-2d": lambda: pictures(L.LocallyConnected2D(2, 3)),
    "local-1d": lambda: functional(L.LocallyConnected1D(2, 3), L.Flatten(), L.Dense(3), shape=(7, 3)),
    "volume": lambda: functional(L.Conv3D(2, 2), L.MaxPooling3D(), L.Flatten(), L.Dense(3), shape=(5, 5, 5, 2)),
    "channels-first": lambda: pictures(
        L.Conv2D(4, 3, **FIRST), L.BatchNormalization(axis=1), L.MaxPooling2D(**FIRST), order="channels_first"
    ),
    "channels-first-separable": lambda: pictures(
        L.SeparableConv2D(4, 3, **FIRST), L.DepthwiseConv2D(2, **FIRST), L.AveragePooling2D(**FIRST),
        order="channels_first",
    ),
    "channels-first-transposed": lambda: pictures(
        L.Conv2DTranspose(2, 3, **FIRST), L.UpSampling2D(**FIRST), L.GlobalAveragePooling2D(**FIRST),
        order="channels_first",
    ),
    "channels-first-signal": lambda: functional(
        L.Conv1D(4, 3, padding="causal", dilation_rate=2, **FIRST), L.SeparableConv1D(3, 2, **FIRST),
        L.Conv1DTranspose(2, 3, **FIRST), L.MaxPooling1D(**FIRST), L.Flatten(), L.Dense(3), shape=(3, 9)
    ),
    "channels-first-volume": lambda: functional(
        L.Conv3D(2, 2, **FIRST), L.Conv3DTranspose(2, 2, **FIRST), L.MaxPooling3D(**FIRST), L.Flatten(), L.Dense(3),
        shape=(2, 5, 5, 5),
    ),
    "lstm": lambda: functional(L.LSTM(4, recurrent_activation="hard_sigmoid"), L.Dense(3), shape=(6, 3)),
    "lstm-sequences": lambda: functional(L.LSTM(4, return_sequences=True), L.Masking(), L.LSTM(3), shape=(6, 3)),
    "gru-before": lambda: functional(L.GRU(4, reset_after=False), L.Dense(3), shape=(6, 3)),
    "gru-after": lambda: functional(L.GRU(4, reset_after=True, go_backwards=True), L.Dense(3), shape=(6, 3)),
    "simple-rnn": lambda: functional(L.SimpleRNN(4), L.Dense(3), shape=(None, 3)),
    "bidirectional": lambda: functional(
        L.Bidirectional(L.LSTM(3, return_sequences=True)), L.Bidirectional(L.GRU(2), merge_mode="sum"), shape=(5, 3)
    ),
    "distributed": lambda: functional(L.TimeDistributed(L.Dense(4, "tanh")), L.LSTM(2), shape=(5, 3)),
    "conv-lstm": lambda: functional(L.ConvLSTM2D(2, 2), L.Flatten(), L.Dense(3), shape=(3, 5, 5, 2)),
    "nested": nested,
    "two-by-two": two_by_two,
    "arithmetic": arithmetic,
    "normalized": normalized,
    "augmented": augmented,
    "tokens": with_tokens,
    "half-precision": half_precision,
    "fixed-batch": lambda: functional(L.Dense(3), shape=(4,), batch_size=2),
    "attention": lambda: functional(
        L.LayerNormalization(), L.Dense(4, "gelu"), L.GlobalMaxPooling1D(), L.Dense(3), shape=(5, 4)
    ),
}  # fmt: skip


def seeded(model, seed=0):
    """Give every variable drawn values: a weight in the wrong place then shows."""
    draw = np.random.default_rng(seed)
    for variable in model.weights:
        positive = "variance" in variable.name
        values = draw.uniform(0.5, 1.5, variable.shape) if positive else draw.normal(0, 0.5, variable.shape)
        variable.assign(values.astype(variable.dtype.as_numpy_dtype))
    for layer in model._flatten_layers():
        layer.finalize_state()
    return model


def save(model, path):
    with quiet():
        model.save(path)
    return path


def edit(path, change):
    """Change the configuration in an HDF5 file; `change` returns the new one."""
    with h5py.File(path, "r+") as file:
        config = change(json.loads(file.attrs["model_config"]))
        file.attrs["model_config"] = json.dumps(config).encode()
    return path


def each_layer(config, change):
    """Apply a change to every layer's own dictionary in a configuration."""
    for layer in config["config"]["layers"] if isinstance(config["config"], dict) else config["config"]:
        change(layer)
        if isinstance(layer["config"], dict) and "layers" in layer["config"]:
            each_layer(layer, change)
    return config


def keras_1(path, layers, *, functional_inbound=None, version="1.2.2"):
    """Write a file as Keras 1 did: `layers` are (class, config, weights by name)."""
    config = [{"class_name": kind, "config": options} for kind, options, _ in layers]
    document = {"class_name": "Sequential", "config": config}
    if functional_inbound:
        document = functional_inbound(config)
    with h5py.File(path, "w") as file:
        if version:
            file.attrs["keras_version"] = version.encode()
        file.attrs["model_config"] = json.dumps(document).encode()
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [options["name"].encode() for _, options, _ in layers]
        for _, options, arrays in layers:
            group = weights.create_group(options["name"])
            group.attrs["weight_names"] = [name.encode() for name in arrays]
            for name, array in arrays.items():
                group.create_dataset(name, data=array)
    return path


def inputs_of(model, batch=2, seed=3):
    """Return drawn inputs of an opened model, named."""
    draw = np.random.default_rng(seed)
    found = {}
    for spec in model.inputs:
        shape = (model.batch or batch, *(5 if size is None else size for size in spec.shape))
        found[spec.name] = (
            draw.normal(size=shape).astype(spec.dtype) if spec.floating else draw.integers(0, 9, shape, spec.dtype)
        )
    return found


def gradients(function, inputs):
    """Return the outputs, and the gradient of a weighted sum of them, taken inside one compiled function."""

    @tf.function(autograph=False)
    def both(named):
        floats = {name: value for name, value in named.items() if value.dtype.is_floating}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(floats)
            outputs = [tf.cast(output, tf.float32) for output in tf.nest.flatten(function(named))]
            score = tf.add_n([tf.reduce_sum(output * _weights(output)) for output in outputs])
        return outputs, tape.gradient(score, floats)

    outputs, found = both({name: tf.constant(value) for name, value in inputs.items()})
    return [output.numpy() for output in outputs], {
        name: None if value is None else value.numpy() for name, value in found.items()
    }


def _weights(output):
    return tf.reshape(tf.cos(tf.cast(tf.range(tf.size(output)), tf.float32)), tf.shape(output))


def of_opened(model, inputs):
    return gradients(lambda named: list(model.forward(named).outputs.values()), inputs)


def of_live(live, inputs):
    names = list(inputs)
    return gradients(
        lambda named: live([named[name] for name in names] if len(names) > 1 else named[names[0]], training=False),
        inputs,
    )


def relative(found, expected):
    if found is None or expected is None:
        return 0.0 if found is expected else 1.0
    scale = max(float(np.max(np.abs(expected))), 1e-12)
    return float(np.max(np.abs(np.float64(found) - expected))) / scale


def assert_agrees(opened, live, tolerance=1e-5):
    """Outputs and gradients of an opened file are those of the live model it was written from."""
    inputs = inputs_of(opened)
    outputs, found = of_opened(opened, inputs)
    expected_outputs, expected = of_live(live, inputs)
    for output, wanted in zip(outputs, expected_outputs, strict=True):
        assert relative(output, wanted) < tolerance
    for name, wanted in zip(found, expected.values(), strict=True):
        assert relative(found[name], wanted) < tolerance
        assert wanted is None or np.any(wanted), "a zero gradient tests nothing"

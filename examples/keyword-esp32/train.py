#!/usr/bin/env python3
"""Makes sweep.tflite: a streaming wake word of the kind of microWakeWord's, from a simple simulation.

Needs tensorflow-cpu and numpy. The "word" is a tone that rises and falls again within half a second; what it must not be taken for only rises,
only falls, falls and rises, or stays. A call takes three frames of 40 features, 10 ms each, and the model keeps what it needs of the frames before
in variables. The numbers drawn are fixed, so that the same versions make the same file.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

HERE = pathlib.Path(__file__).parent
FEATURES, STRIDE = 40, 3
KERNEL, SECOND, THIRD, LAST = 5, 9, 11, 6
FIRST_WIDTH, WIDTH = 16, 24
# Frames that one answer is made from.
WINDOW = KERNEL + STRIDE * (SECOND - 1 + THIRD - 1 + LAST - 1)

rng = np.random.default_rng(5)
tf.keras.utils.set_random_seed(5)


def sound(kind):
    """Channels of the tone's middle, frame by frame; kind 0 is the word."""
    low, high = rng.uniform(3, 9), rng.uniform(28, 36)
    up = np.linspace(low, high, int(rng.integers(16, 30)))
    down = np.linspace(high, low, int(rng.integers(16, 30)))
    steady = np.full(int(rng.integers(16, 50)), rng.uniform(3, 36))
    return [np.concatenate([up, down]), up, down, np.concatenate([down, up]), steady][kind]


def stream(frames):
    """[frames, 40] features from 0 to 26, and where words end."""
    x = 3 + rng.normal(0, 1.2, (frames, FEATURES))
    ends, at = [], int(rng.integers(20, 60))
    while True:
        kind = int(rng.integers(0, 2)) * int(rng.integers(1, 5))
        middle = sound(kind)
        if frames - 30 < at + len(middle):
            break
        height, width = rng.uniform(9, 18), rng.uniform(1.5, 3)
        for i, m in enumerate(middle):
            x[at + i] += height * np.exp(-(((np.arange(FEATURES) - m) / width) ** 2))
        at += len(middle)
        if kind == 0:
            ends.append(at)
        at += int(rng.integers(25, 90))
    return np.clip(x, 0, 26).astype(np.float32), ends


def windows(frames):
    """Every window of a stream, and 1 for those that end shortly after a word, 0 for those that do not, nothing for those between."""
    x, ends = stream(frames)
    for end in range(WINDOW, frames, STRIDE):
        after = min((end - e for e in ends if e <= end), default=1000)
        ahead = min((e - end for e in ends if end < e), default=1000)
        if after < 12:
            yield x[end - WINDOW : end], 1
        elif 40 < after and 6 < ahead:
            yield x[end - WINDOW : end], 0


K = tf.keras
layers = [
    K.layers.Conv2D(FIRST_WIDTH, (KERNEL, 1), strides=(STRIDE, 1), activation="relu"),
    K.layers.DepthwiseConv2D((SECOND, 1)),
    K.layers.Conv2D(WIDTH, 1, activation="relu"),
    K.layers.DepthwiseConv2D((THIRD, 1)),
    K.layers.Conv2D(WIDTH, 1, activation="relu"),
    K.layers.Flatten(),
    K.layers.Dense(1, activation="sigmoid"),
]
model = K.Sequential([K.layers.Input((WINDOW, 1, FEATURES)), *layers])
x, y = zip(*(w for _ in range(120) for w in windows(1500)))
x, y = np.stack(x)[:, :, None, :], np.array(y)
model.compile(K.optimizers.Adam(2e-3), "binary_crossentropy", metrics=["accuracy"])
model.fit(x, y, epochs=8, batch_size=128, verbose=2, class_weight={0: 1.0, 1: 4.0})


class Streaming(tf.Module):
    """The same layers on the frames that are new, with what is kept of the earlier ones before them. Names are microWakeWord's."""

    def __init__(self):
        # Variables of one name would be one variable.
        zeros = lambda name, rows, width: tf.Variable(tf.zeros([1, rows, 1, width]), name=name)
        self.frames, self.first = zeros("frames", KERNEL - STRIDE, FEATURES), zeros("first", SECOND - 1, FIRST_WIDTH)
        self.second, self.third = zeros("second", THIRD - 1, WIDTH), zeros("third", LAST - 1, WIDTH)
        self.weights = [[tf.constant(w) for w in layer.get_weights()] for layer in layers]

    def with_kept(self, kept, new):
        both = tf.concat([kept, new], axis=1)
        kept.assign(both[:, new.shape[1] :])
        return both

    @tf.function(input_signature=[tf.TensorSpec([1, STRIDE, FEATURES], tf.float32, "input_audio")])
    def __call__(self, features):
        conv = lambda x, w, stride=1: tf.nn.conv2d(x, w[0], stride, "VALID") + w[1]
        depthwise = lambda x, w: tf.nn.depthwise_conv2d(x, w[0], [1, 1, 1, 1], "VALID") + w[1]
        first, second, second_point, third, third_point, _, dense = self.weights
        x = tf.nn.relu(conv(self.with_kept(self.frames, tf.reshape(features, [1, STRIDE, 1, FEATURES])), first, STRIDE))
        x = tf.nn.relu(conv(depthwise(self.with_kept(self.first, x), second), second_point))
        x = tf.nn.relu(conv(depthwise(self.with_kept(self.second, x), third), third_point))
        return {"dense": tf.sigmoid(tf.reshape(self.with_kept(self.third, x), [1, -1]) @ dense[0] + dense[1])}


def examples():
    x = stream(3000)[0]
    x[:40] = np.where(rng.uniform(size=(40, FEATURES)) < 0.5, 0, 26)  # The range of the features.
    for i in range(0, len(x), STRIDE):
        yield [x[None, i : i + STRIDE]]


streaming = Streaming()
with tempfile.TemporaryDirectory() as saved:
    tf.saved_model.save(streaming, saved, {"serving_default": streaming.__call__.get_concrete_function()})
    converter = tf.lite.TFLiteConverter.from_saved_model(saved)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.experimental_enable_resource_variables = True
    converter._experimental_variable_quantization = True
    converter.representative_dataset = examples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type, converter.inference_output_type = tf.int8, tf.uint8
    (HERE / "sweep.tflite").write_bytes(converter.convert())

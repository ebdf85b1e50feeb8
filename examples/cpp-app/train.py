#!/usr/bin/env python3
"""Makes gestures.tflite and test_gestures.h: four gestures of a hand with an accelerometer, from a simple simulation.

Needs tensorflow-cpu and numpy. The numbers drawn are fixed, so that the same versions make the same files.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import numpy as np
import tensorflow as tf

NAMES = ["rest", "circle", "shake", "lift"]
LENGTH = 50  # samples of one second

rng = np.random.default_rng(7)
tf.keras.utils.set_random_seed(7)


def gesture(kind):
    """[LENGTH, 3], accelerations in g: gravity, the gesture, noise; in a hand that is held a little differently each time."""
    t = np.linspace(0, 1, LENGTH)
    a = np.zeros((LENGTH, 3))
    strength, phase, speed = rng.uniform(0.5, 1.2), rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 1.3)
    if kind == 1:
        angle = 2 * np.pi * 1.5 * speed * t + phase
        a[:, 0], a[:, 1] = strength * np.cos(angle), strength * np.sin(angle)
    elif kind == 2:
        a[:, 0] = 1.5 * strength * np.sign(np.sin(2 * np.pi * 4 * speed * t + phase))
    elif kind == 3:
        start = rng.uniform(0.1, 0.4)
        a[:, 2] = 1.5 * strength * (np.exp(-(((t - start) / 0.08) ** 2)) - np.exp(-(((t - start - 0.35) / 0.08) ** 2)))
    tilt = rng.normal(0, 0.15, 3) + np.array([0, 0, 1])
    return a + tilt / np.linalg.norm(tilt) + rng.normal(0, 0.08, (LENGTH, 3))


def dataset(count):
    kinds = rng.integers(0, 4, count)
    return np.stack([gesture(k) for k in kinds]).astype(np.float32)[:, :, None, :], kinds


train, train_kinds = dataset(4000)
test, test_kinds = dataset(100)

K = tf.keras
model = K.Sequential([
    K.layers.Input((LENGTH, 1, 3), batch_size=1, name="motion"),
    K.layers.Conv2D(8, (5, 1), strides=(2, 1), activation="relu"),
    K.layers.Conv2D(16, (5, 1), strides=(2, 1), activation="relu"),
    K.layers.GlobalAveragePooling2D(),
    K.layers.Dense(4, activation="softmax"),
])
fitted = K.Sequential([K.layers.Input((LENGTH, 1, 3))] + model.layers)
fitted.compile(K.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
fitted.fit(train, train_kinds, epochs=8, batch_size=64, verbose=2)

converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([x[None]] for x in train[:200])
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
flat = converter.convert()
with open("gestures.tflite", "wb") as f:
    f.write(flat)

interpreter = tf.lite.Interpreter(model_content=flat)
interpreter.allocate_tensors()
(scale, zero), index = interpreter.get_input_details()[0]["quantization"], interpreter.get_input_details()[0]["index"]
quantised = np.clip(np.round(test / scale) + zero, -128, 127).astype(np.int8)
right = 0
for x, kind in zip(quantised, test_kinds):
    interpreter.set_tensor(index, x[None])
    interpreter.invoke()
    right += int(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0].argmax() == kind)
print(f"{right} of {len(test)} right")

with open("test_gestures.h", "w") as f:
    f.write("/* Written by train.py: simulated gestures that the model was not trained on, quantised as the model wants them. */\n")
    f.write("#ifndef TEST_GESTURES_H\n#define TEST_GESTURES_H\n\n#include <stdint.h>\n\n")
    f.write(f"#define TEST_GESTURES {len(test)}\n\n")
    f.write("static const char *const gesture_names[4] = {" + ", ".join(f'"{n}"' for n in NAMES) + "};\n\n")
    f.write("static const uint8_t gesture_kinds[TEST_GESTURES] = {" + ", ".join(map(str, test_kinds)) + "};\n\n")
    f.write(f"static const int8_t gesture_samples[TEST_GESTURES][{LENGTH * 3}] = {{\n")
    for x in quantised:
        f.write("    {" + ",".join(map(str, x.reshape(-1))) + "},\n")
    f.write("};\n\n#endif\n")

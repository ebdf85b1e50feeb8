#!/usr/bin/env python3
"""Train the model of this example and write gesture.tflite and recording.csv.

    pip install tensorflow-cpu
    python train.py

The data are made here: what an accelerometer in a hand measures (in g, 50 times a second) while the hand is at rest or carried about, waves from
side to side, draws a circle, or punches. Every gesture has a tilt, speed, strength and noise of its own. A CNN of two convolutions along time tells
them by the last 64 samples; the converter quantises it to int8. `recording.csv` is a stream of 40 s with 16 gestures that were not trained on, and
what was done when. The result depends on TensorFlow's version, so both files are committed; running this again gives others of about the same
accuracy. With `--test N` it only makes N recordings of a minute each with other gestures, into the folder `recordings`.
"""
import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np

HERE = pathlib.Path(__file__).parent
LABELS = ["none", "wave", "circle", "punch"]
RATE, WINDOW = 50, 64


def tilt(random):
    """A rotation by at most 35 degrees around a random axis."""
    axis = random.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = random.uniform(-0.6, 0.6)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def rest(random, count):
    """At rest, or carried about: slow changes, steps, single knocks."""
    out = np.zeros((count, 3))
    time = np.arange(count) / RATE
    kind = random.integers(4)
    if kind == 1:
        for axis in range(3):
            out[:, axis] = random.uniform(0, 0.3) * np.sin(2 * np.pi * random.uniform(0.2, 1.0) * time + random.uniform(0, 6.3))
    elif kind == 2:
        out[:, 2] = random.uniform(0.1, 0.4) * np.sin(2 * np.pi * random.uniform(1.5, 2.2) * time) ** 3
    elif kind == 3:
        for _ in range(random.integers(1, 3)):
            out[random.integers(count)] += random.normal(size=3) * 0.8
    return out


def gesture(random, label):
    """The acceleration of one gesture, from 0.6 to 1.2 s."""
    count = int(RATE * random.uniform(0.6, 1.2)) if label != "punch" else int(RATE * random.uniform(0.35, 0.6))
    time = np.arange(count) / count
    hull = np.sin(np.pi * time) ** 0.5
    strength = random.uniform(0.7, 1.6)
    out = np.zeros((count, 3))
    turns = random.uniform(2, 3.2) if label == "wave" else random.uniform(1.4, 2.4)
    angle = 2 * np.pi * turns * time + random.uniform(-0.4, 0.4)
    if label == "wave":
        out[:, 0] = strength * np.sin(angle) * hull
        out[:, 2] = 0.2 * strength * np.cos(2 * angle) * hull
    elif label == "circle":
        out[:, 0] = strength * np.sin(angle) * hull
        out[:, 2] = strength * np.cos(angle) * hull * random.choice([-1, 1])
    else:
        # Forwards, stopped hard, back.
        out[:, 1] = 1.6 * strength * (np.exp(-((time - 0.3) / 0.12) ** 2) - 1.3 * np.exp(-((time - 0.6) / 0.1) ** 2) + 0.3 * np.exp(-((time - 0.85) / 0.1) ** 2))
    return out


def measured(random, motion):
    """With gravity, the hand's tilt and the sensor's noise, in whole thousandths of g."""
    real = (motion + [0, 0, 1]) @ tilt(random).T + random.normal(size=motion.shape) * random.uniform(0.005, 0.04)
    return np.clip(np.round(real * 1000), -8000, 7999).astype(np.int16)


def windows(random, count):
    """Windows that end a little after a gesture, or have none, or only a part of one."""
    x, y = [], []
    for i in range(count):
        label = i % 4
        motion = rest(random, 4 * WINDOW) * (1 if label == 0 else 0.5)
        if label:
            g = gesture(random, LABELS[label])
            end = 3 * WINDOW
            motion[end - len(g):end] += g
            after = random.integers(-4, 14)
        else:
            after = random.integers(-WINDOW // 2, WINDOW // 2)
            if random.random() < 0.4:
                # A gesture that has only begun, or is nearly gone, is none yet.
                g = gesture(random, LABELS[random.integers(1, 4)])
                at = 3 * WINDOW + after
                begun = random.random() < 0.5
                first = at - int(len(g) * random.uniform(0.1, 0.3)) if begun else at - WINDOW - int(len(g) * 0.7)
                motion[first:first + len(g)] += g[:max(0, len(motion) - first)]
        all_ = measured(random, motion)
        window = all_[2 * WINDOW + after:3 * WINDOW + after].copy()
        if random.random() < (0.3 if label == 0 else 0.05):
            # As after the start, when the state has zeros.
            window[:random.integers(WINDOW) if label == 0 else WINDOW // 8] = 0
        x.append(window)
        y.append(label)
    return np.stack(x).astype(np.float32)[..., None].transpose(0, 1, 3, 2) / 1000, np.array(y)


def recording(random, seconds):
    """A stream, and (end of gesture in samples, label) of all in it."""
    parts, done, at = [], [], 0
    while at < seconds * RATE:
        pause = int(RATE * random.uniform(1.2, 2.2))
        parts.append(rest(random, pause) * 0.5)
        label = LABELS[random.integers(1, 4)]
        parts.append(gesture(random, label))
        at += pause + len(parts[-1])
        done.append((at, label))
    parts.append(rest(random, RATE) * 0.5)
    return measured(random, np.concatenate(parts)), done


def write(path, stream, done):
    """Lines of x, y, z; what was done stands as a comment where it ends."""
    ends = dict(done)
    with open(path, "w") as f:
        for i, (x, y, z) in enumerate(stream):
            f.write(f"{x},{y},{z}\n")
            if i + 1 in ends:
                f.write(f"# {ends[i + 1]}\n")


def network(tf):
    layers = tf.keras.layers
    return tf.keras.Sequential([
        layers.Input((WINDOW, 1, 3), batch_size=1, name="motion"),
        layers.Conv2D(12, (5, 1), strides=(2, 1), padding="same", activation="relu"),
        layers.DepthwiseConv2D((5, 1), padding="same", activation="relu"),
        layers.Conv2D(24, 1, activation="relu"),
        layers.MaxPooling2D((2, 1)),
        layers.Conv2D(24, (3, 1), padding="same", activation="relu"),
        layers.MaxPooling2D((4, 1)),
        layers.Flatten(),
        layers.Dense(4),
        layers.Softmax(name="gesture"),
    ])


def train():
    import tensorflow as tf

    tf.keras.utils.set_random_seed(5)
    random = np.random.default_rng(5)
    x, y = windows(random, 12000)
    test_x, test_y = windows(np.random.default_rng(6), 2000)
    model = network(tf)
    # The fixed batch of 1 is for the converter; training uses the same weights through a flexible one.
    motion = tf.keras.Input((WINDOW, 1, 3))
    out = motion
    for layer in model.layers:
        out = layer(out)
    trainer = tf.keras.Model(motion, out)
    trainer.compile(tf.keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    trainer.fit(x, y, batch_size=64, epochs=14, verbose=0)
    print("float accuracy", trainer.evaluate(test_x, test_y, verbose=0)[1])

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([w[None]] for w in x[:300])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (HERE / "gesture.tflite").write_bytes(converter.convert())
    write(HERE / "recording.csv", *recording(np.random.default_rng(7), 40))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--test", type=int)
    args = parser.parse_args()
    if args.test is None:
        return train()
    (HERE / "recordings").mkdir(exist_ok=True)
    for i in range(args.test):
        write(HERE / "recordings" / f"{i:03}.csv", *recording(np.random.default_rng(1000 + i), 60))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Train the model of this example and write digits.tflite and test_digits.h.

    pip install tensorflow-cpu scikit-learn
    python train.py

The data are scikit-learn's 1,797 digits of 8 x 8 pixels (load_digits, part of the package). Four fifths train a CNN of three
convolutions, the rest test it. The converter quantises to int8 with training images as the representative data. The result depends on
TensorFlow's version, so the model is committed; running this again gives another model of about the same accuracy.
"""
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

HERE = pathlib.Path(__file__).parent
TEST_COUNT = 360


def load():
    digits = load_digits()
    order = np.random.RandomState(7).permutation(len(digits.images))
    images = (digits.images[order] / 16.0).astype(np.float32)[..., None]
    labels = digits.target[order]
    return images[TEST_COUNT:], labels[TEST_COUNT:], images[:TEST_COUNT], labels[:TEST_COUNT]


def network():
    layers = tf.keras.layers
    return tf.keras.Sequential([
        layers.Input((8, 8, 1), batch_size=1, name="image"),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.DepthwiseConv2D(3, padding="same", activation="relu"),
        layers.Conv2D(32, 1, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.AveragePooling2D(4),
        layers.Flatten(),
        layers.Dense(10),
        layers.Softmax(name="probabilities"),
    ])


def main():
    tf.keras.utils.set_random_seed(7)
    train_images, train_labels, test_images, test_labels = load()
    model = network()
    # The fixed batch of 1 is for the converter; training uses the same weights through a flexible one.
    image = tf.keras.Input((8, 8, 1))
    x = image
    for layer in model.layers:
        x = layer(x)
    trainer = tf.keras.Model(image, x)
    trainer.compile(tf.keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    trainer.fit(train_images, train_labels, batch_size=32, epochs=40, verbose=0)
    print("float accuracy", trainer.evaluate(test_images, test_labels, verbose=0)[1])

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in train_images[:300])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (HERE / "digits.tflite").write_bytes(converter.convert())

    pixels = (test_images * 16).astype(np.uint8).reshape(TEST_COUNT, 64)
    with open(HERE / "test_digits.h", "w") as f:
        f.write("/* Written by train.py: scikit-learn digits that the model was not trained on, pixels 0 to 16. */\n")
        f.write("#ifndef TEST_DIGITS_H\n#define TEST_DIGITS_H\n\n#include <stdint.h>\n\n")
        f.write("#define TEST_COUNT %d\n\n" % TEST_COUNT)
        f.write("static const uint8_t test_labels[TEST_COUNT] = {\n")
        for i in range(0, TEST_COUNT, 40):
            f.write("    " + ", ".join(str(v) for v in test_labels[i:i + 40]) + ",\n")
        f.write("};\n\nstatic const uint8_t test_pixels[TEST_COUNT][64] = {\n")
        for row in pixels:
            f.write("    {" + ",".join(str(v) for v in row) + "},\n")
        f.write("};\n\n#endif\n")


if __name__ == "__main__":
    main()

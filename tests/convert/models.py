"""Small models of the kinds that people have, with random weights that are the same every time."""

import numpy as np
import keras
from keras import layers as L


def _seeded(build):
    def model():
        keras.utils.set_random_seed(7)
        built = build()
        # Statistics of batch normalisation are not zeros and ones in a model that was trained.
        random = np.random.default_rng(7)
        for layer in built._flatten_layers():
            if isinstance(layer, L.BatchNormalization):
                gamma, beta, mean, variance = (w.shape for w in layer.get_weights())
                layer.set_weights(
                    [random.uniform(0.7, 1.3, gamma), random.normal(0, 0.2, beta), random.normal(0, 0.2, mean), random.uniform(0.5, 1.5, variance)]
                )
        return built

    return model


@_seeded
def cnn():
    return keras.Sequential(
        [
            L.Input((28, 28, 1)),
            L.Rescaling(1 / 255),
            L.Conv2D(8, 3, activation="relu"),
            L.BatchNormalization(),
            L.MaxPooling2D(),
            L.Conv2D(16, 3, padding="same", activation="relu"),
            L.Flatten(),
            L.Dropout(0.2),
            L.Dense(10, activation="softmax"),
        ]
    )


@_seeded
def resnet():
    def block(x, filters, stride):
        y = L.ReLU()(L.BatchNormalization()(L.Conv2D(filters, 3, stride, "same", use_bias=False)(x)))
        y = L.BatchNormalization()(L.Conv2D(filters, 3, padding="same", use_bias=False)(y))
        if stride != 1:
            x = L.Conv2D(filters, 1, stride)(x)
        return L.ReLU()(L.Add()([x, y]))

    x = image = L.Input((32, 32, 3), name="image")
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, padding="same")(x)))
    for filters, stride in ((16, 1), (32, 2), (32, 1), (48, 2)):
        x = block(x, filters, stride)
    return keras.Model(image, L.Dense(10, name="logits")(L.GlobalAveragePooling2D()(x)))


@_seeded
def lstm():
    return keras.Sequential([L.Input((20, 8), name="features"), L.LSTM(16, return_sequences=True), L.LSTM(12), L.Dense(4)])


@_seeded
def gru():
    return keras.Sequential([L.Input((20, 8), name="features"), L.Bidirectional(L.GRU(12)), L.Dense(4, activation="softmax")])


@_seeded
def transformer():
    tokens = L.Input((16,), dtype="int32", name="tokens")
    x = L.Embedding(50, 32)(tokens)
    y = L.MultiHeadAttention(4, 8)(x, x)
    x = L.LayerNormalization()(L.Add()([x, y]))
    y = L.Dense(32)(L.Dense(64, activation="gelu")(x))
    x = L.LayerNormalization()(L.Add()([x, y]))
    return keras.Model(tokens, L.Dense(5)(L.GlobalAveragePooling1D()(x)))


@_seeded
def mobilenet_v3():
    return keras.applications.MobileNetV3Small((64, 64, 3), weights=None, classes=10)


@_seeded
def unet():
    def double(x, filters):
        for _ in range(2):
            x = L.Conv2D(filters, 3, padding="same", activation="relu")(x)
        return x

    image = L.Input((32, 32, 3), name="image")
    a = double(image, 8)
    b = double(L.MaxPooling2D()(a), 16)
    c = double(L.MaxPooling2D()(b), 32)
    x = double(L.Concatenate()([L.Conv2DTranspose(16, 2, 2)(c), b]), 16)
    x = double(L.Concatenate()([L.UpSampling2D(interpolation="bilinear")(x), a]), 8)
    return keras.Model(image, L.Conv2D(1, 1, activation="sigmoid", name="mask")(x))


@_seeded
def two_inputs():
    image, about = L.Input((12, 12, 3), name="z_image"), L.Input((4,), name="about")
    x = L.Flatten()(L.Conv2D(4, 3, activation="relu")(image))
    x = L.Concatenate()([x, L.Dense(8, activation="tanh")(about)])
    return keras.Model([image, about], {"kind": L.Dense(3, activation="softmax")(x), "score": L.Dense(1)(x)})


ALL = {
    "cnn": cnn,
    "resnet": resnet,
    "lstm": lstm,
    "gru": gru,
    "transformer": transformer,
    "mobilenet_v3": mobilenet_v3,
    "unet": unet,
    "two_inputs": two_inputs,
}


def samples(model, count, seed):
    """Arrays for each input by its name, with samples along the first axis: pixels for models that rescale, token numbers for integers."""
    random = np.random.default_rng(seed)
    rescales = any(isinstance(layer, L.Rescaling) for layer in model.layers[:4])
    out = {}
    for tensor in model.inputs:
        shape = (count, *tensor.shape[1:])
        if "int" in str(tensor.dtype):
            out[tensor.name] = random.integers(0, 50, shape).astype(tensor.dtype)
        else:
            out[tensor.name] = (random.uniform(0, 255, shape) if rescales else random.normal(size=shape)).astype("float32")
    return out

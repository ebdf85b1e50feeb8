#!/usr/bin/env python3
"""Train the model of this example and write sign.tflite and drive.nv12.

    pip install tensorflow-cpu opencv-python-headless pillow
    python train.py

The data are made here: what a camera in a car gives, frames of 160 x 120 in NV12, with seven kinds of traffic signs or none. Every frame has a sky, a
road, houses and other things, and light, blur and noise of its own; signs differ in size, place, tilt and wear. What the model is trained on went
through NV12, the crop and the resizing that the pipeline does. The result depends on TensorFlow's version, so both files are committed; running this
again gives others of about the same accuracy. With `--test N` it only makes N other frames, into `frames/LABEL.nv12`, and with `--check N` it tells
how many of such frames the same steps in OpenCV and TensorFlow Lite get right.
"""
import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = pathlib.Path(__file__).parent
LABELS = ["none", "stop", "yield", "no entry", "priority", "crossing", "speed 30", "speed 50"]
WIDTH, HEIGHT, SIDE = 160, 120, 64
# Signs are drawn so large, and then seen from afar.
SIZE = 192
WHITE, RED, BLACK, YELLOW, BLUE = (235, 235, 230), (190, 25, 35), (20, 20, 20), (240, 190, 20), (20, 70, 170)


def regular(corners, radius, turn=0.0):
    """Corners of a regular polygon in the middle."""
    angles = np.arange(corners) * 2 * np.pi / corners + turn
    return [(SIZE / 2 + radius * np.sin(a), SIZE / 2 - radius * np.cos(a)) for a in angles]


def plate(label):
    """A sign from the front: RGBA."""
    image = Image.new("RGBA", (SIZE, SIZE))
    draw = ImageDraw.Draw(image)

    def disk(radius, colour):
        draw.ellipse([SIZE / 2 - radius, SIZE / 2 - radius, SIZE / 2 + radius, SIZE / 2 + radius], fill=colour)

    def text(words, size, colour):
        draw.text((SIZE / 2, SIZE / 2), words, colour, ImageFont.load_default(size), anchor="mm", stroke_width=3, stroke_fill=colour)

    if label == "stop":
        draw.polygon(regular(8, 94, np.pi / 8), fill=WHITE)
        draw.polygon(regular(8, 87, np.pi / 8), fill=RED)
        text("STOP", 62, WHITE)
    elif label == "yield":
        draw.polygon(regular(3, 94, np.pi), fill=RED)
        draw.polygon(regular(3, 54, np.pi), fill=WHITE)
    elif label == "no entry":
        disk(90, RED)
        draw.rectangle([SIZE / 2 - 62, SIZE / 2 - 17, SIZE / 2 + 62, SIZE / 2 + 17], fill=WHITE)
    elif label == "priority":
        draw.polygon(regular(4, 94), fill=WHITE)
        draw.polygon(regular(4, 68), fill=YELLOW)
    elif label == "crossing":
        draw.rectangle([10, 10, SIZE - 10, SIZE - 10], fill=BLUE)
        draw.polygon([(SIZE / 2, 28), (SIZE - 30, SIZE - 28), (30, SIZE - 28)], fill=WHITE)
        draw.ellipse([88, 62, 106, 80], fill=BLACK)
        draw.line([(98, 80), (94, 112), (76, 152)], fill=BLACK, width=10)
        draw.line([(94, 112), (118, 150)], fill=BLACK, width=10)
        draw.line([(76, 104), (98, 88), (120, 106)], fill=BLACK, width=7)
    else:
        disk(92, RED)
        disk(70, WHITE)
        text(label.split()[1], 96, BLACK)
    return np.asarray(image)


PLATES = {label: plate(label) for label in LABELS[1:]}


def colour(random, around=None, spread=60):
    around = random.uniform(30, 220, 3) if around is None else np.array(around)
    return tuple(float(c) for c in np.clip(around + random.uniform(-spread, spread, 3), 0, 255))


def street(random):
    """What there is without signs: RGB of f32."""
    horizon = int(random.uniform(0.3, 0.7) * HEIGHT)
    sky, ground = np.array(colour(random, (150, 180, 215))), np.array(colour(random, (95, 95, 90), 40))
    fade = np.linspace(0.7, 1.1, HEIGHT)[:, None, None]
    image = np.where(np.arange(HEIGHT)[:, None, None] < horizon, sky, ground) * fade
    image = np.ascontiguousarray(np.broadcast_to(np.clip(image, 0, 255), (HEIGHT, WIDTH, 3)).astype(np.uint8))
    for _ in range(random.integers(3, 12)):
        x, width = random.integers(-20, WIDTH), random.integers(5, 60)
        top = random.integers(0, horizon)
        kind, c = random.integers(5), colour(random)
        if kind < 2:
            cv2.rectangle(image, (x, top), (x + width, horizon + random.integers(-3, 20)), c, -1)
            for row in range(top + 4, horizon - 6, 10):
                for column in range(x + 3, x + width - 5, 9):
                    cv2.rectangle(image, (column, row), (column + 4, row + 5), colour(random, (60, 70, 80)), -1)
        elif kind == 2:
            cv2.circle(image, (x, top), width // 2, colour(random, (60, 100, 50), 40), -1)
        elif kind == 3:
            cv2.line(image, (x, 0), (x + random.integers(-9, 9), HEIGHT), colour(random, (80, 80, 80), 30), int(random.integers(1, 6)))
        else:
            corners = np.int32(random.uniform(0, 1, (4, 2)) * (WIDTH, HEIGHT))
            cv2.fillPoly(image, [corners], c)
    if random.random() < 0.5:
        # A plain thing of a sign's colours, or a lamp, so that neither colour nor shape alone is a sign.
        at = (int(random.integers(WIDTH)), int(random.integers(HEIGHT)))
        c = colour(random, [RED, YELLOW, BLUE, WHITE][random.integers(4)], 30)
        if random.random() < 0.5:
            cv2.circle(image, at, int(random.integers(4, 40)), c, -1)
        else:
            cv2.rectangle(image, at, (at[0] + int(random.integers(8, 70)), at[1] + int(random.integers(8, 70))), c, -1)
        if random.random() < 0.3:
            words = "".join(random.choice(list("ABCDEHKLMRSTU0123456789"), random.integers(1, 6)))
            cv2.putText(image, words, at, cv2.FONT_HERSHEY_SIMPLEX, random.uniform(0.4, 1.5), colour(random), 2, cv2.LINE_AA)
    return image.astype(np.float32)


def put(random, image, label):
    """A sign, seen by a camera that is not straight before it, somewhere in the middle square."""
    size = random.uniform(44, 104)
    margin = (HEIGHT - size) / 2
    middle = np.array([WIDTH, HEIGHT]) / 2 + random.uniform(-margin, margin, 2)
    angle = random.uniform(-0.15, 0.15)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 * [random.uniform(0.8, 1), 1]
    corners = corners @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]] + random.uniform(-0.04, 0.04, (4, 2))
    # Drawn at about its size first, so that small ones are not jagged.
    drawn = max(8, int(size * 1.2))
    sign = cv2.resize(PLATES[label], (drawn, drawn), interpolation=cv2.INTER_AREA).astype(np.float32)
    sign[..., :3] = (sign[..., :3] - 128) * random.uniform(0.7, 1) + 128 + random.uniform(-25, 25, 3)
    square = np.float32([[0, 0], [drawn, 0], [drawn, drawn], [0, drawn]])
    to = cv2.getPerspectiveTransform(square, np.float32(corners * size + middle))
    if random.random() < 0.7:
        x, wide = int(middle[0]), int(size * 0.04) + 1
        cv2.rectangle(image, (x - wide, int(middle[1])), (x + wide, HEIGHT), colour(random, (120, 120, 120), 30), -1)
    seen = cv2.warpPerspective(sign, to, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    alpha = seen[..., 3:] / 255
    image[:] = image * (1 - alpha) + seen[..., :3] * alpha


def photograph(random, label):
    """A frame with the sign, RGB: with the light, the blur and the noise of a small camera."""
    image = street(random)
    if label != "none":
        put(random, image, label)
    image = (image - 128) * random.uniform(0.5, 1.15) + 128 + random.uniform(-55, 35)
    image *= random.uniform(0.9, 1.1, 3)
    image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 1.1))
    image += random.normal(size=image.shape) * random.uniform(0, 9)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def nv12(image):
    """As a camera gives it: all of Y, then U and V by turns, for each two by two pixels."""
    i420 = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    y, u, v = np.split(i420, [WIDTH * HEIGHT, WIDTH * HEIGHT * 5 // 4])
    return np.concatenate([y, np.stack([u, v], 1).reshape(-1)])


def seen(frame):
    """What the model sees of a frame: what sign.toml says, in OpenCV."""
    image = cv2.cvtColor(frame.reshape(HEIGHT * 3 // 2, WIDTH), cv2.COLOR_YUV2RGB_NV12)
    left = (WIDTH - HEIGHT) // 2
    image = cv2.resize(image[:, left:left + HEIGHT], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR_EXACT)
    return (image.astype(np.float32) - 127.5) / 127.5


def frames(seed, count):
    """Frames in NV12, and the numbers of their signs. Those without any are twice as many as of any sign."""
    random = np.random.default_rng(seed)
    y = np.array([max(0, i % (len(LABELS) + 1) - 1) for i in range(count)])
    return [nv12(photograph(random, LABELS[label])) for label in y], y


def network(tf):
    layers = tf.keras.layers
    out = [layers.Input((SIDE, SIDE, 3), batch_size=1, name="image")]

    def block(channels, pool):
        out.extend([layers.DepthwiseConv2D(3, padding="same", use_bias=False), layers.BatchNormalization(), layers.ReLU()])
        out.extend([layers.Conv2D(channels, 1, use_bias=False), layers.BatchNormalization(), layers.ReLU()])
        out.extend([layers.MaxPooling2D()] if pool else [])

    out.extend([layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False), layers.BatchNormalization(), layers.ReLU()])
    block(24, True)
    block(48, True)
    block(64, True)
    block(96, False)
    return tf.keras.Sequential(out + [layers.AveragePooling2D(4), layers.Flatten(), layers.Dense(len(LABELS), name="sign")])


def train():
    import tensorflow as tf

    tf.keras.utils.set_random_seed(15)
    given, y = frames(15, 13500)
    x = np.stack([seen(frame) for frame in given])
    model = network(tf)
    # The fixed batch of 1 is for the converter; training uses the same weights through a flexible one.
    image = tf.keras.Input((SIDE, SIDE, 3))
    out = image
    for layer in model.layers:
        out = layer(out)
    trainer = tf.keras.Model(image, out)
    epochs, batch = 16, 64
    rate = tf.keras.optimizers.schedules.CosineDecay(4e-3, epochs * (len(x) // batch))
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile(tf.keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    trainer.fit(x, y, batch_size=batch, epochs=epochs, verbose=2)

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in x[:400])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (HERE / "sign.tflite").write_bytes(converter.convert())
    random = np.random.default_rng(17)
    drive = [nv12(photograph(random, label)) for label in ("speed 50", "none", "stop", "priority")]
    (HERE / "drive.nv12").write_bytes(np.concatenate(drive).tobytes())


def check(count):
    """The same steps in Python, one after the other."""
    import tensorflow as tf

    def opened(name):
        # The kernels that define the results, and not those that are fast.
        interpreter = tf.lite.Interpreter(str(HERE / name), experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF)
        interpreter.allocate_tensors()
        return interpreter

    model = opened("sign.tflite")
    (input,), (output,) = model.get_input_details(), model.get_output_details()
    scale, zero = input["quantization"]
    given, y = frames(1000, count)
    right = 0
    for frame, label in zip(given, y):
        x = seen(frame) / np.float32(scale)
        # Halves go away from zero, as in the operator QUANTIZE.
        x = np.clip(np.trunc(x + np.copysign(np.float32(0.5), x)) + zero, -128, 127)
        model.set_tensor(input["index"], x.astype(np.int8)[None])
        model.invoke()
        right += model.get_tensor(output["index"]).argmax() == label
    print(f"{right} of {count} right in Python")


def test(count):
    given, y = frames(1000, count)
    (HERE / "frames").mkdir(exist_ok=True)
    for number, label in enumerate(LABELS):
        with open(HERE / "frames" / f"{label}.nv12", "wb") as f:
            for frame in (frame for frame, other in zip(given, y) if other == number):
                f.write(frame.tobytes())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--test", type=int)
    parser.add_argument("--check", type=int)
    args = parser.parse_args()
    if args.test:
        test(args.test)
    elif args.check:
        check(args.check)
    else:
        train()


if __name__ == "__main__":
    main()

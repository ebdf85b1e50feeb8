#!/usr/bin/env python3
"""Train the model of this example and write detect.tflite and scene.ppm.

    pip install tensorflow-cpu scikit-learn pillow
    python train.py

Scenes are made here: handwritten digits (the 8 x 8 ones that scikit-learn ships, UCI's optical recognition of handwritten digits) of many sizes,
colours and contrasts lie on grounds with gradients, stripes, clouds, noise, lines and shapes. The model is a small SSD: six convolutions, after which
two layers say for each of their places how far the nearest digit's box is from an anchor, and a score for each of the ten digits. The converter
quantises it to int8. The result depends on TensorFlow's version, so both files are committed; running this again gives others of about the same
accuracy. With `--test N` it only makes N scenes into the folder `scenes`, of digits that were not trained on; a scene's file says in comments
which digits are where.
"""
import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits

HERE = pathlib.Path(__file__).parent
FRAME = (160, 120)
INPUT = (96, 72)
# Stride, and width and height of the anchor in pixels of the model's input. detect.toml says the same.
LAYERS = [(8, (10.0, 13.0)), (16, (18.0, 24.0))]


def digits(is_test):
    """Images from 0 to 1 and their labels; every fifth is kept for tests."""
    data = load_digits()
    chosen = (np.arange(len(data.target)) % 5 == 0) == is_test
    return data.images[chosen] / 16, data.target[chosen]


def ground(random):
    """A textured background, f32 [height, width, 3] from 0 to 255."""
    width, height = FRAME
    y, x = np.mgrid[:height, :width].astype(np.float32)
    out = np.ones((height, width, 3), np.float32) * (random.uniform(40, 215) + random.uniform(-35, 35, 3))
    angle = random.uniform(0, 2 * np.pi)
    along = (x * np.cos(angle) + y * np.sin(angle)) / width
    out += along[..., None] * (random.uniform(-70, 70) + random.uniform(-20, 20, 3))
    if random.random() < 0.4:
        out += np.sin(along * random.uniform(10, 120))[..., None] * random.uniform(-15, 15)
    if random.random() < 0.7:
        cells = random.integers(3, 24)
        clouds = Image.fromarray(random.normal(size=(cells, cells)).astype(np.float32)).resize(FRAME, Image.BICUBIC)
        out += np.asarray(clouds)[..., None] * (random.uniform(-25, 25) + random.uniform(-6, 6, 3))
    picture = Image.fromarray(np.clip(out, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(random.integers(0, 5)):
        colour = tuple(int(c) for c in random.integers(0, 256, 3))
        a, b = random.uniform(0, 1, (2, 2)) * FRAME
        kind = random.integers(4)
        if kind == 0:
            draw.line([*a, *(a + (b - a) * 3)], colour, int(random.integers(1, 5)))
        elif kind == 1:
            draw.polygon([*a, *b, *(random.uniform(0, 1, 2) * FRAME)], colour)
        else:
            box = [*np.minimum(a, b), *np.maximum(a, b)]
            draw.rectangle(box, colour) if kind == 2 else draw.ellipse(box, colour)
    return np.asarray(picture).astype(np.float32)


def ink(random, image):
    """How much of each pixel is covered: a digit of some size and tilt, without margins."""
    height = random.uniform(18, 46)
    side = int(height * 8 / 7)
    big = Image.fromarray(image.astype(np.float32)).resize((max(8, int(side * random.uniform(0.8, 1.15))), side), Image.BICUBIC)
    margin = side // 3
    wide = Image.new("F", (big.width + 2 * margin, big.height + 2 * margin))
    wide.paste(big, (margin, margin))
    turned = np.asarray(wide.rotate(random.uniform(-10, 10), Image.BILINEAR))
    cover = np.clip((turned - random.uniform(0.3, 0.45)) / 0.35, 0, 1)
    rows, columns = np.nonzero((cover > 0.5).any(1))[0], np.nonzero((cover > 0.5).any(0))[0]
    return cover[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]


def scene(random, images, labels, count=None):
    """A frame, u8 [height, width, 3], and of each digit in it left, top, right, bottom and the label."""
    out = ground(random)
    found = []
    for _ in range(random.integers(0, 7) if count is None else count):
        which = random.integers(len(labels))
        cover = ink(random, images[which])
        height, width = cover.shape
        for _ in range(20):
            left, top = random.integers(0, FRAME[0] - width + 1), random.integers(0, FRAME[1] - height + 1)
            if all(left >= r + 2 or left + width + 2 <= l or top >= b + 2 or top + height + 2 <= t for l, t, r, b, _ in found):
                break
        else:
            continue
        part = out[top:top + height, left:left + width]
        colour = random.uniform(0, 255, 3)
        # Darker or brighter than what is under it, so that it can be seen.
        under, contrast = part.mean(), random.uniform(80, 170)
        brightness = under - contrast if under > 255 - contrast or (under > contrast and random.random() < 0.5) else under + contrast
        colour = np.clip(colour * 0.5 + brightness - (colour * 0.5).mean(), 0, 255)
        part += cover[..., None] * (colour - part)
        found.append((left, top, left + width, top + height, labels[which]))
    out += random.normal(size=out.shape) * random.uniform(0, 10)
    return np.clip(np.round(out), 0, 255).astype(np.uint8), found


def resized(frame):
    """As the pipeline does it: bilinear, u8."""
    def weights(to, source):
        at = np.clip((np.arange(to) + 0.5) * source / to - 0.5, 0, source - 1)
        first = np.minimum(at.astype(int), source - 2)
        out = np.zeros((to, source), np.float32)
        out[np.arange(to), first], out[np.arange(to), first + 1] = 1 - (at - first), at - first
        return out
    rows, columns = weights(INPUT[1], FRAME[1]), weights(INPUT[0], FRAME[0])
    return np.round(np.einsum("ay,yxc,bx->abc", rows, frame.astype(np.float32), columns, optimize=True)).astype(np.uint8)


def anchors():
    """Middles and sizes [n, 4] in pixels of the model's input."""
    out = []
    for stride, size in LAYERS:
        columns, rows = -(-INPUT[0] // stride), -(-INPUT[1] // stride)
        y, x = np.mgrid[:rows, :columns]
        middles = np.stack([(x + 0.5) / columns * INPUT[0], (y + 0.5) / rows * INPUT[1]], -1).reshape(-1, 2)
        out.append(np.concatenate([middles, np.broadcast_to(size, middles.shape)], 1))
    return np.concatenate(out).astype(np.float32)


def targets(found, all_anchors):
    """Of each anchor the box's four numbers, and the label: -1 for none, -2 where both answers are right."""
    boxes, labels = np.zeros((len(all_anchors), 4), np.float32), np.full(len(all_anchors), -1)
    if not found:
        return boxes, labels
    corners = np.array([f[:4] for f in found], np.float32) * np.tile(np.array(INPUT) / FRAME, 2)
    middle, size = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    low, high = all_anchors[:, None, :2] - all_anchors[:, None, 2:] / 2, all_anchors[:, None, :2] + all_anchors[:, None, 2:] / 2
    common = np.clip(np.minimum(high, corners[:, 2:]) - np.maximum(low, corners[:, :2]), 0, None).prod(-1)
    overlap = common / (all_anchors[:, None, 2:].prod(-1) + size.prod(-1) - common)
    overlap[overlap.argmax(0), np.arange(len(found))] = 2
    best = overlap.argmax(1)
    value = overlap.max(1)
    labels[value > 0.3] = -2
    is_one = value > 0.42
    labels[is_one] = np.array([f[4] for f in found])[best[is_one]]
    boxes[:, :2] = (middle[best] - all_anchors[:, :2]) / all_anchors[:, 2:]
    boxes[:, 2:] = np.log(size[best] / all_anchors[:, 2:])
    return boxes, labels


def network(tf, batch_size=None):
    layers = tf.keras.layers

    def convolution(x, channels, stride=1):
        x = layers.Conv2D(channels, 3, stride, "same", use_bias=False)(x)
        return layers.ReLU(6)(layers.BatchNormalization(momentum=0.95)(x))

    image = x = tf.keras.Input((INPUT[1], INPUT[0], 3), batch_size=batch_size, name="image")
    for channels, stride in [(12, 2), (24, 2), (32, 1), (48, 2), (48, 1)]:
        x = convolution(x, channels, stride)
    heads = []
    for features in [x, convolution(x, 48, 2)]:
        places = layers.Conv2D(4, 3, padding="same")(features)
        scores = layers.Conv2D(10, 3, padding="same", bias_initializer=tf.keras.initializers.Constant(-3))(features)
        heads.append((layers.Reshape((-1, 4))(places), layers.Reshape((-1, 10))(scores)))
    places, scores = (layers.Concatenate(1)(list(parts)) for parts in zip(*heads))
    return tf.keras.Model(image, {"places": places, "scores": scores})


def train(scene_count, epochs):
    import tensorflow as tf

    tf.keras.utils.set_random_seed(3)
    random = np.random.default_rng(3)
    images, labels = digits(False)
    all_anchors = anchors()
    frames, boxes, classes = [], [], []
    for _ in range(scene_count):
        frame, found = scene(random, images, labels)
        frames.append(resized(frame))
        for part, of in zip((boxes, classes), targets(found, all_anchors)):
            part.append(of)
    data = tf.data.Dataset.from_tensor_slices((np.stack(frames), np.stack(boxes), np.stack(classes))).shuffle(4096).batch(32, drop_remainder=True)
    model = network(tf)
    steps = epochs * (scene_count // 32)
    optimizer = tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(4e-3, steps, 0.01))

    @tf.function
    def step(frame, box, label):
        image = tf.cast(frame, tf.float32) / 127.5 - 1
        # Other colours: channels change places, and bright becomes dark.
        image = tf.gather(image, tf.random.shuffle([0, 1, 2]), axis=-1) * tf.sign(tf.random.uniform((len(frame), 1, 1, 1), -1, 1))
        with tf.GradientTape() as tape:
            answer = model(image, training=True)
            places, scores = answer["places"], answer["scores"]
            is_one, counts = tf.cast(label >= 0, tf.float32), tf.cast(label != -2, tf.float32)
            total = tf.reduce_sum(is_one) + 1
            # Focal loss: what is easy weighs little, since most places have no digit.
            truth = tf.one_hot(label, 10)
            right = tf.where(truth > 0, tf.sigmoid(scores), tf.sigmoid(-scores))
            focal = tf.where(truth > 0, 0.75, 0.25) * (1 - right) ** 2 * tf.nn.sigmoid_cross_entropy_with_logits(truth, scores)
            off = tf.abs(places - box)
            off = tf.where(off < 0.1, off * off * 5, off - 0.05)
            # What is said of places without a digit is never read; it stays small, so that the bytes are for the others.
            far = tf.reduce_sum(tf.nn.relu(tf.abs(places) - 1) * (1 - is_one)[..., None]) / 100
            loss = (tf.reduce_sum(focal * counts[..., None]) + tf.reduce_sum(off * is_one[..., None]) + far) / total
        optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
        return loss

    for epoch in range(epochs):
        losses = [step(*batch).numpy() for batch in data]
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}", flush=True)

    # The fixed batch of 1 is for the converter.
    single = network(tf, 1)
    single.set_weights(model.get_weights())
    convert(tf, single, frames)


def convert(tf, model, frames):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([f[None] / np.float32(127.5) - np.float32(1)] for f in frames[:200])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (HERE / "detect.tflite").write_bytes(converter.convert())


def write(path, frame, found):
    """A PPM file; what is in the scene stands in comments: left, top, right, bottom, label."""
    comments = "".join(f"# {l} {t} {r} {b} {label}\n" for l, t, r, b, label in found)
    path.write_bytes(f"P6\n{comments}{FRAME[0]} {FRAME[1]}\n255\n".encode() + frame.tobytes())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--test", type=int)
    parser.add_argument("--scenes", type=int, default=16000)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    if args.test is None:
        train(args.scenes, args.epochs)
        write(HERE / "scene.ppm", *scene(np.random.default_rng(12), *digits(True), count=6))
        return
    (HERE / "scenes").mkdir(exist_ok=True)
    for i in range(args.test):
        write(HERE / "scenes" / f"{i:03}.ppm", *scene(np.random.default_rng(1000 + i), *digits(True)))


if __name__ == "__main__":
    main()

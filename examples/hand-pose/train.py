#!/usr/bin/env python3
"""Train the models of this example and write hand.tflite, sign.tflite and hands.yuyv.

    pip install tensorflow-cpu opencv-python-headless
    python train.py

The data are made here: frames of 160 x 120 in YUYV with one drawn hand, left or right, from the palm or the back, that makes one of six signs. A
hand is a skeleton of 21 joints in three dimensions, whose fingers bend; bones are drawn with skin around them, on a room with things in it, with
light, blur and noise. So where the joints are is known exactly. A CNN tells the joints of a picture: it makes a map of each joint and takes the
map's mean. A second network tells the sign of the joints. The converter quantises both to int8. The result depends on TensorFlow's version, so all
files are committed; running this again gives others of about the same accuracy. With `--test N` it only makes N other frames, into
`frames/LABEL.yuyv`, and with `--check N` it tells how good the same steps in OpenCV and TensorFlow Lite are on such frames.
"""
import argparse
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import cv2
import numpy as np

HERE = pathlib.Path(__file__).parent
LABELS = ["open", "fist", "point", "victory", "thumb", "ok"]
WIDTH, HEIGHT, SIDE, GRID = 160, 120, 64, 16
# The skeleton is MediaPipe's: the wrist, then four joints of each finger from the thumb on. Units are the length of the palm; fingers point up.
FINGERS = [
    # First joint, direction in degrees from upright, lengths of the three bones.
    ((-0.25, 0.95), -9, (0.44, 0.27, 0.22)),
    ((0.00, 1.00), -1, (0.48, 0.31, 0.23)),
    ((0.21, 0.94), 7, (0.44, 0.29, 0.22)),
    ((0.38, 0.82), 16, (0.34, 0.21, 0.19)),
]
STRAIGHT = {"open": (0, 1, 2, 3), "fist": (), "point": (0,), "victory": (0, 1), "thumb": (), "ok": (1, 2, 3)}


def direction(degrees):
    return np.array([np.sin(np.radians(degrees)), np.cos(np.radians(degrees)), 0])


def skeleton(random, label):
    """Joints of a right hand, seen on its palm: [21, 3], where z is towards the viewer."""
    joints = np.zeros((21, 3))
    spread = random.uniform(0.3, 1.5) if label == "open" else random.uniform(0.9, 1.8) if label == "victory" else random.uniform(0.3, 1.1)
    for finger, (first, turn, bones) in enumerate(FINGERS):
        at = np.array([*first, 0]) + random.normal(size=3) * [0.02, 0.02, 0]
        along = direction(turn * spread + random.normal() * 2.5)
        if finger in STRAIGHT[label]:
            bends = np.cumsum(np.abs(random.normal(size=3)) * 9)
        elif label == "ok":
            bends = np.array([45, 100, 135]) + random.normal(size=3) * 6
        else:
            bends = np.cumsum([random.uniform(65, 90), random.uniform(85, 105), random.uniform(45, 70)])
        joints[5 + 4 * finger] = at
        for bone, (length, bend) in enumerate(zip(bones, np.radians(bends))):
            at = at + length * random.uniform(0.93, 1.07) * (along * np.cos(bend) + np.array([0, 0, 1]) * np.sin(bend))
            joints[6 + 4 * finger + bone] = at
    base = np.array([-0.2, 0.2, 0.1])
    if label in ("open", "thumb"):
        turns = np.array([-58, -42, -34]) + random.normal() * 9 + random.normal(size=3) * 5
        thumb = base + np.cumsum([direction(t) * length for t, length in zip(turns, (0.42, 0.34, 0.28))], 0)
    elif label == "ok":
        # The tip of the thumb meets that of the first finger.
        tip = joints[8] + random.normal(size=3) * 0.03
        knuckle = base + direction(-52 + random.normal() * 5) * 0.42
        middle = (knuckle + tip) / 2 + np.array([-0.1, 0.03, 0.05])
        thumb = np.stack([knuckle, middle, tip])
    else:
        # Across the bent fingers or the palm.
        turns = np.array([-30, 20, 62]) + random.normal() * 8 + random.normal(size=3) * 6
        thumb = base + np.cumsum([direction(t) * length for t, length in zip(turns, (0.42, 0.34, 0.26))], 0) + np.array([0, 0, 0.3])
    joints[1], joints[2:5] = base, thumb
    return joints


def placed(random, label):
    """Joints in pixels of the frame [21, 2], depths, and the length of the palm: somewhere in the middle square, turned and seen aslant."""
    while True:
        joints = skeleton(random, label)
        sign = random.choice([-1, 1])
        # A thumb is held upwards.
        turn = np.radians((60 if label == "thumb" else 0) + random.uniform(-32, 32))
        aslant, nod = np.radians(random.uniform(-28, 28, 2))
        about_z = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        about_y = np.array([[np.cos(aslant), 0, np.sin(aslant)], [0, 1, 0], [-np.sin(aslant), 0, np.cos(aslant)]])
        about_x = np.array([[1, 0, 0], [0, np.cos(nod), -np.sin(nod)], [0, np.sin(nod), np.cos(nod)]])
        joints = joints @ about_y.T @ about_x.T @ about_z.T
        palm = random.uniform(28, 42)
        flat = joints[:, :2] * palm * [sign, -1]
        room = HEIGHT - 14 - np.ptp(flat, axis=0)
        if (room < 0).any():
            continue
        left_top = np.array([(WIDTH - HEIGHT) / 2, 0]) + 7 + random.uniform(0, 1, 2) * room
        depth = joints[:, 2] * random.choice([-1, 1], p=[0.35, 0.65])
        return flat - flat.min(0) + left_top, depth, palm


def colour(random, around=None, spread=60):
    around = random.uniform(30, 220, 3) if around is None else np.array(around)
    return np.clip(around + random.uniform(-spread, spread, 3), 0, 255)


def room(random):
    """What is behind the hand, twice as large as the frame."""
    size = (2 * HEIGHT, 2 * WIDTH)
    slope = np.linspace(random.uniform(0.6, 1.1), random.uniform(0.6, 1.1), size[1])[None, :, None]
    image = np.ascontiguousarray(np.clip(np.broadcast_to(colour(random) * slope, (*size, 3)), 0, 255).astype(np.uint8))
    for _ in range(random.integers(0, 9)):
        x, y = int(random.integers(size[1])), int(random.integers(size[0]))
        wide, high = int(random.integers(10, 150)), int(random.integers(10, 150))
        c = tuple(colour(random))
        kind = random.integers(4)
        if kind == 0:
            cv2.rectangle(image, (x, y), (x + wide, y + high), c, -1)
        elif kind == 1:
            cv2.ellipse(image, (x, y), (wide // 2, high // 2), random.uniform(0, 180), 0, 360, c, -1)
        elif kind == 2:
            cv2.line(image, (x, y), (int(random.integers(size[1])), int(random.integers(size[0]))), c, int(random.integers(2, 14)))
        else:
            cv2.fillPoly(image, [np.int32(random.uniform(0, 1, (4, 2)) * (size[1], size[0]))], c)
    return image


def drawn(random, joints, depth, palm):
    """The hand on its background, with the light, the blur and the noise of a small camera: RGB."""
    image = room(random)
    skin = np.array([(236, 198, 172), (222, 172, 136), (190, 136, 100), (141, 92, 62), (98, 62, 44)][random.integers(5)]) + random.uniform(-14, 14, 3)
    at, unit = joints * 2, palm * 2

    def point(p):
        return tuple(int(v) for v in np.round(np.asarray(p) * 16))

    def bones(points, widths, shade):
        tone, edge = tuple(np.clip(skin * shade, 0, 255)), tuple(np.clip(skin * shade * 0.62, 0, 255))
        for extra, c in ((0.06, edge), (0, tone)):
            for (a, b), width in zip(zip(points, points[1:]), widths):
                cv2.line(image, point(a), point(b), c, max(1, int(round((width + extra) * unit))), cv2.LINE_AA, 4)

    wrist = at[0]
    down = wrist - at[9]
    down = down / (np.linalg.norm(down) + 1e-6) * unit
    sleeve = random.random() < 0.5
    bones([wrist, wrist + 4 * down], [0.5 * random.uniform(0.9, 1.2)], 0.95)
    if sleeve:
        cv2.line(image, point(wrist + down * random.uniform(0.35, 0.8)), point(wrist + 4 * down), tuple(colour(random)), int(0.75 * unit), cv2.LINE_AA, 4)
    across = np.array([-down[1], down[0]]) * 0.24
    across *= np.sign(across @ (at[5] - at[17]) or 1)

    def flesh():
        outline = np.stack([wrist + across, at[1], at[5], at[9], at[13], at[17], wrist - across])
        hull = cv2.convexHull(np.float32(outline)).reshape(-1, 2)
        for extra, c in ((0.24, skin * 0.62), (0.18, skin)):
            cv2.fillPoly(image, [np.int32(np.round(hull * 16))], tuple(np.clip(c, 0, 255)), cv2.LINE_AA, 4)
            for a, b in zip(hull, np.roll(hull, -1, 0)):
                cv2.line(image, point(a), point(b), tuple(np.clip(c, 0, 255)), int(extra * unit), cv2.LINE_AA, 4)

    fingers = [(depth[1:5].mean(), [1, 2, 3, 4], (0.27, 0.23, 0.2))]
    fingers += [(depth[f:f + 4].mean(), [f, f + 1, f + 2, f + 3], (0.23, 0.21, 0.18)) for f in (5, 9, 13, 17)]
    fingers.sort(key=lambda f: f[0])
    # What is behind the palm first.
    for mean, numbers, widths in [f for f in fingers if f[0] < -0.05]:
        bones(at[numbers], widths, 0.9)
    flesh()
    for mean, numbers, widths in [f for f in fingers if -0.05 <= f[0]]:
        bones(at[numbers], widths, 1 + 0.12 * mean)

    image = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    image = (image - 128) * random.uniform(0.6, 1.1) + 128 + random.uniform(-45, 30)
    image = cv2.GaussianBlur(image * random.uniform(0.9, 1.1, 3).astype(np.float32), (0, 0), random.uniform(0.3, 0.9))
    image += random.normal(size=image.shape) * random.uniform(0, 7)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def yuyv(image):
    """As a camera gives it: Y of a pixel, U of two, Y of the next, V of two."""
    yuv = image.astype(np.float32) @ (np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]).T / 255)
    yuv += [16, 128, 128]
    out = np.empty((HEIGHT, WIDTH, 2), np.float32)
    out[..., 0] = yuv[..., 0]
    out[:, 0::2, 1], out[:, 1::2, 1] = ((yuv[:, 0::2, c] + yuv[:, 1::2, c]) / 2 for c in (1, 2))
    return np.clip(np.round(out), 0, 255).astype(np.uint8).reshape(-1)


def seen(frame):
    """What the first model sees of a frame: what hand.toml says, in OpenCV."""
    image = cv2.cvtColor(frame.reshape(HEIGHT, WIDTH, 2), cv2.COLOR_YUV2RGB_YUYV)
    left = (WIDTH - HEIGHT) // 2
    image = cv2.resize(image[:, left:left + HEIGHT], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR_EXACT)
    return (image.astype(np.float32) - 127.5) / 127.5


def relative(points):
    """Points [21, 2] as the second model takes them: from the wrist, at most 1 away along an axis."""
    distances = points - points[0]
    return distances / max(np.abs(distances).max(), 1e-6)


def frames(seed, count):
    """Frames in YUYV, joints across the middle square [count, 21, 2], and numbers of signs."""
    random = np.random.default_rng(seed)
    given, points, labels = [], [], np.arange(count) % len(LABELS)
    for label in labels:
        joints, depth, palm = placed(random, LABELS[label])
        given.append(yuyv(drawn(random, joints, depth, palm)))
        points.append((joints - [(WIDTH - HEIGHT) / 2, 0]) / HEIGHT)
    return given, np.stack(points).astype(np.float32), labels


def hand_network(tf):
    """The network that is trained, whose results are 21 maps of GRID x GRID places, as logarithms; and what is written, whose results are the means of
    these maps: places from 0 to 1."""
    layers = tf.keras.layers

    def conv(x, channels, size=3, strides=1):
        x = layers.Conv2D(channels, size, strides=strides, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization()(x))

    image = layers.Input((SIDE, SIDE, 3), name="image")
    half = conv(image, 16, strides=2)
    fine = conv(half, 32, strides=2)
    middle = conv(fine, 48, strides=2)
    coarse = conv(conv(middle, 64, strides=2), 64)
    # What the whole hand is, back to where its joints are.
    middle = layers.Add()([layers.UpSampling2D(interpolation="bilinear")(conv(coarse, 48, 1)), middle])
    fine = layers.Add()([layers.UpSampling2D(interpolation="bilinear")(conv(middle, 32)), fine])
    maps = layers.Conv2D(21, 1)(conv(fine, 32))
    maps = layers.Permute((2, 1))(layers.Reshape((GRID * GRID, 21))(maps))
    mean = layers.Dense(2, trainable=False)
    # Sharper than they are, and relative to the middle: probabilities are rounded to 1/256, and those that become 0 must not be missed.
    places = layers.Reshape((42,))(mean(layers.Softmax()(layers.Rescaling(2.0)(maps))))
    mean.set_weights([grid() - 0.5, np.array([0.5, 0.5])])
    return tf.keras.Model(image, maps), tf.keras.Model(image, places)


def grid():
    """Middles of the places of a map: [GRID * GRID, 2], x and y from 0 to 1."""
    y, x = np.mgrid[:GRID, :GRID]
    return (np.stack([x, y], 2).reshape(-1, 2).astype(np.float32) + 0.5) / GRID


def map_loss(tf):
    """How far maps are from bells around the joints."""
    def loss(points, maps):
        distances = tf.reduce_sum((points[:, :, None] - grid()[None, None]) ** 2, -1)
        bells = tf.nn.softmax(-distances * (GRID / 0.7) ** 2 / 2)
        return tf.nn.softmax_cross_entropy_with_logits(bells, maps)

    return loss


def sign_network(tf):
    layers = tf.keras.layers
    return tf.keras.Sequential([
        layers.Input((42,), name="points"), layers.Dense(32, activation="relu"), layers.Dense(16, activation="relu"), layers.Dense(len(LABELS)),
    ])


def write(tf, model, name, takes, gives, samples):
    """Quantised, with names for what it takes and gives."""
    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name=takes)
    archive = tf.keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", lambda x: {gives: model(x)}, [spec])
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        (HERE / name).write_bytes(converter.convert())


def opened(name, kernels):
    import tensorflow as tf

    model = tf.lite.Interpreter(str(HERE / name), experimental_op_resolver_type=kernels)
    model.allocate_tensors()
    return model


def run(model, x):
    """Real numbers in and out of a quantised model."""
    (input,), (output,) = model.get_input_details(), model.get_output_details()
    scale, zero = input["quantization"]
    # Halves go away from zero, as in the operator QUANTIZE.
    x = np.float32(x) / np.float32(scale)
    x = np.clip(np.trunc(x + np.copysign(np.float32(0.5), x)) + zero, -128, 127)
    model.set_tensor(input["index"], x.astype(np.int8).reshape(input["shape"]))
    model.invoke()
    scale, zero = output["quantization"]
    return (model.get_tensor(output["index"])[0].astype(np.float32) - zero) * scale


def train():
    import tensorflow as tf

    tf.keras.utils.set_random_seed(15)
    random = np.random.default_rng(15)
    given, points, labels = frames(15, 12000)
    x = np.stack([seen(frame) for frame in given])
    maps, hand = hand_network(tf)
    epochs, batch = 12, 64
    rate = tf.keras.optimizers.schedules.CosineDecay(4e-3, epochs * (len(x) // batch))
    maps.compile(tf.keras.optimizers.Adam(rate), map_loss(tf))
    maps.fit(x, points, batch_size=batch, epochs=epochs, verbose=2)
    write(tf, hand, "hand.tflite", "image", "joints", x[:400])

    # The second one learns from what the first one says, and from the truth with errors.
    written = opened("hand.tflite", tf.lite.experimental.OpResolverType.AUTO)
    told = np.stack([run(written, image) for image in x]).reshape(-1, 21, 2)
    told = np.concatenate([told] + [points + random.normal(size=points.shape) * error for error in (0.01, 0.02, 0.03)])
    shapes = np.stack([relative(p) for p in told]).reshape(-1, 42).astype(np.float32)
    sign = sign_network(tf)
    sign.compile(tf.keras.optimizers.Adam(2e-3), tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    sign.fit(shapes, np.tile(labels, 4), batch_size=128, epochs=12, verbose=2)
    write(tf, sign, "sign.tflite", "points", "sign", shapes[:400])
    (HERE / "hands.yuyv").write_bytes(np.concatenate([f for f, label in zip(frames(17, 6)[0], (1, 0, 0, 1, 1, 0)) if label]).tobytes())


def check(count):
    """The same steps in Python, one after the other."""
    import tensorflow as tf

    # The kernels that define the results, and not those that are fast.
    reference = tf.lite.experimental.OpResolverType.BUILTIN_REF
    hand, sign = opened("hand.tflite", reference), opened("sign.tflite", reference)
    given, points, labels = frames(1000, count)
    right, errors = 0, []
    for frame, truth, label in zip(given, points, labels):
        joints = run(hand, seen(frame)).reshape(21, 2)
        errors.append(np.linalg.norm(joints - truth, axis=1) * HEIGHT)
        right += run(sign, relative(joints)).argmax() == label
    print(f"{right} of {count} right in Python; joints are {np.mean(errors):.1f} pixels off in the mean, {np.median(errors):.1f} in the median")


def test(count):
    given, _, labels = frames(1000, count)
    (HERE / "frames").mkdir(exist_ok=True)
    for number, label in enumerate(LABELS):
        with open(HERE / "frames" / f"{label}.yuyv", "wb") as f:
            for frame in (frame for frame, other in zip(given, labels) if other == number):
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

#!/usr/bin/env python3
"""Frames of a camera in a pipeline, beside OpenCV: colours, parts, turning, resizing, bars and numbers of the model's input.

    python tests/frames/run.py [--cranelite PROGRAM] [--quick] [--only CHECK,...] [-- OPTIONS OF cranelite run]

The frames are noise and smooth pictures with every byte in them. What is compared, and with which function of OpenCV:

    formats   each format and each resize, with odd sizes, rows longer than their pixels, parts at edges, turned and mirrored: cv2.cvtColor
              (COLOR_YUV2RGB_YUY2, _NV12, _NV21, _I420, COLOR_RGB2GRAY, ...), cv2.rotate, cv2.flip, cv2.resize (INTER_LINEAR_EXACT,
              INTER_NEAREST, INTER_AREA)
    sizes     one row, one column, one pixel, enlarging and shrinking
    numbers   mean and std of f32, u8, i8 and i16, in both orders of colours, as rows and as planes; bars (cv2.copyMakeBorder)
    strides   rows whose length is given with each frame; one that is too short ends the invocation
    boxes     a part that an earlier model found: at edges, beyond them, empty, infinite; grown, turned, with bars
    area      INTER_AREA from many sizes to many

Options behind `--` make it a comparison of other machines and programs: `-- --opt size`, `-- --threads 2`, `-- --target c99 --linker gcc`.

Every byte must be the same. Of INTER_AREA OpenCV's sums are floats, so where the mean is a half, or nearly one, a byte may be one more or less. NumPy,
opencv-python-headless and flatbuffers are needed.
"""

import argparse
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

import cv2
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/random_graphs"))
from model import Model, Operator, Tensor

FORMATS = ["rgb8", "bgr8", "rgba8", "bgra8", "gray8", "yuyv", "nv12", "nv21", "i420"]
RESIZES = {"bilinear": cv2.INTER_LINEAR_EXACT, "nearest": cv2.INTER_NEAREST, "area": cv2.INTER_AREA}
random = np.random.RandomState(7)
failures = []


class Frame:
    """A format and a size; bytes from a row to the next one if that is not all of it."""

    def __init__(self, format, width, height, stride=None, most=None):
        self.format, self.width, self.height, self.most = format, width, height, most
        pixel = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "yuyv": 2}.get(format, 1)
        self.row = (width + (width % 2 if format == "yuyv" else 0)) * pixel
        self.stride, self.own_stride = stride or self.row, stride
        self.half = ((width + 1) // 2, (height + 1) // 2)

    def planes(self, stride):
        """Where each plane begins, bytes between its rows, rows, bytes of a row."""
        planes = [(0, stride, self.height, self.row)]
        end, (w, h), half = stride * self.height, self.half, (stride + 1) // 2
        if self.format in ("nv12", "nv21"):
            planes.append((end, 2 * half, h, 2 * w))
        if self.format == "i420":
            planes += [(end, half, h, w), (end + h * half, half, h, w)]
        return planes

    def size(self, stride):
        begin, between, rows, _ = self.planes(stride)[-1]
        return begin + between * rows

    def toml(self, name):
        stride = f"stride = {{ most = {self.most} }}\n" if self.most else f"stride = {self.own_stride}\n" if self.own_stride else ""
        return f'[frame.{name}]\nformat = "{self.format}"\nwidth = {self.width}\nheight = {self.height}\n{stride}'

    def picture(self):
        """Bytes, with noise where no pixel is; every second picture is smooth."""
        data = random.randint(0, 256, self.size(self.most or self.stride)).astype(np.uint8)
        if random.randint(2):
            data = cv2.GaussianBlur(data.reshape(1, -1), (31, 1), 0).ravel()
            data = cv2.normalize(data, None, 0, 255, cv2.NORM_MINMAX).ravel()
        return data

    def rgb(self, data, gray):
        """What OpenCV makes of it: RGB, or the brightness alone. Of YUV that is what a pixel without chroma has."""
        w, h = self.width, self.height
        parts = []
        for begin, between, rows, row in self.planes(self.stride):
            lines = np.lib.stride_tricks.as_strided(data[begin:], (rows, row), (between, 1))
            parts.append(lines.copy())
        first = parts[0]
        if self.format == "gray8":
            return first if gray else cv2.cvtColor(first, cv2.COLOR_GRAY2RGB)
        if self.format in ("rgb8", "bgr8", "rgba8", "bgra8"):
            pixels = first.reshape(h, w, -1)
            code = {"bgr8": cv2.COLOR_BGR2RGB, "rgba8": cv2.COLOR_RGBA2RGB, "bgra8": cv2.COLOR_BGRA2RGB}.get(self.format)
            rgb = pixels if code is None else cv2.cvtColor(pixels, code)
            return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if gray else rgb
        if self.format == "yuyv":
            pixels = first.reshape(h, -1, 2)
            if gray:
                pixels[:, :, 1] = 128
            rgb = cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_YUY2)
        else:
            # OpenCV takes even sizes only: the last column and row are there twice, which changes no other pixel.
            (half_w, half_h), chroma = self.half, parts[1:]
            luma = cv2.copyMakeBorder(first, 0, 2 * half_h - h, 0, 2 * half_w - w, cv2.BORDER_REPLICATE)
            if gray:
                chroma = [np.full_like(c, 128) for c in chroma]
            code = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21, "i420": cv2.COLOR_YUV2RGB_I420}[self.format]
            all = np.concatenate([luma.ravel()] + [c.ravel() for c in chroma]).reshape(-1, 2 * half_w)
            rgb = cv2.cvtColor(all, code)
        rgb = np.ascontiguousarray(rgb[:h, :w])
        return rgb[:, :, 0].copy() if gray else rgb


class Case:
    """An input of a model, and what of a frame it is."""

    def __init__(self, frame, size, channels=3, element="u8", scale=1.0, zero=0, planar=False, **keys):
        self.frame, self.size, self.channels, self.element, self.scale, self.zero = frame, size, channels, element, scale, zero
        self.planar, self.keys = planar, keys

    def shape(self):
        h, w = self.size
        return (1, self.channels, h, w) if self.planar else (1, h, w, self.channels)

    def toml(self, table, frame):
        def text(v):
            return str(v).lower() if isinstance(v, bool) else f'"{v}"' if isinstance(v, str) else str(list(v) if isinstance(v, tuple) else v)
        return f'[{table}]\nfrom = "{frame}"\n' + "".join(f"{k} = {text(v)}\n" for k, v in self.keys.items())

    def part(self):
        """Left, top, width, height."""
        frame, crop = self.frame, self.keys.get("crop")
        if crop is None:
            return 0, 0, frame.width, frame.height
        if crop != "center":
            return crop
        h, w = self.size if self.keys.get("rotate", 0) % 180 == 0 else self.size[::-1]
        if frame.width * h <= frame.height * w:
            part = frame.width, max(1, frame.width * h // w)
        else:
            part = max(1, frame.height * w // h), frame.height
        return (frame.width - part[0]) // 2, (frame.height - part[1]) // 2, *part

    def expected(self, data, part=None):
        """Pixels 0 to 255, and then as the model takes them."""
        keys, (h, w) = self.keys, self.size
        left, top, width, height = part or self.part()
        image = self.frame.rgb(data, self.channels == 1)[top:top + height, left:left + width]
        turns = [None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE]
        turn = turns[keys.get("rotate", 0) // 90]
        image = np.ascontiguousarray(image)
        image = image if turn is None else cv2.rotate(image, turn)
        image = cv2.flip(image, 1) if keys.get("mirror") else image
        inner = (h, w)
        if keys.get("fit") == "letterbox":
            rows, columns = image.shape[:2]
            if rows * w <= columns * h:
                inner = (min(h, max(1, math.floor(rows * w / columns + 0.5))), w)
            else:
                inner = (h, min(w, max(1, math.floor(columns * h / rows + 0.5))))
        image = cv2.resize(image, inner[::-1], interpolation=RESIZES[keys.get("resize", "bilinear")])
        fill = keys.get("fill", 0)
        above, before = (h - inner[0]) // 2, (w - inner[1]) // 2
        border = (above, h - inner[0] - above, before, w - inner[1] - before)
        image = cv2.copyMakeBorder(image, *border, cv2.BORDER_CONSTANT, value=fill if isinstance(fill, tuple) else (fill,) * 3)
        image = image.reshape(h, w, -1)
        if keys.get("order") == "bgr":
            image = image[:, :, ::-1]
        mean, std = (np.float32(keys.get(k, d)) for k, d in (("mean", 0), ("std", 1)))
        real = (image.astype(np.float32) - mean) / std
        if self.element == "f32":
            numbers = real
        else:
            range = np.iinfo({"u8": "u1", "i8": "i1", "i16": "i2"}[self.element])
            scaled = real / np.float32(self.scale or 1)
            rounded = np.sign(scaled) * np.floor(np.abs(scaled) + np.float32(0.5))
            numbers = np.clip(rounded.astype(int) + self.zero, range.min, range.max)
        return numbers.transpose(2, 0, 1)[None] if self.planar else numbers[None]

    def name(self):
        frame = self.frame
        keys = " ".join(f"{k}={v}" for k, v in self.keys.items())
        return f"{frame.format} {frame.width}x{frame.height} stride {frame.stride} to {self.element}{list(self.shape())} {keys}"


def passes(cases):
    """A model that gives what it takes."""
    tensors, operators = [], []
    for case in cases:
        quantized = {} if case.element == "f32" or case.scale is None else {"scales": (case.scale,), "zero_points": (case.zero,)}
        shape = case.shape()
        flat = (math.prod(shape),)
        operators.append(Operator("RESHAPE", [len(tensors)], [len(tensors) + 1], ("ReshapeOptions", {"new_shape": list(flat)})))
        tensors += [Tensor(case.element, shape, **quantized), Tensor(case.element, flat, **quantized)]
    return Model(tensors, operators, list(range(0, len(tensors), 2)), list(range(1, len(tensors), 2)))


class Program:
    def __init__(self, path, folder, options):
        self.path, self.folder, self.options = path, folder, options

    def run(self, files, steps):
        """The outputs of each step, or what was said instead."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        for name, data in files.items():
            (folder / name).write_bytes(data)
        words = []
        for number, arrays in enumerate(steps):
            words += ["--next-step"] * (number > 0)
            for i, array in enumerate(arrays):
                np.save(folder / f"{number}-{i}.npy", array)
                words += ["--input", f"{number}-{i}.npy"]
        command = [self.path, "run", "model.tflite", "--pipeline", "pipeline.toml", *words, "--output-dir", "out", *self.options]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(folder)
            return done.stderr
        count = len(list((folder / "out").glob("out*.npy")))
        name = lambda step, i: folder / "out" / (f"s{step}.out{i}.npy" if step else f"out{i}.npy")
        outputs = [[np.load(name(step, i)) for i in range(count)] for step in range(len(steps))]
        shutil.rmtree(folder)
        return outputs


class Tally:
    """Numbers that were compared."""

    def __init__(self, check, allowed=0):
        self.check, self.allowed, self.cases, self.numbers, self.different, self.worst, self.wrong = check, allowed, 0, 0, 0, 0, []

    def add(self, name, found, expected):
        difference = np.abs(found.astype(float).ravel() - expected.astype(float).ravel())
        self.cases += 1
        self.numbers += difference.size
        self.different += np.count_nonzero(difference)
        self.worst = max(self.worst, difference.max())
        if not difference.max() <= self.allowed:
            self.wrong.append(f"{name}: {np.count_nonzero(difference)} of {difference.size} differ, by {difference.max()} at most")

    def close(self, most_different=0.0):
        is_right = not self.wrong and self.different <= most_different * self.numbers
        text = f"{self.cases} images, {self.numbers} numbers, {self.different} differ, by {self.worst:g} at most"
        print(f"{'ok    ' if is_right else 'FAILED'} {self.check}: {text}", flush=True)
        for line in self.wrong[:20]:
            print(f"       {line}", flush=True)
        if not is_right:
            failures.append(self.check)


def compare(program, tally, cases, at_once=24, frames=2):
    """Several cases are inputs of one model, each of its own frame."""
    for first in range(0, len(cases), at_once):
        some = cases[first:first + at_once]
        names = [f"f{i:02}" for i in range(len(some))]
        toml = "".join(c.frame.toml(n) + c.toml(f"input.t{2 * i}", n) for i, (c, n) in enumerate(zip(some, names)))
        data = [[c.frame.picture() for c in some] for _ in range(frames)]
        outputs = program.run({"model.tflite": passes(some).file(), "pipeline.toml": toml.encode()}, data)
        if isinstance(outputs, str):
            raise SystemExit(f"cranelite run failed:\n{outputs}\n{toml}")
        for step, pictures in zip(outputs, data):
            for case, picture, output in zip(some, pictures, step):
                tally.add(case.name(), output, case.expected(picture))


def formats(program, quick):
    cases = []
    for format in FORMATS:
        for number, (w, h, extra) in enumerate([(16, 12, 0), (13, 9, 0), (17, 8, 5), (10, 11, 16)][1 if quick else 0:3 if quick else 4]):
            row = Frame(format, w, h).row
            frame = Frame(format, w, h, row + extra if extra else None)
            for resize in ("bilinear", "nearest", "area"):
                for channels in (3, 1):
                    size = (6, 5) if resize == "area" else (7, 14)
                    rotate = 90 * (len(cases) % 4)
                    mirror = len(cases) // 4 % 2 == 0
                    crop = [None, (0, 0, 7, 8), (w - 9, h - 7, 9, 7), "center"][len(cases) // 3 % 4]
                    keys = {k: v for k, v in (("resize", resize), ("rotate", rotate), ("mirror", mirror), ("crop", crop)) if v}
                    if resize == "area" and crop != "center":
                        keys["crop"] = (w - 9, 0, 9, 8)
                    elif resize == "area":
                        size = (4, 4)
                    cases.append(Case(frame, size, channels, **keys))
    exact = Tally("formats, bilinear and nearest")
    compare(program, exact, [c for c in cases if c.keys["resize"] != "area"])
    exact.close()
    area = Tally("formats, area", 1)
    compare(program, area, [c for c in cases if c.keys["resize"] == "area"])
    area.close(0.005)


def sizes(program, quick):
    cases = []
    for format in ("rgb8", "yuyv", "nv12", "i420") if quick else FORMATS:
        for w, h in ((1, 1), (1, 6), (7, 1), (2, 2), (3, 5)):
            for size in ((1, 1), (4, 1), (1, 5), (8, 9)):
                for resize in ("bilinear", "nearest"):
                    if quick and random.randint(3):
                        continue
                    cases.append(Case(Frame(format, w, h), size, int(random.choice([1, 3])), resize=resize, rotate=int(90 * random.randint(4))))
    tally = Tally("sizes")
    compare(program, tally, cases, 40)
    tally.close()


def numbers(program, quick):
    frame, wide = Frame("rgb8", 20, 12), Frame("nv12", 12, 21)
    cases = []
    for f in (frame, wide):
        for order in ("rgb", "bgr"):
            for fill in (0, 114, (255, 7, 100)):
                for fit in ("letterbox", "stretch"):
                    both = {"order": order, "fit": fit} | ({"fill": fill} if fit == "letterbox" else {})
                    cases.append(Case(f, (9, 16), **both))
                    cases.append(Case(f, (10, 8), element="f32", mean=127.5, std=127.5, **both))
                    cases.append(Case(f, (8, 8), element="f32", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), planar=True, **both))
                    cases.append(Case(f, (8, 8), element="i8", scale=0.00784313, zero=-1, mean=127.5, std=127.5, rotate=270, **both))
                    cases.append(Case(f, (8, 6), element="i8", scale=0.0186584, zero=-14, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375),
                                      **both))
                    cases.append(Case(f, (8, 8), element="u8", scale=1 / 255, zero=0, std=255, **both))
                    cases.append(Case(f, (5, 8), element="i16", scale=1 / 32767, std=255, resize="nearest", **both))
                    cases.append(Case(f, (5, 8), element="u8", scale=None, **both))
        cases.append(Case(f, (9, 9), 1, element="i8", scale=1 / 255, zero=-128, std=255, fit="letterbox", fill=9))
    tally = Tally("numbers")
    compare(program, tally, random.permutation(cases)[:60] if quick else cases, 32)
    tally.close()


def strides(program, quick):
    tally = Tally("strides")
    for format in FORMATS:
        row = Frame(format, 11, 7).row
        frame = Frame(format, 11, 7, most=row + 21)
        some = [Case(frame, (5, 6), 3), Case(frame, (9, 8), 3, rotate=90), Case(frame, (5, 4), 1, resize="area", mirror=True)]
        toml = frame.toml("cam") + "".join(c.toml(f"input.t{2 * i}", "cam") for i, c in enumerate(some))
        given = [row, row + 1, row + 21] if quick else list(range(row, row + 22))
        data = [frame.picture() for _ in given]
        files = {"model.tflite": passes(some).file(), "pipeline.toml": toml.encode()}
        outputs = program.run(files, [[d, np.int32([s])] for d, s in zip(data, given)])
        if isinstance(outputs, str):
            raise SystemExit(f"cranelite run failed:\n{outputs}\n{toml}")
        for picture, stride, step in zip(data, given, outputs):
            frame.stride = stride
            for case, output in zip(some, step):
                tally.add(case.name(), output, case.expected(picture))
        for wrong in (row - 1, row + 22, 0, -5, 2**31 - 1, -2**31):
            said = program.run(files, [[data[0], np.int32([wrong])]])
            if not isinstance(said, str):
                tally.wrong.append(f"{format}: a stride of {wrong} does not end the invocation")
    tally.close()


def boxes(program, quick):
    """The first model gives two points, around which the box is."""
    points = [(2, 3, 9, 8), (2.2, 3.7, 8.9, 7.1), (0, 0, 13, 10), (-5, -7, 4.5, 3), (9, 6, 99, 70), (4, 4, 4.2, 9), (5, 5, 5, 5), (20, 3, 30, 8), (12.5, 9.5, 13, 10),
              (3, -20, 8, -4), (-1e30, 2, 1e30, 5), (0, 0, 0.5, 0.5), (11, 0, 13, 9.5), (6.999, 3.001, 7.001, 9)]
    tally = Tally("boxes")
    for format in ("rgb8", "nv12", "yuyv") if quick else FORMATS:
        frame = Frame(format, 13, 10)
        some = []
        for rotate in (0, 90, 180, 270):
            for keys in ({}, {"resize": "nearest", "mirror": True}, {"fit": "letterbox", "fill": 77}, {"grow": 1.5}, {"grow": 0.5, "mirror": True, "fit": "letterbox"}):
                size = [(6, 9), (5, 4), (8, 8)][len(some) % 3]
                some.append(Case(frame, size, 3 if len(some) % 4 else 1, within="box", rotate=rotate, **keys))
        toml = '[keypoints.box]\nfrom = "t1"\ncount = 2\ndims = 2\n' + frame.toml("cam") + '[[next]]\nmodel = "second.tflite"\n'
        toml += "".join(c.toml(f"next.input.t{2 * i}", "cam") for i, c in enumerate(some))
        flat = Operator("RESHAPE", [0], [1], ("ReshapeOptions", {"new_shape": [4]}))
        first = Model([Tensor("f32", (1, 2, 2)), Tensor("f32", (4,))], [flat], [0], [1])
        data = [frame.picture() for _ in points]
        files = {"model.tflite": first.file(), "second.tflite": passes(some).file(), "pipeline.toml": toml.encode()}
        outputs = program.run(files, [[np.float32(p).reshape(1, 2, 2), d] for p, d in zip(points, data)])
        if isinstance(outputs, str):
            raise SystemExit(f"cranelite run failed:\n{outputs}\n{toml}")
        for box, picture, step in zip(points, data, outputs):
            # The first outputs are the points themselves.
            for case, output in zip(some, step[-len(some):]):
                tally.add(f"{box} {case.name()}", output, case.expected(picture, whole(box, case.keys.get("grow", 1), frame)))
    tally.close()


def whole(box, grow, frame):
    """Left, top, width and height of the pixels that it touches."""
    sides = []
    for low, high, size in ((box[0], box[2], frame.width), (box[1], box[3], frame.height)):
        low, high = np.float32(low), np.float32(high)
        if grow != 1:
            middle, reach = (low + high) * np.float32(0.5), (high - low) * np.float32(0.5 * grow)
            low, high = middle - reach, middle + reach
        first, end = (min(max(float(v), 0.0), size) for v in (np.floor(low), np.ceil(high)))
        if not (low < high and first < end):
            return 0, 0, frame.width, frame.height
        sides.append((int(first), int(end - first)))
    return sides[0][0], sides[1][0], sides[0][1], sides[1][1]


def area(program, quick):
    cases = []
    for number in range(60 if quick else 600):
        h, w = random.randint(1, 24, 2)
        factors = random.randint(1, 6, 2) if number % 3 == 0 else (2, 2) if number % 10 == 1 else 1 + 4 * random.rand(2)
        frame = Frame(["rgb8", "gray8"][number % 2], math.ceil(w * factors[0]), math.ceil(h * factors[1]))
        cases.append(Case(frame, (int(h), int(w)), 3 if frame.format == "rgb8" else 1, resize="area", rotate=180 * (number % 2)))
    tally = Tally("area", 1)
    compare(program, tally, cases, 60)
    tally.close(0.001)


CHECKS = {f.__name__: f for f in (formats, sizes, numbers, strides, boxes, area)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cranelite", default=str(ROOT / "target/release/cranelite"))
    parser.add_argument("--quick", action="store_true", help="fewer cases")
    parser.add_argument("--only", help="some checks, with commas between")
    parser.add_argument("options", nargs="*", help="options of cranelite run, behind --")
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp())
    program = Program(str(pathlib.Path(args.cranelite).resolve()), folder, args.options)
    try:
        for name in args.only.split(",") if args.only else CHECKS:
            CHECKS[name](program, args.quick)
    finally:
        shutil.rmtree(folder)
    if failures:
        sys.exit(f"failed: {', '.join(failures)}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Weights that stay packed, few numbers in four bits each, or half floats, and become numbers in the product: are the answers right, and what does it cost?

    tests/compress/products.py [--cranelite PROGRAM] [--cpu LEVEL,...] [--types TYPE,...] [--numbers KIND,...] [--only TEXT] [--how CHOICE,...]
                              [--rounds N] [--batch-ms N] [--aarch64] [--quick]

Layers (CONV_2D of several windows, strides, dilations and batches; FULLY_CONNECTED of one row and of many; int8, int16x8, and hybrid: weights of 8 bits,
floats otherwise) whose weights are of four bits, or of a palette of 16, 5 or 2 numbers; float16: weights of 16 bits behind a DEQUANTIZE, as the converter makes them. Answers of every choice of --compress are compared with LiteRT's
reference kernels and, bit for bit, with those of the plain model. Times are the least of many, dense and packed in turns in one process; `--aarch64`
counts instructions under QEMU instead. `--quick` compares answers of small layers and times nothing.

Needs numpy, flatbuffers and ai-edge-litert, a C compiler, and for --aarch64 Debian's qemu-user and gcc-aarch64-linux-gnu. Exit status 1 if an answer is
wrong, or if nothing was packed where it can be.
"""

import argparse
import os
import pathlib
import shutil
import sys
import tempfile

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/sparse")]
import tflite  # noqa: F401  the folder of model.py
from answers import difference, reference
from build import Counter, Failed, Library, interleaved
from model import Model, Operator, Tensor

# Shape of the input, channels, and of a convolution: height and width of the window, more options.
LARGE = {"fc 1x1024->1024": ((1, 1024), 1024, None, {}), "fc 1x2048->2048": ((1, 2048), 2048, None, {}),
         "fc 1x4096->4096": ((1, 4096), 4096, None, {}),
         "fc 64x512->512": ((64, 512), 512, None, {}), "conv 14x14x256->256": ((1, 14, 14, 256), 256, (1, 1), {}),
         "conv 28x28x64->64 3x3": ((1, 28, 28, 64), 64, (3, 3), {})}
SMALL = {"fc 1x256->96": ((1, 256), 96, None, {}), "fc 1x130->40": ((1, 130), 40, None, {}), "fc 5x100->40": ((5, 100), 40, None, {}),
         "fc 17x133->25": ((17, 133), 25, None, {}), "conv 13x7x40->33": ((1, 13, 7, 40), 33, (1, 1), {}),
         "conv 2x9x8x24->40 3x3": ((2, 9, 8, 24), 40, (3, 3), {}), "conv 1x11x13->24 5x3 /2": ((1, 11, 9, 13), 24, (5, 3), {"stride_h": 2, "stride_w": 2}),
         "conv 9x9x16->17 1x1 /3": ((1, 9, 9, 16), 117, (1, 1), {"stride_h": 3, "stride_w": 3}),
         "conv 9x9x8->32 3x3 dilated": ((1, 9, 9, 8), 32, (3, 3), {"dilation_h_factor": 2, "dilation_w_factor": 2}),
         "conv 8x1x30->64 3x1": ((1, 8, 1, 30), 64, (3, 1), {}), "conv 6x6x64->64 3x3 groups": ((1, 6, 6, 64), 64, (3, 3), {"groups": 2})}
TYPES = {"int8": ("i8", "i32", 127), "int16x8": ("i16", "i64", 32767), "hybrid": ("f32", None, None), "float16": ("f32", None, None)}
NUMBERS = {"int4": numpy.arange(-7, 8), "palette": numpy.array([-127, -101, -88, -73, -51, -34, -12, -3, 0, 5, 17, 29, 44, 70, 99, 127]),
           "five": numpy.array([-90, -20, 0, 31, 127]), "two": numpy.array([-50, 77]), "half": None}


def layer(shape, channels, window, options, type, numbers, seed=1):
    """A product with weights of these numbers, and inputs for it."""
    random = numpy.random.default_rng(seed)
    activations, bias_type, largest = TYPES[type]
    options = dict(options)
    depth = shape[-1] // options.pop("groups", 1)
    out_shape = (shape[0], channels)
    if window:
        strides = options.get("stride_h", 1), options.get("stride_w", 1)
        options = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "fused_activation_function": "RELU", **options}
        out_shape = (shape[0], *(-(-n // s) for n, s in zip(shape[1:], strides)), channels)
        product = "CONV_2D", ("Conv2DOptions", options)
    else:
        product = "FULLY_CONNECTED", ("FullyConnectedOptions", {"fused_activation_function": "NONE"})
    if type == "float16":
        weights = random.normal(size=(channels, *(window or ()), depth)).astype("<f2")
        bias = random.normal(size=channels).astype("f4")
        tensors = [Tensor("f32", shape), Tensor("f16", weights.shape, data=weights), Tensor("f32", weights.shape), Tensor("f32", (channels,), data=bias),
                   Tensor("f32", out_shape)]
        operators = [Operator("DEQUANTIZE", [1], [2]), Operator(product[0], [0, 2, 3], [4], product[1])]
        return Model(tensors, operators, [0], [4]).file(), [random.normal(size=shape).astype("f4")]
    weights = random.choice(NUMBERS[numbers], (channels, *(window or ()), depth)).astype("i1")
    scales = random.uniform(0.5, 1.5, channels).astype("f4") / numpy.abs(NUMBERS[numbers]).max()
    per_channel = lambda values: (tuple(map(float, values)), (0,) * channels, 0)
    held = Tensor("i8", weights.shape, *per_channel(scales), data=weights)
    if largest is None:
        x = random.normal(size=shape).astype("f4")
        bias = Tensor("f32", (channels,), data=random.normal(size=channels).astype("f4"))
        tensors = [Tensor("f32", shape), held, bias, Tensor("f32", out_shape)]
    else:
        x = random.integers(-largest - 1, largest + 1, shape).astype("i1" if activations == "i8" else "<i2")
        in_scale, in_zero = 4 / largest, 3 if type == "int8" else 0
        spread = 2.3 * float(((weights.reshape(channels, -1) * scales[:, None]) ** 2).sum(1).mean() ** 0.5)
        bias = numpy.rint(random.normal(size=channels) * spread / (in_scale * scales)).astype("<i4" if bias_type == "i32" else "<i8")
        tensors = [Tensor(activations, shape, (in_scale,), (in_zero,)), held, Tensor(bias_type, (channels,), *per_channel(in_scale * scales), data=bias),
                   Tensor(activations, out_shape, (4 * spread / largest,), (-5 if type == "int8" else 0,))]
    return Model(tensors, [Operator(product[0], [0, 1, 2], [3], product[1])], [0], [3]).file(), [x]


def in_products(report):
    return sum(g["bytes"] for g in report["compressed"]["groups"] if g["scheme"].endswith("in products"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cranelite", default=ROOT / "target/release/cranelite", type=pathlib.Path)
    parser.add_argument("--cpu", type=lambda s: s.split(","), metavar="LEVEL,...", help="by default native; for --aarch64 generic,generic+dotprod")
    parser.add_argument("--types", default=list(TYPES), type=lambda s: s.split(","))
    parser.add_argument("--numbers", default=list(NUMBERS), type=lambda s: s.split(","))
    parser.add_argument("--how", default=["products", "", "fastest", "smallest"], type=lambda s: s.split(","))
    parser.add_argument("--only", help="layers whose name has this text")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--batch-ms", type=float, default=3, help="calls that are timed together; 0: each by itself, after a call of each other model")
    parser.add_argument("--aarch64", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError:
        print("skipped: ai-edge-litert is not installed")
        sys.exit(0)
    if not options.aarch64 and not options.quick:
        # One processor for all, so that turns are fair.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    levels = options.cpu or (["generic", "generic+dotprod"] if options.aarch64 else ["native"])
    failures, compared, packed = [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        counter = Counter(folder) if options.aarch64 else None
        layers = SMALL if options.quick else LARGE
        for number, (name, type, numbers) in enumerate((n, t, v) for n in layers for t in options.types for v in options.numbers
                                                     if (t == "float16") == (v == "half")):
            title = f"{name} {type} {numbers}"
            if options.only and options.only not in title:
                continue
            file, inputs = layer(*layers[name], type, numbers)
            _, expected = reference(file, inputs)
            for level in levels:
                made, figures = {}, {}
                for how in [None, *options.how]:
                    place = folder / f"{number} {level} {how}"
                    words = [] if how is None else ["--compress", "constants" + (f"={how}" if how else "")]
                    try:
                        if counter:
                            report, figures[how], answers = counter.of_call_reported(options.cranelite, file, place, level, inputs, expected, words)
                        else:
                            library = Library(options.cranelite, file, place, level, words)
                            library.feed(inputs)
                            report, answers, made[how] = library.report, library.answers(expected), library
                    except Failed as e:
                        failures.append(f"{title} at {level}, {how}: {e}")
                        continue
                    shutil.rmtree(place, ignore_errors=True)
                    compared += 1
                    wrong = difference(answers, expected, {"hybrid": 2e-2, "float16": 1e-4}.get(type, 0))
                    if how is None:
                        plain = answers
                    elif any((a != b).any() for a, b in zip(answers, plain)):
                        wrong = "not the bits of the plain model"
                    if wrong:
                        failures.append(f"{title} at {level}, {how}: {wrong}")
                    packed += how == "products" and 0 < in_products(report)
                    if not options.quick and how is not None:
                        figures[how, "about"] = f"{report['const_bytes']:,} bytes, {in_products(report):,} in products"
                if options.quick:
                    continue
                if not counter:
                    figures |= dict(zip(made, interleaved([l.seconds for l in made.values()], options.rounds, options.batch_ms / 1e3)))
                for how in options.how:
                    if how in figures:
                        ratio = figures[None] / figures[how]
                        print(f"{title:40} {level:16} {how or 'constants':9} {ratio:5.2f} of dense {figures[None]:12.7g}, "
                              f"{figures[how, 'about']}", flush=True)
    if packed == 0 and "products" in options.how:
        failures.append("nothing was packed in products")
    for failure in failures:
        print("FAILED: " + failure.splitlines()[0][:300])
    print(f"{compared} answers compared, {packed} with weights packed in products, {len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

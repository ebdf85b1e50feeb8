#!/usr/bin/env python3
"""Models that `cranelite optimize` writes, beside LiteRT: it runs each of them with the same answers as ours.

    python tests/optimize/run.py [--cranelite PROGRAM] [--quick] [--models FOLDER] [--only MODEL,...]

Small models made here, of every operator that has weights and of every element type of these, with all options; and, without --quick, the models of a suite (a folder
of ZIP archives, each with NAME.tflite and arrays NAME.in0.npy, ...; ../shared/zoo by default, where it is there). Integers must be equal, floats as near as
roundings of sums explain, beside the reference kernels. Where a sum of floats is quantised at run time, one step may be another, and after many operators much
may be; so where answers are further apart LiteRT is asked how far its own are apart when inputs move by a hundred-thousandth. A model that LiteRT does not take is
a failure, one that `optimize` refuses is counted.
ai-edge-litert, NumPy and flatbuffers are needed.
"""

import argparse
import collections
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/random_graphs"))
from model import Model, Operator, Tensor

OPTIONS = [
    "--prune 0.75",
    "--prune 2:4",
    "--prune 1:4 --per channel",
    "--palette 4",
    "--palette 2 --per channel",
    "--weights int8",
    "--weights int4",
    "--prune 0.5 --weights int8 --palette 5",
    "--prune 2:4 --weights int4 --palette 2",
]
# Largest difference over the largest number: of floats throughout, of such in models of many operators, and of floats that are quantised at run time.
NEAR, NEAR_AFTER_MANY, NEAR_WHEN_QUANTISED = 2e-5, 1e-4, 0.02
# Of what LiteRT's own answers differ by: so many inputs beside the first, which are moved by so much.
MOVED_INPUTS, MOVED_BY, MOST_OF_OWN = 6, 1e-5, 2
random = np.random.RandomState(3)


class Maker:
    """A model that grows; weights are of the type that is asked for."""

    def __init__(self, activations, weights):
        self.model, self.activations, self.weights = Model([], [], [], []), activations, weights

    def add(self, *arguments, **more):
        self.model.tensors.append(Tensor(*arguments, **more))
        return len(self.model.tensors) - 1

    def activation(self, *shape):
        scales, zero_points = ((), ()) if self.activations == "f32" else ((0.06,), (0 if self.activations == "i16" else 3,))
        return self.add(self.activations, shape, scales=scales, zero_points=zero_points)

    def constant(self, values, type="i32"):
        return self.add(type, values.shape, data=values)

    def weight(self, *shape, axis=0):
        """Of floats, f16 behind a DEQUANTIZE, or integers with a scale for each channel."""
        values = random.randn(*shape).astype("f4") * 0.2
        if self.weights == "f32":
            return self.constant(values, "f32")
        if self.weights == "f16":
            half, whole = self.constant(values.astype("f2"), "f16"), self.add("f32", shape)
            self.model.operators.append(Operator("DEQUANTIZE", [half], [whole]))
            return whole
        count = shape[axis]
        integers = np.clip(np.round(values * 200), -127, 127)
        return self.add("i8", shape, scales=tuple(0.004 + 0.0001 * i for i in range(count)), zero_points=(0,) * count, axis=axis, data=integers)

    def bias(self, count):
        if self.activations == "f32":
            return self.constant(random.randn(count).astype("f4") * 0.2, "f32")
        scales = tuple(0.06 * (0.004 + 0.0001 * i) for i in range(count))
        values = random.randint(-2000, 2000, count)
        return self.add("i64" if self.activations == "i16" else "i32", (count,), scales=scales, zero_points=(0,) * count, data=values)

    def operator(self, name, inputs, output, options=None):
        self.model.operators.append(Operator(name, inputs, [output], options))
        return output

    def finish(self, input, output):
        self.model.inputs, self.model.outputs = [input], [output]
        return self.model


def image(activations, weights):
    """CONV_2D, DEPTHWISE_CONV_2D and TRANSPOSE_CONV."""
    m = Maker(activations, weights)
    x = m.activation(1, 8, 8, 8)
    padding = {"padding": "SAME", "stride_w": 1, "stride_h": 1}
    dilation = {"dilation_w_factor": 1, "dilation_h_factor": 1}
    a = m.operator("CONV_2D", [x, m.weight(32, 3, 3, 8), m.bias(32)], m.activation(1, 8, 8, 32), ("Conv2DOptions", {**padding, **dilation}))
    depthwise = ("DepthwiseConv2DOptions", {**padding, **dilation, "depth_multiplier": 1})
    b = m.operator("DEPTHWISE_CONV_2D", [a, m.weight(1, 6, 6, 32, axis=3), m.bias(32)], m.activation(1, 8, 8, 32), depthwise)
    if activations == "i16":
        return m.finish(x, b)
    shape = m.constant(np.array([1, 16, 16, 10], "i4"))
    doubled = ("TransposeConvOptions", {"padding": "SAME", "stride_w": 2, "stride_h": 2})
    return m.finish(x, m.operator("TRANSPOSE_CONV", [shape, m.weight(10, 3, 3, 32), b], m.activation(1, 16, 16, 10), doubled))


def groups(activations, weights):
    """CONV_2D in groups."""
    m = Maker(activations, weights)
    x = m.activation(1, 6, 6, 32)
    options = ("Conv2DOptions", {"padding": "SAME", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1})
    return m.finish(x, m.operator("CONV_2D", [x, m.weight(32, 3, 3, 8), m.bias(32)], m.activation(1, 6, 6, 32), options))


def dense(activations, weights):
    """FULLY_CONNECTED with and without a bias; the last group of input channels is shorter."""
    m = Maker(activations, weights)
    x = m.activation(3, 61)
    a = m.operator("FULLY_CONNECTED", [x, m.weight(45, 61), m.bias(45)], m.activation(3, 45), ("FullyConnectedOptions", {}))
    last = [a, m.weight(30, 45)] + ([m.bias(30)] if activations == "i16" else [])
    return m.finish(x, m.operator("FULLY_CONNECTED", last, m.activation(3, 30), ("FullyConnectedOptions", {})))


def matmul(activations, weights):
    """BATCH_MATMUL by constants, as they are and exchanged."""
    m = Maker(activations, weights)
    x = m.activation(2, 5, 40)
    a = m.operator("BATCH_MATMUL", [x, m.weight(40, 32)], m.activation(2, 5, 32), ("BatchMatMulOptions", {}))
    return m.finish(x, m.operator("BATCH_MATMUL", [a, m.weight(48, 32)], m.activation(2, 5, 48), ("BatchMatMulOptions", {"adj_y": True})))


def volume(activations, weights):
    """CONV_3D."""
    m = Maker(activations, weights)
    x = m.activation(1, 5, 6, 6, 8)
    options = {"padding": "SAME", "stride_d": 1, "stride_w": 1, "stride_h": 1}
    options |= {"dilation_d_factor": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}
    return m.finish(x, m.operator("CONV_3D", [x, m.weight(3, 3, 3, 8, 12), m.bias(12)], m.activation(1, 5, 6, 6, 12), ("Conv3DOptions", options)))


SMALL = ("image", "groups", "dense", "matmul", "volume")


def small_models():
    """(name, model, array of inputs)"""
    for build in (image, groups, dense, matmul, volume):
        for activations, weights in (("f32", "f32"), ("f32", "f16"), ("i8", "i8"), ("i16", "i8")):
            # BATCH_MATMUL has one scale for all weights, and groups none of integers in LiteRT.
            if weights == "i8" and (build in (matmul, volume, groups) or (build, activations) == (dense, "i16")):
                continue
            model = build(activations, weights)
            shape = model.tensors[model.inputs[0]].shape
            array = random.randn(*shape).astype("f4")
            if activations != "f32":
                info = np.iinfo({"i8": "i1", "i16": "i2"}[activations])
                array = np.clip(array * 40, info.min, info.max).astype(info.dtype)
            yield f"{build.__name__}-{activations}-{weights}", model.file(), [array]


def suite(folder):
    """The models of a folder, each with its first inputs."""
    for path in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as unpacked:
            archive.extractall(unpacked)
            unpacked = pathlib.Path(unpacked)
            for model in sorted(unpacked.glob("*.tflite")):
                arrays = [np.load(p) for p in (unpacked / f"{model.stem}.in{i}.npy" for i in range(99)) if p.exists()]
                yield model.stem, model.read_bytes(), arrays


def reference(file, inputs):
    interpreter = Interpreter(model_content=file, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1)
    for details, array in zip(interpreter.get_input_details(), inputs):
        if tuple(details["shape"]) != array.shape:
            interpreter.resize_tensor_input(details["index"], array.shape)
    interpreter.allocate_tensors()
    for details, array in zip(interpreter.get_input_details(), inputs):
        interpreter.set_tensor(details["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def ours(cranelite, file, inputs, folder):
    words = [cranelite, "run", str(file), "--output-dir", str(folder / "out")]
    for i, array in enumerate(inputs):
        np.save(folder / f"in{i}.npy", array)
        words += ["--input", str(folder / f"in{i}.npy")]
    run = subprocess.run(words, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr.strip())
    return [np.load(folder / f"out/out{i}.npy") for i in range(len(list((folder / "out").glob("out*.npy"))))]


def apart(a, b):
    return float(np.max(np.abs(a - b), initial=0)) / float(np.max(np.abs(a), initial=1e-6))


def own(file, inputs, expected):
    """How far LiteRT's float answers are apart, each at the most, when inputs move a little."""
    answers = []
    for seed in range(MOVED_INPUTS):
        noise = np.random.RandomState(seed)
        moved = [(a * (1 + MOVED_BY * noise.randn(*a.shape))).astype(a.dtype) if a.dtype.kind == "f" else a for a in inputs]
        answers.append(reference(file, moved))
    return [max(apart(e, a[i]) for a in answers) if e.dtype.kind == "f" else 0 for i, e in enumerate(expected)]


def difference(a, b, near):
    """In words, of two answers that differ too much."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{a.dtype} {a.shape} and {b.dtype} {b.shape}"
    if a.dtype.kind != "f":
        return "" if np.array_equal(a, b) else f"{np.count_nonzero(a != b)} of {a.size} integers differ"
    return f"by {apart(a, b):.1e} of the largest number" if not apart(a, b) <= near else ""


def check(cranelite, name, file, inputs, options, folder):
    """What came of it: same, refused, or what is wrong."""
    (folder / "model.tflite").write_bytes(file)
    output = folder / "smaller.tflite"
    made = subprocess.run([cranelite, "optimize", str(folder / "model.tflite"), "-o", str(output), *options.split()], capture_output=True, text=True)
    if made.returncode:
        return "refused" if "E0509" in made.stderr else made.stderr.strip()
    is_small = name.split("-")[0] in SMALL
    near = NEAR_WHEN_QUANTISED if "--weights" in options or "dynrange" in name else NEAR if is_small else NEAR_AFTER_MANY
    try:
        expected = reference(output.read_bytes(), inputs)
    except (RuntimeError, ValueError) as e:
        try:
            reference(file, inputs)
        except (RuntimeError, ValueError):
            return "not run by LiteRT before"
        return f"LiteRT does not run it: {e}"
    try:
        found = ours(cranelite, output, inputs, folder)
    except RuntimeError as e:
        return f"cranelite does not run it: {e}"
    wrong = [difference(a, b, near) for a, b in zip(expected, found)]
    if any(wrong):
        allowed = [max(near, MOST_OF_OWN * o) for o in own(output.read_bytes(), inputs, expected)]
        wrong = [difference(a, b, most) for a, b, most in zip(expected, found, allowed)]
    wrong = [f"output {i}: {d}" for i, d in enumerate(wrong) if d]
    return "; ".join(wrong) or "same"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cranelite", default=str(ROOT / "target/release/cranelite"))
    parser.add_argument("--quick", action="store_true", help="the small models alone")
    parser.add_argument("--models", type=pathlib.Path, default=ROOT.parent / "shared/zoo")
    parser.add_argument("--only", default="", help="names of models, or parts of them")
    arguments = parser.parse_args()
    models = list(small_models())
    if not arguments.quick and arguments.models.is_dir():
        models += suite(arguments.models)
    counts, failures = collections.Counter(), []
    for name, file, inputs in models:
        if arguments.only and not any(part in name for part in arguments.only.split(",")):
            continue
        for options in OPTIONS:
            with tempfile.TemporaryDirectory() as folder:
                outcome = check(arguments.cranelite, name, file, inputs, options, pathlib.Path(folder))
            counts[outcome if outcome in ("same", "refused", "not run by LiteRT before") else "wrong"] += 1
            if counts["wrong"] > len(failures):
                failures.append(f"{name} {options}: {outcome}")
                print(failures[-1], flush=True)
    print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    # With nothing the same nothing was tested.
    sys.exit(1 if failures or not counts["same"] else 0)


if __name__ == "__main__":
    main()

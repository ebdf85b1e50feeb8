#!/usr/bin/env python3
"""Models that TensorFlow Lite Micro has compressed, and sparse ones, beside the interpreters that define them.

    pip install numpy flatbuffers tflite-micro ai-edge-litert
    python tests/compression/run.py [--cranelite PROGRAM] [--only CHECK,...] [--quick]

What is compared depends on what the Python has; what is missing is said, and is a failure where CRANELITE_REQUIRE_TOOLS is set:

    decode      TFLM's DECODE operator in each scheme, type and arrangement of channels: the decoded constants are those of TFLM's interpreter
    refused     what TFLM does not take, or reads beyond the model's bytes for
    damaged     the same with a byte changed: what is not refused is what TFLM's interpreter makes of it
    metadata    TFLM's older compression, COMPRESSION_METADATA: answers are those of TFLM's interpreter
    compressor  models that TFLM's own tool compresses (tflite_micro.compression): answers are those of TFLM's interpreter, and of the model as it was
    real        models of int8 in ../shared/zoo, their weights of 16 values, compressed by that tool: the same
    sparse      DENSIFY, and FULLY_CONNECTED of sparse weights, of LiteRT: answers are the same
    few-bits    weights of two and four bits, where LiteRT takes them: the same

All answers have to be the same in every bit. Models are made here, and are small. With `--quick` there are fewer of each. CRANELITE_SHARED is the folder
../shared if it is elsewhere.
"""

import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings
import zipfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("CRANELITE_SHARED", ROOT.parent / "shared"))
sys.path[:0] = [str(ROOT / "tests/random_graphs"), str(ROOT / "tests/compression")]
import encode
import sparse
from flatbuffer import Schema

SCHEMA = Schema()
COMPRESSION = Schema((ROOT / "schema/compression.fbs").read_text())
TYPES = {"INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FLOAT32": np.float32, "FLOAT16": np.float16, "BOOL": np.bool_,
         "UINT8": np.uint8}
failures, left_out = [], []


def check(name, is_right, text=""):
    if not is_right:
        failures.append(name)
        print(f"FAILED {name}: {text}", flush=True)


def missing(name, what):
    left_out.append(f"{name}: {what}")
    print(f"{name} left out: there is no {what}", flush=True)


class Model:
    """Tensors and operators of one subgraph, in the order in which they are added."""

    def __init__(self):
        self.tensors, self.buffers, self.codes, self.operators, self.metadata, self.palettes = [], [{}], [], [], [], []

    def buffer(self, data):
        self.buffers.append({"data": np.frombuffer(bytes(data), "u1")})
        return len(self.buffers) - 1

    def tensor(self, kind, shape, data=None, scales=None, zero_points=None, axis=0, sparsity=None):
        """`data` may be an array or what is encoded."""
        data = data.tobytes() if isinstance(data, np.ndarray) else data
        t = {"shape": shape, "type": kind, "name": f"t{len(self.tensors)}", "has_rank": True, "buffer": 0 if data is None else self.buffer(data)}
        if scales is not None:
            zero_points = [0] * len(scales) if zero_points is None else zero_points
            t["quantization"] = {"scale": np.array(scales, np.float32), "zero_point": zero_points, "quantized_dimension": axis}
        if sparsity:
            t["sparsity"] = sparsity
        self.tensors.append(t)
        return len(self.tensors) - 1

    def operator(self, name, inputs, outputs, options=None, version=1):
        number = SCHEMA.number("BuiltinOperator", "CUSTOM" if name.startswith("TFLM") else name)
        code = {"deprecated_builtin_code": min(number, 127), "builtin_code": number, "version": version}
        if name.startswith("TFLM"):
            code["custom_code"] = name
        self.codes.append(code)
        self.operators.append({"opcode_index": len(self.codes) - 1, "inputs": inputs, "outputs": outputs, "builtin_options": options})

    def decoded(self, kind, shape, stream, ancillary, **quantization):
        """A constant that DECODE makes."""
        inputs = [self.tensor("UINT8", (len(data),), data) for data in (stream, ancillary)]
        t = self.tensor(kind, shape, **quantization)
        self.operator("TFLM_DECODE", inputs, [t])
        return t

    def palette(self, kind, shape, x, axis=None, bits=None, **quantization):
        """A constant that COMPRESSION_METADATA has in its list: of one table, or one for each index of an axis, which has the scales, too."""
        indices, tables = encode.palettes(x, axis)
        bits = bits or max(1, int(indices.max()).bit_length())
        t = self.tensor(kind, shape, encode.packed(indices, bits), axis=axis or 0, **quantization)
        self.palettes.append({"tensor": t, "value_buffer": self.buffer(encode.tables_of(tables)[0]), "index_bitwidth": bits})
        return t

    def file(self, inputs, outputs):
        main = {"tensors": self.tensors, "inputs": inputs, "outputs": outputs, "operators": self.operators, "name": "main"}
        model = {"version": 3, "operator_codes": self.codes, "subgraphs": [main], "buffers": self.buffers}
        if self.palettes:
            listed = COMPRESSION.write("Metadata", {"schema_version": 1, "subgraphs": [{"lut_tensors": self.palettes}]})
            model["metadata"] = [{"name": "COMPRESSION_METADATA", "buffer": self.buffer(listed)}]
        return SCHEMA.write("Model", model)


class Program:
    def __init__(self, path, folder):
        self.path, self.folder = path, folder

    def run(self, model, *inputs):
        """All outputs; the problem as text where there is one."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        (folder / "model.tflite").write_bytes(model)
        words = []
        for i, x in enumerate(inputs):
            np.save(folder / f"{i}.npy", x)
            words += ["--input", f"{i}.npy"]
        done = subprocess.run([self.path, "run", "model.tflite", *words, "--output-dir", "out"], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            return done.stderr
        return [np.load(folder / f"out/out{i}.npy") for i in range(len(list((folder / "out").iterdir())))]


def of_tflm(model, outputs, *inputs):
    """The same of TFLM's interpreter, None where it does not take the model."""
    from tflite_micro import runtime
    try:
        interpreter = runtime.Interpreter.from_bytes(model, arena_size=1 << 22)
        for i, x in enumerate(inputs):
            interpreter.set_input(x, i)
        interpreter.invoke()
    except (RuntimeError, ValueError):
        return None
    return [interpreter.get_output(i) for i in range(outputs)]


def of_litert(model, *inputs, by_reference=False):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
    kernels = OpResolverType.BUILTIN_REF if by_reference else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    for detail, x in zip(interpreter.get_input_details(), inputs):
        interpreter.set_tensor(detail["index"], x)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def compare(name, ours, theirs):
    if theirs is None:
        check(name, False, "the reference does not take the model")
    elif isinstance(ours, str):
        check(name, False, ours)
    else:
        same = len(ours) == len(theirs) and all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in zip(ours, theirs))
        check(name, same, f"{ours} instead of {theirs}")


def few_values(random, kind, shape, count):
    """An array of at most so many values."""
    if kind == "BOOL":
        return random.randint(0, 2, shape).astype(bool)
    values = random.randn(count) if kind == "FLOAT32" else random.randint(-100, 100, count)
    return random.choice(values.astype(TYPES[kind]), shape)


def passing(m):
    """What gives the model an input: a vector that is passed on."""
    x, y = m.tensor("INT8", (1, 4), scales=[1], zero_points=[0]), m.tensor("INT8", (4,), scales=[1], zero_points=[0])
    m.operator("RESHAPE", [x], [y], ("ReshapeOptions", {"new_shape": [4]}))
    return x, y


def decode_cases(random, is_quick):
    """Names, and what makes the constants: a function of a model that gives their tensors and what they are."""
    kinds = ["INT8", "INT16", "INT32", "INT64", "FLOAT32", "BOOL"]
    shapes = [(2, 3, 4), (5,), (3, 1, 2, 6)]
    for kind in kinds:
        for bits in (1, 2, 3, 4, 5, 6, 7):
            shape = (3, 5, 40) if bits in (2, 3, 4) else shapes[bits % 3]
            x = few_values(random, kind, shape, 2 ** bits)
            yield f"palette {kind}, {bits} bits", [(kind, x, encode.lut(x, 1 if kind == "BOOL" else bits), {})]
        for axis in (0, -1):
            x = np.stack([few_values(random, kind, (4, 6), 3) for _ in range(5)], axis)
            place = axis % x.ndim
            scales = {"scales": [0.5] * 5, "axis": place}
            for of_header in (0, place):
                yield f"palette {kind}, along {place}, header {of_header}", [(kind, x, encode.lut(x, 3, axis, of_header), scales)]
        if is_quick and kind != "INT8":
            continue
        x = few_values(random, kind, (6, 11), 5)
        zeros = np.where(random.rand(6, 11) < 0.6, 0, x).astype(x.dtype)
        yield f"pruned {kind}", [(kind, zeros, encode.pruned(zeros, 0), {})]
        yield f"pruned {kind}, quantised", [(kind, zeros, encode.pruned(zeros, 0), {"scales": [0.5]})]
    for axis in (0, 1, 2, None):
        shape = (4, 3, 5)
        count = 1 if axis is None else shape[axis]
        points = random.randint(-128, 128, count)
        zero = points.reshape([-1 if d == axis else 1 for d in range(3)]) if axis is not None else points[0]
        x = np.where(random.rand(*shape) < 0.5, zero, random.randint(-128, 128, shape)).astype(np.int8)
        if axis == 1:
            continue
        scales = {"scales": [0.5] * count, "zero_points": points, "axis": axis or 0}
        yield f"pruned with zero points along {axis}", [("INT8", x, encode.pruned(x, zero), scales)]
    for spread in (0.3, 2, 30):
        for first_bits in (None, 1, 2, 7):
            x = np.clip(random.randn(40, 9) * spread, -128, 127).astype(np.int8)
            yield f"Huffman INT8, {spread}, {first_bits}", [("INT8", x, encode.huffman(x, first_bits), {})]
            yield f"Huffman INT8, {spread}, {first_bits}, 16 bits", [("INT8", x, encode.huffman(x, first_bits, False), {})]
            x = (random.randn(40, 9) * spread * 20).astype(np.int16)
            yield f"Huffman INT16, {spread}, {first_bits}", [("INT16", x, encode.huffman(x, first_bits), {})]
    x = np.full((3, 7), 5, np.int8)
    yield "Huffman, one symbol", [("INT8", x, encode.huffman(x, 1), {})]
    a, b = few_values(random, "INT8", (7, 3), 4), few_values(random, "INT16", (2, 5), 4)
    stream, ancillary = encode.lut(a)
    yield "shared ancillary data", [("INT8", a, (stream, ancillary), {}), ("INT8", a[::-1], (encode.lut(a[::-1])[0], ancillary), {})]
    yield "two at once", [("INT8", a, encode.lut(a), {}), ("INT16", b, encode.huffman(b), {})]


def decode(program, random, is_quick):
    x = np.array([[1, -2, 3, -4]], np.int8)
    count = 0
    for name, constants in decode_cases(random, is_quick):
        m = Model()
        first, y = passing(m)
        inputs, outputs = [], []
        tensors = {}
        for kind, wanted, encoded, quantization in constants:
            # Of the same bytes there is one tensor.
            for data in encoded:
                if data not in tensors:
                    tensors[data] = m.tensor("UINT8", (len(data),), data)
                inputs.append(tensors[data])
            outputs.append(m.tensor(kind, wanted.shape, **quantization))
        m.operator("TFLM_DECODE", inputs, outputs)
        model = m.file([first], [y] + outputs)
        theirs = of_tflm(model, 1 + len(outputs), x)
        # That the encoder is right.
        compare(f"{name}: TFLM", theirs, [x.ravel()] + [wanted for _, wanted, _, _ in constants])
        compare(f"{name}", program.run(model, x), theirs)
        count += 1
    print(f"decode: {count} models", flush=True)


def refused(program, random, is_quick):
    """What TFLM does not take, or would read beyond the model's bytes for."""
    x = few_values(random, "INT8", (4, 6), 4)
    stream, ancillary = encode.lut(x, 2)
    at = lambda place, byte: ancillary[:place] + bytes([byte]) + ancillary[place + 1:]
    cases = {
        "version": (stream, at(1, 2)), "own version": (stream, at(4, 0)), "type": (stream, at(0, 3)), "custom": (stream, at(0, 200)),
        "custom 127": (stream, at(0, 127)), "width": (stream, at(5, 0xF0)), "stride": (stream, at(6, 3)), "short": (stream[:-1], ancillary),
        "no table": (stream, ancillary[:-1]), "header": (stream, ancillary[:15]), "axis": (stream, at(5, 0x12)),
    }
    for name, (stream, ancillary) in cases.items():
        m = Model()
        first, y = passing(m)
        t = m.decoded("INT8", x.shape, stream, ancillary)
        text = program.run(m.file([first], [y, t]), np.zeros((1, 4), np.int8))
        check(f"refused: {name}", isinstance(text, str) and "TFLM_DECODE" in text and "error" in text, f"{text}")
    print(f"refused: {len(cases)} models", flush=True)


def damaged(program, random, is_quick):
    """Wherever one byte of what is encoded is another one: the same constant as TFLM's interpreter makes of it, or a problem. Only what is taken here is given to
    TFLM, which reads beyond the model's bytes otherwise."""
    cases = [c for _, c in decode_cases(np.random.RandomState(2), True) if len(c) == 1 and c[0][1].size < 400]
    taken, count = 0, 40 if is_quick else 400
    for i in range(count):
        (kind, wanted, encoded, quantization), = cases[random.randint(len(cases))]
        encoded = [bytearray(data) for data in encoded]
        part = encoded[random.randint(2)]
        # The header is half of the places.
        at = random.randint(16 if random.rand() < 0.5 and 16 < len(part) else len(part))
        part[at] = random.choice([random.randint(256), part[at] ^ (1 << random.randint(8))])
        m = Model()
        first, y = passing(m)
        t = m.decoded(kind, wanted.shape, *(bytes(data) for data in encoded), **quantization)
        model, x = m.file([first], [y, t]), np.array([[1, 2, 3, 4]], np.int8)
        ours = program.run(model, x)
        if isinstance(ours, str):
            check(f"damaged {i}", "TFLM_DECODE" in ours and "panicked" not in ours, ours)
        else:
            compare(f"damaged {i}", ours, of_tflm(model, 2, x))
            taken += 1
    print(f"damaged: {count} models, of which {taken} are taken", flush=True)


def products(m, add, random):
    """A convolution, a depthwise one and a product of a matrix, whose weights `add(kind, x, axis, scales)` makes."""
    quantized = lambda shape, scale=0.05, zero=-3: m.tensor("INT8", shape, scales=[scale], zero_points=[zero])
    bias = lambda n, scales: m.tensor("INT32", (n,), random.randint(-999, 999, n).astype(np.int32), scales=scales)
    x = quantized((1, 6, 5, 3))
    weights = lambda shape, axis: np.moveaxis(np.stack([few_values(random, "INT8", np.delete(shape, axis), 5) for _ in range(shape[axis])]), 0, axis)
    scales = lambda n: list(random.uniform(0.01, 0.02, n).astype(np.float32))
    s = scales(8)
    filters = add("INT8", weights((8, 3, 3, 3), 0), 0, s)
    a = quantized((1, 6, 5, 8))
    m.operator("CONV_2D", [x, filters, bias(8, [0.05 * v for v in s])], [a],
               ("Conv2DOptions", {"padding": "SAME", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}), 3)
    s = scales(8)
    filters = add("INT8", weights((1, 3, 3, 8), 3), 3, s)
    b = quantized((1, 4, 3, 8))
    m.operator("DEPTHWISE_CONV_2D", [a, filters, bias(8, [0.05 * v for v in s])], [b],
               ("DepthwiseConv2DOptions", {"padding": "VALID", "stride_w": 1, "stride_h": 1, "depth_multiplier": 1, "dilation_w_factor": 1,
                                           "dilation_h_factor": 1}), 3)
    flat = quantized((1, 96))
    m.operator("RESHAPE", [b], [flat], ("ReshapeOptions", {"new_shape": [1, 96]}))
    matrix = add("INT8", few_values(random, "INT8", (10, 96), 9), None, [0.02])
    y = quantized((1, 10), 0.3)
    m.operator("FULLY_CONNECTED", [flat, matrix, bias(10, [0.05 * 0.02])], [y], ("FullyConnectedOptions", {}), 4)
    return x, [a, b, y]


def plain_weights(m):
    return lambda kind, x, axis, scales: m.tensor(kind, x.shape, x, scales=scales, axis=axis or 0)


def compare_products(name, program, plain, compressed, x):
    """Answers of a model of `products`: the same compressed and not, both here and in TFLM. The product of a matrix TFLM rounds twice and LiteRT once, so that
    may be one off, compressed or not."""
    ours, theirs = program.run(compressed, x), of_tflm(compressed, 3, x)
    compare(f"{name}: TFLM", theirs, of_tflm(plain, 3, x))
    compare(f"{name}, as it was", ours, program.run(plain, x))
    if isinstance(ours, list) and theirs:
        compare(name, ours[:2], theirs[:2])
        check(f"{name}, matrix", np.max(np.abs(ours[2].astype(int) - theirs[2])) <= 1, f"{ours[2]} instead of {theirs[2]}")


def metadata(program, random, is_quick):
    count = 0
    for kind in ["INT8", "INT16", "INT32", "INT64", "FLOAT32", "BOOL"]:
        for bits in range(1, 8):
            c = few_values(random, kind, (3, 37), 2 ** bits)
            x = few_values(random, kind, (2, 37), 9)
            m = Model()
            scales = {"scales": [0.5]} if kind in ("INT8", "INT16") else {}
            first = m.tensor(kind, x.shape, **scales)
            constant = m.palette(kind, c.shape, c, bits=bits, **scales)
            y = m.tensor(kind, (5, 37), **scales)
            m.operator("CONCATENATION", [first, constant], [y], ("ConcatenationOptions", {"axis": 0}))
            model = m.file([first], [y])
            theirs = of_tflm(model, 1, x)
            compare(f"metadata {kind}, {bits} bits: TFLM", theirs, [np.concatenate([x, c])])
            compare(f"metadata {kind}, {bits} bits", program.run(model, x), theirs)
            count += 1
    for i in range(2 if is_quick else 10):
        models, x = [], random.randint(-128, 128, (1, 6, 5, 3)).astype(np.int8)
        for is_plain in (True, False):
            m = Model()
            add = plain_weights(m) if is_plain else lambda kind, x, axis, scales: m.palette(kind, x.shape, x, axis, scales=scales)
            first, outputs = products(m, add, np.random.RandomState(i))
            models.append(m.file([first], outputs))
        compare_products(f"metadata products {i}", program, *models, x)
        count += 1
    print(f"metadata: {count} models", flush=True)


def by_tflm(model, specs):
    """The model with DECODE."""
    from tflite_micro.tensorflow.lite.micro.compression import compress
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), warnings.catch_warnings(action="ignore"):
        compressed = bytes(getattr(compress, "compress", compress)(model, specs))
    assert b"TFLM_DECODE" in compressed
    return compressed


def with_codes(model):
    """Both numbers of each operator's code set: the tool loses the old one, which is all that older files have."""
    import flatbuffers
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema
    m = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    for code in m.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(m.Pack(builder), b"TFL3")
    return bytes(builder.Output()), m


def real(program, random, is_quick):
    from tflite_micro.tensorflow.lite.micro.compression import spec
    names = ["tflm_hello_world_int8", "mlperf_kws_int8"] + ([] if is_quick else ["mlperf_resnet8_int8", "mlperf_vww_int8"])
    for name in names:
        archive = SHARED / f"zoo/{name}.zip"
        if not archive.exists():
            missing(f"real: {name}", archive)
            continue
        with zipfile.ZipFile(archive) as z:
            file = bytearray(z.read(next(n for n in z.namelist() if n.endswith(".tflite"))))
        _, m = with_codes(bytes(file))
        specs, main = [], m.subgraphs[0]
        for i, t in enumerate(main.tensors):
            data = m.buffers[t.buffer].data
            if t.type != SCHEMA.number("TensorType", "INT8") or data is None or len(data) < 256:
                continue
            old = bytes(bytearray(data))
            at = file.find(old)
            file[at:at + len(old)] = np.clip((np.frombuffer(old, np.int8).astype(int) + 8) // 16 * 16, -128, 112).astype(np.int8).tobytes()
            is_per_channel = 1 < len(t.quantization.scale)
            mode = spec.PerChannel(t.quantization.quantizedDimension) if is_per_channel else spec.PerTensor()
            specs.append(spec.Tensor(0, i, [spec.LookUpTableCompression(4, mode)]))
        plain, _ = with_codes(bytes(file))
        compressed, _ = with_codes(by_tflm(plain, specs))
        x = random.randint(-128, 128, main.tensors[main.inputs[0]].shape).astype(np.int8)
        theirs = of_tflm(compressed, 1, x)
        compare(f"real {name}", program.run(compressed, x), theirs)
        compare(f"real {name}, as it was", program.run(plain, x), theirs)
    print(f"real: {len(names)} models", flush=True)


def compressor(program, random, is_quick):
    from tflite_micro.tensorflow.lite.micro.compression import spec
    for i in range(2 if is_quick else 6):
        m, specs = Model(), []

        def add(kind, x, axis, scales):
            t = plain_weights(m)(kind, x, axis, scales)
            specs.append(spec.Tensor(0, t, [spec.LookUpTableCompression(4, spec.PerTensor() if axis is None else spec.PerChannel(axis))]))
            return t

        first, outputs = products(m, add, random)
        plain = m.file([first], outputs)
        compressed = by_tflm(plain, specs)
        compare_products(f"compressor {i}", program, plain, compressed, random.randint(-128, 128, (1, 6, 5, 3)).astype(np.int8))
    print(f"compressor: {i + 1} models", flush=True)


def of_sparse(program, random, is_quick):
    count = 0
    for i in range(12 if is_quick else 120):
        kind = ("FLOAT32", "FLOAT16", "INT8")[i % 3]
        case = sparse.case(random, TYPES[kind])
        m = Model()
        first, y = passing(m)
        scales = {"scales": [0.5]} if kind == "INT8" else {}
        constant = m.tensor(kind, case.dense.shape, case.numbers, sparsity=case.metadata, **scales)
        dense = m.tensor(kind, case.dense.shape, **scales)
        m.operator("DENSIFY", [constant], [dense], ("DensifyOptions", {}))
        # What LiteRT gives as a result must not be a constant.
        model, x = m.file([first], [y, dense]), np.array([[1, 2, 3, 4]], np.int8)
        ours, theirs = program.run(model, x), of_litert(model, x)
        if isinstance(ours, list):
            ours = [a.reshape(b.shape) for a, b in zip(ours, theirs)]
        compare(f"sparse {i}: {case.name}: LiteRT", theirs, [x.ravel(), case.dense])
        compare(f"sparse {i}: {case.name}", ours, theirs)
        count += 1
    # Weights of a product without DENSIFY: rows of lists of single numbers, or of four.
    for i in range(3 if is_quick else 12):
        block = (1, 4)[i % 2]
        case = sparse.rows(random, random.randint(1, 20), 4 * random.randint(1, 9), block)
        m = Model()
        first = m.tensor("FLOAT32", (3, case.dense.shape[1]))
        weights = m.tensor("FLOAT32", case.dense.shape, case.numbers, sparsity=case.metadata)
        y = m.tensor("FLOAT32", (3, case.dense.shape[0]))
        m.operator("FULLY_CONNECTED", [first, weights, -1], [y], ("FullyConnectedOptions", {}), 8)
        # Of few bits, so that every order of additions gives the same sum.
        x = random.randint(-8, 8, (3, case.dense.shape[1])).astype(np.float32)
        model = m.file([first], [y])
        theirs = of_litert(model, x)
        compare(f"sparse weights {i}: LiteRT", theirs, [x @ case.dense.T])
        compare(f"sparse weights {i}", program.run(model, x), theirs)
        count += 1
    # Weights of int8, which LiteRT takes in blocks of 16.
    for i in range(2 if is_quick else 6):
        case = sparse.rows(random, random.randint(1, 20), 16 * random.randint(1, 5), 16, np.int8)
        m = Model()
        first = m.tensor("INT8", (3, case.dense.shape[1]), scales=[0.05], zero_points=[-7])
        weights = m.tensor("INT8", case.dense.shape, case.numbers, scales=[0.01], sparsity=case.metadata)
        y = m.tensor("INT8", (3, case.dense.shape[0]), scales=[0.3], zero_points=[5])
        m.operator("FULLY_CONNECTED", [first, weights, -1], [y], ("FullyConnectedOptions", {}), 9)
        x = random.randint(-128, 128, (3, case.dense.shape[1])).astype(np.int8)
        model = m.file([first], [y])
        compare(f"sparse weights of int8 {i}", program.run(model, x), of_litert(model, x))
        count += 1
    print(f"sparse: {count} models", flush=True)


def few_bits(program, random, is_quick):
    """Weights of two and four bits where LiteRT takes them."""
    def packed(kind, shape):
        bits, low = {"INT4": (4, -8), "UINT4": (4, 0), "INT2": (2, -2)}[kind]
        x = (random.randint(low, low + (1 << bits), shape).ravel() & ((1 << bits) - 1)).astype(np.uint8)
        x = np.concatenate([x, np.zeros(-x.size % (8 // bits), np.uint8)]).reshape(-1, 8 // bits)
        return (x << np.arange(0, 8, bits).astype(np.uint8)).sum(1).astype(np.uint8)

    count = 0
    for kind in ("INT4", "UINT4", "INT2"):
        for axis in (None, 0, 1):
            m = Model()
            first, y = passing(m)
            n = 1 if axis is None else (5, 7)[axis]
            points = {"UINT4": 3, "INT4": -2, "INT2": 1}[kind] if axis is None else 0
            x = m.tensor(kind, (5, 7), packed(kind, (5, 7)), random.uniform(0.1, 1, n), [points] * n, axis or 0)
            dense = m.tensor("FLOAT32", (5, 7))
            m.operator("DEQUANTIZE", [x], [dense], ("DequantizeOptions", {}), 7)
            model, x = m.file([first], [y, dense]), np.array([[1, 2, 3, 4]], np.int8)
            compare(f"DEQUANTIZE {kind} along {axis}", program.run(model, x), of_litert(model, x, by_reference=True))
            count += 1
        for of_x, scale in (("INT8", 0.05), ("INT16", 0.01), ("FLOAT32", None)) if kind != "UINT4" else ():
            for scales in (1, 9):
                m = Model()
                first = m.tensor(of_x, (3, 13), scales=scale and [scale])
                weights = m.tensor(kind, (9, 13), packed(kind, (9, 13)), random.uniform(0.05, 0.1, scales))
                y = m.tensor(of_x, (3, 9), scales=scale and [0.2])
                m.operator("FULLY_CONNECTED", [first, weights, -1], [y], ("FullyConnectedOptions", {}), 11)
                x = random.randn(3, 13).astype(np.float32) if scale is None else random.randint(-128, 128, (3, 13)).astype(TYPES[of_x])
                model = m.file([first], [y])
                compare(f"FULLY_CONNECTED {of_x} x {kind}, {scales} scales", program.run(model, x), of_litert(model, x, by_reference=True))
                count += 1
    print(f"few-bits: {count} models", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cranelite", default=str(ROOT / "target/release/cranelite"))
    parser.add_argument("--only")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    has = {}
    for name, module in (("tflite-micro", "tflite_micro"), ("ai-edge-litert", "ai_edge_litert")):
        try:
            __import__(module)
            has[name] = True
        except ImportError:
            has[name] = False
    checks = {"decode": ("tflite-micro", decode), "refused": (None, refused), "damaged": ("tflite-micro", damaged), "metadata": ("tflite-micro", metadata),
              "compressor": ("tflite-micro", compressor), "real": ("tflite-micro", real), "sparse": ("ai-edge-litert", of_sparse), "few-bits": ("ai-edge-litert", few_bits)}
    with tempfile.TemporaryDirectory() as folder:
        program = Program(str(pathlib.Path(options.cranelite).resolve()), folder)
        for name, (needs, run) in checks.items():
            if options.only and name not in options.only.split(","):
                continue
            if needs and not has[needs]:
                missing(name, needs)
                continue
            run(program, np.random.RandomState(1), options.quick)
    if left_out and os.environ.get("CRANELITE_REQUIRE_TOOLS"):
        failures.extend(left_out)
    sys.exit(f"{len(failures)} failed" if failures else 0)


if __name__ == "__main__":
    main()

"""Small models, written by the flatbuffer writer of tests/random_graphs."""

import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[3]
DIGITS = ROOT / "examples/digits/digits.tflite"
SHARED = ROOT.parent / "shared"

sys.path.insert(0, str(ROOT / "tests/random_graphs"))
from flatbuffer import Schema  # noqa: E402

SCHEMA = Schema()
TYPES = {"f4": "FLOAT32", "f2": "FLOAT16", "i1": "INT8", "u1": "UINT8", "i2": "INT16", "i4": "INT32", "i8": "INT64", "b1": "BOOL", "resource": "RESOURCE"}


class Graph:
    """A subgraph that grows: tensors are numbers."""

    def __init__(self, name):
        self.name, self.tensors, self.operators, self.inputs, self.outputs = name, [], [], [], []

    def tensor(self, name, kind, shape, scale=None, zero_point=0, data=None, signature=None, **more):
        self.tensors.append((dict(name=name, type=TYPES[kind], shape=shape, has_rank=True, **more), scale, zero_point, data))
        if signature is not None:
            self.tensors[-1][0]["shape_signature"] = signature
        return len(self.tensors) - 1

    def input(self, *args, **kwargs):
        self.inputs.append(self.tensor(*args, **kwargs))
        return self.inputs[-1]

    def constant(self, name, kind, values, **kwargs):
        values = np.asarray(values, kind)
        return self.tensor(name, kind, values.shape, data=values, **kwargs)

    def operator(self, name, inputs, outputs, options=None):
        self.operators.append((name, inputs, outputs, options))


def file(graphs, signatures=()):
    """Signatures: (key, subgraph, names of inputs, names of outputs)."""
    names = sorted({o[0] for g in graphs for o in g.operators})
    buffers, subgraphs = [{}], []
    for g in graphs:
        tensors = []
        for fields, scale, zero_point, data in g.tensors:
            fields = dict(fields, buffer=0)
            if scale is not None:
                scales, zero_points = np.atleast_1d(scale), np.atleast_1d(zero_point)
                fields["quantization"] = dict(scale=scales, zero_point=zero_points)
            if data is not None:
                fields["buffer"] = len(buffers)
                buffers.append({"data": np.frombuffer(data.tobytes(), "u1")})
            tensors.append(fields)
        operators = [
            dict(opcode_index=names.index(name), inputs=inputs, outputs=outputs, builtin_options=options) for name, inputs, outputs, options in g.operators
        ]
        subgraphs.append(dict(name=g.name, tensors=tensors, inputs=g.inputs, outputs=g.outputs, operators=operators))
    code = lambda name: dict(deprecated_builtin_code=min(SCHEMA.number("BuiltinOperator", name), 127), builtin_code=name, version=1)
    ends = lambda names, tensors: [dict(name=n, tensor_index=t) for n, t in zip(names, tensors)]
    defs = [
        dict(signature_key=key, subgraph_index=s, inputs=ends(ins, graphs[s].inputs), outputs=ends(outs, graphs[s].outputs))
        for key, s, ins, outs in signatures
    ]
    model = dict(version=3, operator_codes=[code(n) for n in names], subgraphs=subgraphs, buffers=buffers)
    return SCHEMA.write("Model", dict(model, signature_defs=defs) if defs else model)


def sums(shape=(2, 3), signature=None):
    """sum = x + y and difference = x - y of floats, by their signature; y has the shape of a row."""
    g = Graph("main")
    x, y = g.input("in_x", "f4", shape, signature=signature), g.input("in_y", "f4", shape[-1:])
    g.outputs = [g.tensor("out_sum", "f4", shape), g.tensor("out_difference", "f4", shape)]
    g.operator("ADD", [x, y], g.outputs[:1], ("AddOptions", {}))
    g.operator("SUB", [x, y], g.outputs[1:], ("SubOptions", {}))
    return file([g], [("serve", 0, ["x", "y"], ["sum", "difference"])])


def chain(shape=(4,)):
    """relu(x) * 3, in two operators of which the first is not an output."""
    g = Graph("main")
    x = g.input("x", "f4", shape)
    r, y = g.tensor("r", "f4", shape), g.tensor("y", "f4", shape)
    g.operator("RELU", [x], [r])
    g.operator("MUL", [r, g.constant("three", "f4", [3.0])], [y], ("MulOptions", {}))
    g.outputs = [y]
    return file([g])


def counter():
    """A variable that one signature adds to, and another one reads."""
    graphs = []
    for name in ("add", "read", "begin"):
        g = Graph(name)
        handle = g.tensor("handle", "resource", ())
        if name != "begin":
            g.operator("CALL_ONCE", [], [], ("CallOnceOptions", dict(init_subgraph_index=2)))
        g.operator("VAR_HANDLE", [], [handle], ("VarHandleOptions", dict(container="", shared_name="total")))
        old = g.tensor("old", "f4", (2,))
        if name == "begin":
            zeros = g.constant("zeros", "f4", [0, 0])
            g.operator("ASSIGN_VARIABLE", [handle, zeros], [], ("AssignVariableOptions", {}))
        elif name == "add":
            x = g.input("add_x", "f4", (2,))
            new = g.tensor("new", "f4", (2,))
            g.operator("READ_VARIABLE", [handle], [old], ("ReadVariableOptions", {}))
            g.operator("ADD", [old, x], [new], ("AddOptions", {}))
            g.operator("ASSIGN_VARIABLE", [handle, new], [], ("AssignVariableOptions", {}))
            g.outputs = [new]
        else:
            x = g.input("read_x", "f4", (2,))
            scaled = g.tensor("scaled", "f4", (2,))
            g.operator("READ_VARIABLE", [handle], [old], ("ReadVariableOptions", {}))
            g.operator("MUL", [old, x], [scaled], ("MulOptions", {}))
            g.outputs = [scaled]
        graphs.append(g)
    return file(graphs, [("add", 0, ["x"], ["total"]), ("read", 1, ["x"], ["product"])])


def where(size=6):
    """Which elements are true: as many rows as there are."""
    g = Graph("main")
    x = g.input("x", "b1", (size,))
    g.outputs = [g.tensor("rows", "i8", (size, 1), signature=(-1, 1))]
    g.operator("WHERE", [x], g.outputs, ("WhereOptions", {}))
    return file([g])


def gather():
    """Elements of x by their numbers."""
    g = Graph("main")
    x, i = g.input("x", "f4", (4,)), g.input("i", "i4", (3,))
    g.outputs = [g.tensor("y", "f4", (3,))]
    g.operator("GATHER", [x, i], g.outputs, ("GatherOptions", dict(axis=0)))
    return file([g])


def fill():
    """A matrix of one number, whose shape is an input."""
    g = Graph("main")
    dims, value = g.input("dims", "i4", (2,)), g.input("value", "f4", ())
    g.outputs = [g.tensor("y", "f4", (1, 1), signature=(-1, -1))]
    g.operator("FILL", [dims, value], g.outputs, ("FillOptions", {}))
    return file([g])


def products(width=512, layers=24):
    """So many layers, all with the same weights, that a call takes a while, or that compiling does."""
    g = Graph("main")
    x = g.input("x", "f4", (64, width))
    w = g.constant("w", "f4", np.random.default_rng(1).standard_normal((width, width)) / width**0.5)
    for i in range(layers):
        y = g.tensor(f"y{i}", "f4", (64, width))
        g.operator("FULLY_CONNECTED", [x, w, -1], [y], ("FullyConnectedOptions", {}))
        x = y
    g.outputs = [x]
    return file([g])


def quantised(kind="i1"):
    """RELU of quantised numbers."""
    g = Graph("main")
    x = g.input("x", kind, (1, 5), scale=0.5, zero_point=-3)
    g.outputs = [g.tensor("y", kind, (1, 5), scale=0.5, zero_point=-3)]
    g.operator("RELU", [x], g.outputs)
    return file([g])


def every_type(kind):
    """A copy of the input, for each type that may be one."""
    g = Graph("main")
    x = g.input("x", kind, (2, 3))
    g.outputs = [g.tensor("y", kind, (3, 2))]
    g.operator("RESHAPE", [x, g.constant("shape", "i4", [3, 2])], g.outputs, ("ReshapeOptions", dict(new_shape=[3, 2])))
    return file([g])


def unsupported():
    """Two operators that cannot be compiled."""
    g = Graph("main")
    x = g.input("x", "f4", (2, 2))
    a, b = g.tensor("a", "f4", (2, 2)), g.tensor("b", "f4", (2, 2))
    g.operator("MATRIX_SET_DIAG", [x], [a])
    g.operator("HASHTABLE", [a], [b])
    g.outputs = [b]
    return file([g])

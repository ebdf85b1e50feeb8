"""Models as they are in .tflite files: read to dictionaries by the schema, their weights pruned in place, sparse tensors written.

A model that is read shares its bytes: what is written into an array of weights is in the file. Zeros are chosen by magnitude, as the
toolkits of pruning do, so that the places of the zeros follow the weights."""

import pathlib
import re
import struct
import sys
import zipfile

import numpy

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "random_graphs"))
from flatbuffer import SCALARS
from model import SCHEMA

DTYPES = {"FLOAT32": "<f4", "FLOAT16": "<f2", "INT8": "i1", "UINT8": "u1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "BOOL": "?",
          "UINT32": "<u4", "UINT64": "<u8", "UINT16": "<u2", "FLOAT64": "<f8"}
TYPE_NAMES = {number: name for name, number in SCHEMA.enums["TensorType"][1].items()}
OPERATOR_NAMES = {number: name for name, number in SCHEMA.enums["BuiltinOperator"][1].items()}

# Unstructured shares of zeros, and how many of how many neighbours along the input channels are left.
ZEROS = ("50", "75", "87.5", "2:4", "1:4", "1:8")
# Of which only answers are of interest: whole output and input channels, blocks of neighbours, zeros of a sign, one weight, none.
CORNERS = ("rows:50", "columns:50", "1x4:75", "4x1:75", "minus:75", "one", "none")


# ---- Reading ----

def dtype(scalar):
    return numpy.dtype(getattr(numpy, SCALARS[scalar].lower().replace("bool", "bool_"))).newbyteorder("<")


class Reader:
    def __init__(self, data):
        self.data = data

    def number(self, at, scalar):
        return numpy.frombuffer(self.data, dtype(scalar), 1, at)[0].item()

    def follow(self, at):
        return at + struct.unpack_from("<I", self.data, at)[0]

    def table(self, name, at):
        """The table's fields that the file has."""
        vtable = at - struct.unpack_from("<i", self.data, at)[0]
        slots = (struct.unpack_from("<H", self.data, vtable)[0] - 4) // 2
        place = lambda slot: struct.unpack_from("<H", self.data, vtable + 4 + 2 * slot)[0] if slot < slots else 0
        values, slot = {}, 0
        for field, kind, _ in SCHEMA.tables[name]:
            if kind in SCHEMA.unions:
                number = self.number(at + place(slot), "ubyte") if place(slot) else 0
                slot += 1
                if number and place(slot):
                    which = SCHEMA.unions[kind][number - 1]
                    values[field] = which, self.table(which, self.follow(at + place(slot)))
            elif place(slot):
                values[field] = self.value(kind, at + place(slot))
            slot += 1
        return values

    def value(self, kind, at):
        if kind in SCHEMA.enums or kind in SCALARS:
            return self.number(at, SCHEMA.enums[kind][0] if kind in SCHEMA.enums else kind)
        at = self.follow(at)
        if kind in SCHEMA.tables:
            return self.table(kind, at)
        count = struct.unpack_from("<I", self.data, at)[0]
        if kind == "string":
            return bytes(self.data[at + 4:at + 4 + count]).decode("utf-8", "surrogateescape")
        element = kind.strip("[]")
        if element in SCHEMA.enums:
            element = SCHEMA.enums[element][0]
        if element in SCALARS:
            return numpy.frombuffer(self.data, dtype(element), count, at + 4)
        return [self.value(element, at + 4 + 4 * i) for i in range(count)]


def load(path):
    """A model's bytes: a .tflite file, or the only one in a .zip archive."""
    if path.suffix != ".zip":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        [name] = [n for n in archive.namelist() if n.endswith(".tflite")]
        return archive.read(name)


class File:
    """A model file. `data` are its bytes, which weights may be changed in."""

    def __init__(self, data):
        self.data = bytearray(data)
        reader = Reader(self.data)
        self.root = reader.table("Model", reader.follow(0))

    def write(self):
        """The file of what the dictionaries say now."""
        return SCHEMA.write("Model", self.root)

    def operators(self):
        """(operator's name, the operator, its subgraph)"""
        codes = self.root["operator_codes"]
        for graph in self.root["subgraphs"]:
            for operator in graph.get("operators", []):
                code = codes[operator.get("opcode_index", 0)]
                yield OPERATOR_NAMES[max(code.get("deprecated_builtin_code", 0), code.get("builtin_code", 0))], operator, graph

    def array(self, tensor):
        """The elements of a dense constant, or None."""
        data = self.root["buffers"][tensor.get("buffer", 0)].get("data", ())
        kind = DTYPES.get(TYPE_NAMES[tensor.get("type", 0)])
        if len(data) == 0 or kind is None or "sparsity" in tensor:
            return None
        return data.view(kind).reshape(tensor.get("shape", ()))

    def constants(self):
        """(bytes in the file, elements) of every constant, each buffer once; sparse ones are decoded"""
        seen = set()
        for graph in self.root["subgraphs"]:
            for tensor in graph["tensors"]:
                data = self.root["buffers"][tensor.get("buffer", 0)].get("data", ())
                kind = DTYPES.get(TYPE_NAMES[tensor.get("type", 0)])
                if len(data) == 0 or kind is None or tensor["buffer"] in seen:
                    continue
                seen.add(tensor["buffer"])
                if "sparsity" in tensor:
                    lists = [m[field][1]["values"].nbytes for m in tensor["sparsity"]["dim_metadata"] for field in ("array_segments", "array_indices")
                             if field in m]
                    yield data.nbytes + sum(lists), decoded(tensor, data.view(kind))
                else:
                    yield data.nbytes, self.array(tensor)

    def weights(self):
        """(tensor, elements) of what is pruned as a rule: products over many input channels, so neither depthwise convolutions nor a
        first layer over colours."""
        found = {}
        for name, operator, graph in self.operators():
            if name not in ("CONV_2D", "FULLY_CONNECTED"):
                continue
            tensor = graph["tensors"][operator["inputs"][1]]
            # Weights may be stored as halves.
            for other, before, _ in self.operators():
                if other == "DEQUANTIZE" and operator["inputs"][1] in before["outputs"]:
                    tensor = graph["tensors"][before["inputs"][0]]
            elements = self.array(tensor)
            if elements is not None and 8 <= elements.shape[-1] and tensor["buffer"] not in found:
                found[tensor["buffer"]] = tensor, elements
        return list(found.values())


# ---- Pruning ----

def zero(tensor):
    points = tensor.get("quantization", {}).get("zero_point", ())
    return int(points[0]) if len(points) else 0


def prune(elements, zeros, nothing=0):
    """Sets the smallest elements to `nothing`, in place: a share in percent, all but N of every M along the last axis, or as in CORNERS."""
    rows = elements.reshape(-1, elements.shape[-1])
    size = numpy.abs(rows.astype("f4") - nothing)
    kind, _, amount = zeros.partition(":")
    if kind.isdigit() and amount:
        rows[all_but(int(kind), int(amount), size)] = nothing
        return
    if kind in ("one", "none"):
        left = size.argmax()
        rows.reshape(-1)[numpy.arange(rows.size) != (left if kind == "one" else -1)] = nothing
        return
    share = float(amount or kind) / 100
    high, wide = {"rows": (1, rows.shape[1]), "columns": (rows.shape[0], 1), "1x4": (1, 4), "4x1": (4, 1)}.get(kind, (1, 1))
    # By the sum of a block; those at the end may be smaller.
    padded = numpy.pad(size, ((0, -rows.shape[0] % high), (0, -rows.shape[1] % wide)))
    sums = padded.reshape(padded.shape[0] // high, high, -1, wide).sum((1, 3))
    small = numpy.zeros(sums.size, bool)
    small[numpy.argsort(sums.reshape(-1), kind="stable")[:round(sums.size * share)]] = True
    small = small.reshape(sums.shape).repeat(high, 0).repeat(wide, 1)[:rows.shape[0], :rows.shape[1]]
    rows[small] = -0.0 if kind == "minus" else nothing


def all_but(kept, of, size):
    """What is not among the largest of its group; groups begin anew in every row, and the last may be short."""
    padded = numpy.pad(size, ((0, 0), (0, -size.shape[1] % of)), constant_values=-1).reshape(-1, of)
    rank = numpy.argsort(numpy.argsort(-padded, axis=1, kind="stable"), axis=1, kind="stable")
    return (kept <= rank).reshape(size.shape[0], -1)[:, :size.shape[1]]


def pruned(data, zeros):
    """The file with its weights pruned, and the share of zeros that they then have."""
    file = File(data)
    total = none = 0
    for tensor, elements in file.weights():
        prune(elements, zeros, zero(tensor))
        total += elements.size
        none += int((elements == zero(tensor)).sum())
    return bytes(file.data), none / max(total, 1)


# ---- Sparse tensors ----

def sparse(elements, order=None, block=None):
    """SparsityParameters and stored elements of an array: the outermost dimensions dense, the innermost a list of indices. `block` divides
    dimensions: {dimension: size}; what is stored then are the blocks that are not all zero."""
    order = list(order or range(elements.ndim))
    block = block or {}
    shape = [n // block.get(d, 1) for d, n in enumerate(elements.shape)]
    split = [p for d, n in enumerate(shape) for p in (n, block.get(d, 1))]
    blocks = elements.reshape(split).transpose([2 * d for d in order] + [2 * d + 1 for d in block] + [2 * d + 1 for d in order if d not in block])
    blocks = blocks.reshape([shape[d] for d in order] + [-1])
    kept = (blocks != 0).any(-1).reshape(-1, shape[order[-1]])
    segments = numpy.concatenate([[0], numpy.cumsum(kept.sum(1))])
    dense = [{"format": "DENSE", "dense_size": shape[d]} for d in order[:-1]]
    inner = {"format": "SPARSE_CSR", "array_segments": vector(segments), "array_indices": vector(numpy.nonzero(kept)[1])}
    inside = [{"format": "DENSE", "dense_size": size} for size in block.values()]
    parameters = {"traversal_order": order + [elements.ndim + i for i in range(len(block))], "block_map": list(block),
                  "dim_metadata": dense + [inner] + inside}
    return parameters, blocks.reshape(-1, blocks.shape[-1])[kept.reshape(-1)].reshape(-1)


def vector(values):
    """The narrowest of the format's lists."""
    for name, kind in (("Uint8Vector", "u1"), ("Uint16Vector", "<u2"), ("Int32Vector", "<i4")):
        if values.size == 0 or values.max() <= numpy.iinfo(kind).max:
            return name, {"values": values.astype(kind)}


def decoded(tensor, stored):
    """The elements of a sparse tensor, by walking its levels: every path through them ends at the next element that is stored."""
    about, shape = tensor["sparsity"], tensor.get("shape", ())
    rank = len(shape)
    paths = numpy.zeros((1, 0), int)
    for level in about["dim_metadata"]:
        if level.get("format", 0) in (0, "DENSE"):
            counts = numpy.full(len(paths), level["dense_size"])
            last = numpy.tile(numpy.arange(level["dense_size"]), len(paths))
        else:
            counts = numpy.diff(level["array_segments"][1]["values"].astype(int))
            last = level["array_indices"][1]["values"].astype(int)
        paths = numpy.column_stack([numpy.repeat(paths, counts, 0), last])
    sizes = {dimension: about["dim_metadata"][rank + i]["dense_size"] for i, dimension in enumerate(about.get("block_map", ()))}
    places = [0] * rank
    for column, dimension in enumerate(about["traversal_order"][:rank]):
        places[dimension] = paths[:, column] * sizes.get(dimension, 1)
    for column, dimension in enumerate(about["traversal_order"][rank:]):
        places[about["block_map"][dimension - rank]] += paths[:, rank + column]
    elements = numpy.zeros(shape, stored.dtype)
    elements[tuple(places)] = stored
    return elements


def densified(data, share=0.5):
    """The file with the weights that are mostly zeros stored as sparse tensors, each read through a DENSIFY operator."""
    file = File(data)
    code = len(file.root["operator_codes"])
    number = SCHEMA.number("BuiltinOperator", "DENSIFY")
    file.root["operator_codes"].append({"deprecated_builtin_code": min(number, 127), "builtin_code": number, "version": 1})
    for tensor, elements in file.weights():
        if (elements != 0).mean() > 1 - share or zero(tensor) != 0:
            continue
        graph = next(g for g in file.root["subgraphs"] if any(t is tensor for t in g["tensors"]))
        index = next(i for i, t in enumerate(graph["tensors"]) if t is tensor)
        parameters, stored = sparse(elements)
        buffer = len(file.root["buffers"])
        file.root["buffers"].append({"data": numpy.frombuffer(numpy.ascontiguousarray(stored).tobytes(), "u1")})
        file.root["buffers"][tensor["buffer"]] = {}
        made = len(graph["tensors"])
        graph["tensors"].append({**tensor, "buffer": buffer, "sparsity": parameters, "name": tensor["name"] + "/sparse"})
        tensor["buffer"] = 0
        graph["operators"].insert(0, {"opcode_index": code, "inputs": [made], "outputs": [index], "builtin_options": ("DensifyOptions", {})})
    return file.write()

"""A model as lists of tensors and operators that can be cut to a part of it and written as a .tflite file."""

import dataclasses

import numpy

from flatbuffer import Schema

SCHEMA = Schema()
TYPES = {"f32": ("FLOAT32", "<f4"), "f16": ("FLOAT16", "<f2"), "i8": ("INT8", "i1"), "u8": ("UINT8", "u1"), "i16": ("INT16", "<i2"),
         "i32": ("INT32", "<i4"), "i64": ("INT64", "<i8"), "bool": ("BOOL", "?")}


@dataclasses.dataclass
class Tensor:
    type: str
    shape: tuple
    scales: tuple = ()
    zero_points: tuple = ()
    axis: int = 0
    # Of constants.
    data: numpy.ndarray = None
    # Constants with the same number are one buffer.
    buffer: int = None
    # Of floats: what is about the largest, and how far a correct answer may be from the reference's; nothing at 0.
    size: float = 0.0
    error: float = 0.0

    @property
    def scale(self):
        return self.scales[0]

    @property
    def zero_point(self):
        return self.zero_points[0]

    @property
    def dtype(self):
        return numpy.dtype(TYPES[self.type][1])


@dataclasses.dataclass
class Operator:
    name: str
    # Indices of tensors, None for what is left out.
    inputs: list
    outputs: list
    # Table and fields, or nothing.
    options: tuple = None


@dataclasses.dataclass
class Model:
    tensors: list
    operators: list
    inputs: list
    outputs: list

    def cut(self, outputs, known=()):
        """The part that computes these tensors from inputs, constants and the tensors in `known`."""
        needed, operators = set(outputs), []
        for operator in reversed(self.operators):
            if any(o in needed and o not in known for o in operator.outputs):
                operators.append(operator)
                needed.update(i for i in operator.inputs if i is not None)
        written = {o for operator in operators for o in operator.outputs}
        inputs = [i for i in sorted(needed - written) if self.tensors[i].data is None]
        return Model(self.tensors, operators[::-1], inputs, list(outputs))

    def file(self):
        names = sorted({o.name for o in self.operators})
        used = {i for o in self.operators for i in o.inputs + o.outputs if i is not None} | set(self.inputs) | set(self.outputs)
        place = {t: i for i, t in enumerate(sorted(used))}
        buffers, buffer_of = [{}], {}
        tensors = []
        for index in sorted(used):
            t = self.tensors[index]
            buffer = 0
            if t.data is not None:
                key = ("shared", t.buffer) if t.buffer is not None else ("own", index)
                if key not in buffer_of:
                    buffer_of[key] = len(buffers)
                    buffers.append({"data": numpy.frombuffer(t.data.astype(t.dtype).tobytes(), "u1")})
                buffer = buffer_of[key]
            tensor = {"shape": t.shape, "type": TYPES[t.type][0], "buffer": buffer, "name": f"t{index}", "has_rank": True}
            if t.scales:
                tensor["quantization"] = {"scale": t.scales, "zero_point": t.zero_points, "quantized_dimension": t.axis}
            tensors.append(tensor)
        at = lambda list: [-1 if i is None else place[i] for i in list]
        operators = [{"opcode_index": names.index(o.name), "inputs": at(o.inputs), "outputs": at(o.outputs), "builtin_options": o.options}
                     for o in self.operators]
        code = lambda name: {"deprecated_builtin_code": min(SCHEMA.number("BuiltinOperator", name), 127), "builtin_code": name, "version": 1}
        main = {"tensors": tensors, "inputs": at(self.inputs), "outputs": at(self.outputs), "operators": operators, "name": "main"}
        return SCHEMA.write("Model", {"version": 3, "operator_codes": [code(n) for n in names], "subgraphs": [main], "buffers": buffers})

    def describe(self):
        def text(i):
            if i is None:
                return "-"
            t = self.tensors[i]
            quantization = ""
            if t.scales:
                quantization = f" q({t.scale:.6g}, {t.zero_point})" if len(t.scales) == 1 else f" q({len(t.scales)} along {t.axis})"
            return f"t{i}: {t.type}{list(t.shape)}{quantization}{' const' if t.data is not None else ''}"
        lines = [f"inputs {', '.join(text(i) for i in self.inputs)}"]
        for o in self.operators:
            options = "" if o.options is None else " " + " ".join(f"{k}={v}" for k, v in o.options[1].items())
            lines.append(f"{', '.join(text(i) for i in o.outputs)} = {o.name}({', '.join(text(i) for i in o.inputs)}){options}")
        return "\n".join(lines + [f"outputs {', '.join(text(i) for i in self.outputs)}"])

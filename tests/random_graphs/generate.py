"""Random models of the supported operators: `generate(seed)` gives the same one each time.

A model grows operator by operator; operands are mostly what was computed last, sometimes older results, new inputs or constants. Scales are
chosen so that most results are neither all zero nor all clamped. Floats know how far the reference's answer may be away, and whatever
rounds floats to integers is given exact floats only, so that integers stay equal.

Left out, because the reference computes them from memory that is not the model's: int32 biases of int16 CONV_2D, DEPTHWISE_CONV_2D and
FULLY_CONNECTED with int8 weights, int64 biases of FULLY_CONNECTED with int16 weights. Left out, because the reference takes the absolute value of
−128 in 8 bits: hybrid weights of −128. Left out, because the reference reads them as uint8: SUM of int8 and int16.
"""

import random

import numpy

from model import Model, Operator, Tensor

CHANNELS = [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 24, 31, 32, 33, 48, 64]
RANGE = {"i8": (-128, 127), "u8": (0, 255), "i16": (-32768, 32767), "i32": (-(1 << 31), (1 << 31) - 1)}
ELEMENTS_MAX = 6000
QUANTIZED = ("i8", "u8", "i16")
# Half the last bit of an f32, doubled twice for good measure.
ULP = 2.0 ** -22


class Impossible(Exception):
    """The operator drawn cannot take the operand drawn."""


def generate(seed):
    """(model, arrays of its inputs)"""
    return Generator(seed).model()


class Generator:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.n = numpy.random.default_rng(seed)
        self.tensors, self.operators = [], []
        # Tensors that operators may take; and weights by the products they fit.
        self.values, self.weights, self.buffers = [], {}, 0

    def model(self):
        r = self.r
        self.start = r.choices(["i8", "u8", "i16", "f32", "move"], [40, 12, 20, 35, 4])[0]
        self.values.append(self.input(self.start if self.start != "move" else r.choice(["i32", "i64", "bool", "f32", "f16"])))
        wanted = r.choice([1, 1, 2, 2, 3, 4, 5, 6, 8, 10, 12])
        for _ in range(60):
            if wanted <= len(self.operators):
                break
            before = len(self.operators), len(self.tensors), len(self.values), self.buffers
            try:
                x = self.operand()
                self.values += r.choice(self.possible(x))(x) or []
            except Impossible:
                del self.operators[before[0]:], self.tensors[before[1]:], self.values[before[2]:]
                self.buffers = before[3]
                self.weights = {k: w for k, w in self.weights.items() if w < before[1]}
        read = {i for o in self.operators for i in o.inputs}
        results = [o for operator in self.operators for o in operator.outputs]
        outputs = [v for v in results if v not in read] + [v for v in results if v in read and r.random() < 0.07]
        r.shuffle(outputs)
        if r.random() < 0.02:
            outputs.append(self.values[0])
        if r.random() < 0.02:
            outputs.append(r.choice(outputs))
        whole = Model(self.tensors, self.operators, [], outputs).cut(outputs)
        r.shuffle(whole.inputs)
        return whole, [self.numbers(self.tensors[i]) for i in whole.inputs]

    # ------------------------------------------------------------ tensors

    def tensor(self, type, shape, scale=None, zero_point=0, **more):
        """Index of a new tensor."""
        shape = tuple(int(d) for d in shape)
        if ELEMENTS_MAX < numpy.prod(shape, dtype=int):
            raise Impossible
        scales = () if scale is None else (float(numpy.float32(scale)),)
        self.tensors.append(Tensor(type, shape, scales, (int(zero_point),) if scales else (), **more))
        return len(self.tensors) - 1

    def like(self, x, shape=None, **more):
        """A tensor of the type, quantisation and accuracy of another."""
        t = self.tensors[x]
        scale, zero_point = (t.scale, t.zero_point) if t.scales else (None, 0)
        return self.tensor(t.type, t.shape if shape is None else shape, scale, zero_point, **{"size": t.size, "error": t.error, **more})

    def scale(self):
        return 2.0 ** self.r.randint(-10, 1) if self.r.random() < 0.2 else 2.0 ** self.r.uniform(-9, 1)

    def zero_point(self, type):
        low, high = RANGE[type]
        return 0 if type in ("i16", "i32") else self.r.choice([0, low, high, self.r.randint(low, high), self.r.randint(low, high), (low + high) // 2])

    def fresh(self, type, shape):
        """A new tensor with a quantisation of its own."""
        if type in QUANTIZED:
            return self.tensor(type, shape, self.scale(), self.zero_point(type))
        return self.tensor(type, shape, size=3.0 if type == "f32" else 0.0)

    def shape(self):
        r, choice = self.r, self.r.random()
        if choice < 0.65:
            side = lambda: r.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13])
            shape = [r.choice([1, 1, 1, 1, 1, 2, 3]), side(), side(), r.choice(CHANNELS)]
        elif choice < 0.85:
            shape = [r.choice([1, 1, 2, 3, 5]), r.choice(CHANNELS + [100, 127])]
        else:
            shape = [r.choice([1, 2, 3, 4, 5, 7, 16, 17]) for _ in range(r.choice([1, 3, 3, 5]))]
        while ELEMENTS_MAX < numpy.prod(shape):
            shape[r.randrange(len(shape))] = 1
        return shape

    def input(self, type):
        return self.fresh(type, self.shape())

    def constant(self, x):
        """Makes a constant of a tensor, itself or computed from others."""
        t = self.tensors[x]
        whole = self.numbers(t)
        if t.error == 0 and self.r.random() < 0.15:
            options = None
            if t.type == "f32" and t.size < 60000 and self.r.random() < 0.7:
                name = "DEQUANTIZE"
                if self.r.random() < 0.5:
                    of = self.tensor("f16", t.shape)
                else:
                    of = self.tensor("i8", t.shape)
                    self.per_channel(of, t.size / 127)
                self.tensors[of].data = self.numbers(self.tensors[of])
                if self.tensors[of].type == "f16":
                    self.tensors[of].data = whole.astype("<f2")
            elif t.type in QUANTIZED and self.r.random() < 0.5:
                name, of = "QUANTIZE", self.tensor("f32", t.shape, size=100 * max(t.scales))
                self.tensors[of].data = self.numbers(self.tensors[of])
            else:
                name, options = "RESHAPE", ("ReshapeOptions", {"new_shape": t.shape})
                of = self.like(x, (whole.size,))
                self.tensors[of].scales, self.tensors[of].zero_points = t.scales[:1], t.zero_points[:1]
                self.tensors[of].data = whole.reshape(-1)
                if 1 < len(t.scales):
                    raise Impossible
            self.operators.append(Operator(name, [of], [x], options))
            return x
        t.data = whole
        if self.r.random() < 0.1:
            # Another constant of these bytes.
            same = [c for c in self.tensors if c.buffer is not None and c.dtype == t.dtype and c.data.size == whole.size]
            if same:
                other = self.r.choice(same)
                t.data, t.buffer = other.data.reshape(t.shape), other.buffer
                return x
        self.buffers += 1
        t.buffer = self.buffers
        return x

    def per_channel(self, x, scale):
        """Scales for every index of some axis, or for the whole tensor."""
        t, r = self.tensors[x], self.r
        t.axis = r.randrange(len(t.shape)) if t.shape else 0
        count = t.shape[t.axis] if t.shape and r.random() < 0.7 else 1
        t.scales = tuple(float(numpy.float32(scale * 2 ** r.uniform(-1.5, 0))) for _ in range(count))
        t.zero_points = tuple(self.zero_point(t.type) if r.random() < 0.5 else 0 for _ in range(count))

    def vector(self, type, values):
        x = self.tensor(type, numpy.shape(values))
        self.tensors[x].data = numpy.asarray(values, self.tensors[x].dtype)
        return x

    def numbers(self, t):
        """Random contents."""
        if t.data is not None:
            return t.data
        if t.type in ("f32", "f16"):
            size = t.size if t.size else 3.0
            data = self.n.normal(0, size / 3, t.shape)
            return numpy.clip(data, -size, size).astype(t.dtype)
        if t.type == "bool":
            return self.n.integers(0, 2, t.shape).astype(bool)
        low, high = RANGE.get(t.type, (-(1 << 40), 1 << 40))
        data = self.n.integers(low, high, t.shape, endpoint=True)
        if self.r.random() < 0.2:
            # Sums of such are large.
            data = numpy.where(self.n.random(t.shape) < 0.9, high if self.r.random() < 0.5 else low, data)
        return data.astype(t.dtype)

    def operand(self):
        r = self.r
        if r.random() < 0.1 and len(self.values) < 6:
            x = self.input(self.start if self.start != "move" else self.tensors[self.values[0]].type)
            self.values.append(self.constant(x) if r.random() < 0.15 else x)
        return self.values[-1] if r.random() < 0.7 else r.choice(self.values)

    def emit(self, name, inputs, output, options=None):
        outputs = output if isinstance(output, list) else [output]
        self.operators.append(Operator(name, inputs, outputs, options))
        return outputs

    def activation(self):
        return self.r.choice(["NONE", "NONE", "NONE", "RELU", "RELU6", "RELU_N1_TO_1"])

    # ------------------------------------------------------------ operators

    def possible(self, x):
        """Operators that take a tensor, some of them more often than others."""
        t = self.tensors[x]
        moves = [self.reshape, self.pad, self.strided_slice, self.concatenation, self.transpose, self.slice, self.view]
        moves += [self.parts, self.repeat, self.gather]
        if t.type == "f16":
            return [self.dequantize, self.dequantize, self.reshape]
        if t.type == "i32" and t.scales:
            return moves + [self.quantize] * 2
        if t.type in ("i32", "i64"):
            return moves + [self.add, self.sub, self.mul, self.neg, self.extreme, self.comparison, self.cast]
        if t.type == "bool":
            return moves + [self.logical, self.logical_not, self.cast]
        same = moves + [self.add, self.add, self.sub, self.mul, self.relu, self.relu6, self.logistic, self.tanh, self.extreme]
        if t.error == 0:
            same += [self.comparison, self.cast]
        if t.type in ("f32", "i8"):
            same += [self.squared_difference]
        if t.type == "f32":
            same += [self.neg]
        if t.shape:
            same += [self.sum, self.reduced_extreme]
            same += [self.softmax, self.mean] + [self.fully_connected] * 3
        if len(t.shape) == 4:
            same += [self.blocks]
            same += [self.conv_2d] * 5 + [self.depthwise_conv_2d] * 4 + [self.average_pool_2d, self.max_pool_2d]
        if t.error == 0:
            same += [self.quantize]
        if t.type != "f32":
            same += [self.dequantize]
        return same

    def window(self, x, filter, dilation=True):
        """Options of a sliding window, and rows and columns of its results."""
        r, t = self.r, self.tensors[x]
        stride = [r.choice([1, 1, 1, 2, 2, 3])] * 2
        if r.random() < 0.3:
            stride[1] = r.choice([1, 2, 3, 4])
        dilations = [1, 1]
        if dilation and r.random() < 0.2:
            dilations = [r.choice([1, 2, 3]), r.choice([1, 2, 3])]
        padding = r.choice(["SAME", "VALID"])
        out = []
        for size, taps, step, apart in zip(t.shape[1:3], filter, stride, dilations):
            span = (taps - 1) * apart + 1
            if padding == "VALID" and size < span:
                raise Impossible
            out.append(-(-size // step) if padding == "SAME" else (size - span) // step + 1)
        options = {"padding": padding, "stride_h": stride[0], "stride_w": stride[1]}
        if dilation:
            options |= {"dilation_h_factor": dilations[0], "dilation_w_factor": dilations[1]}
        return options, out

    def product(self, name, x, shape, axis, depth, result):
        """Weights, bias and result of a sum of `depth` products per element: ([x, weights, bias], result)."""
        r, t, channels = self.r, self.tensors[x], shape[axis]
        hybrid = t.type == "f32" and t.error == 0 and r.random() < 0.3
        type = {"f32": "i8" if hybrid else "f32", "i16": "i8"}.get(t.type, t.type)
        wide = name == "FULLY_CONNECTED" and t.type == "i16" and r.random() < 0.4
        if wide:
            type = "i16"
        groups = name == "CONV_2D" and shape[3] != t.shape[3]
        key = name, tuple(shape), type, hybrid, groups
        reach = {"i8": 127, "u8": 128, "i16": 32767}.get(type, 1)
        if key in self.weights and r.random() < 0.4:
            w = self.weights[key]
        else:
            w = self.tensor(type, shape, size=3.0 / depth ** 0.5 * 2 ** r.uniform(-1, 1) if type == "f32" else 0.0)
            if type != "f32":
                n = channels if type != "u8" and not wide and r.random() < 0.6 else 1
                if hybrid and (groups or name == "DEPTHWISE_CONV_2D"):
                    n = channels
                self.tensors[w].scales = tuple(float(numpy.float32(2 ** r.uniform(-1.5, 1.5) / reach / depth ** 0.5)) for _ in range(n))
                point = self.zero_point("u8") if type == "u8" else 0
                if name == "FULLY_CONNECTED" and n == 1 and t.type == "i8" and r.random() < 0.2:
                    point = self.zero_point("i8")
                self.tensors[w].zero_points = (point,) * n
                self.tensors[w].axis = axis
            self.constant(w)
            if hybrid and self.tensors[w].data is not None:
                self.tensors[w].data = numpy.maximum(self.tensors[w].data, -127)
                self.buffers += 1
                self.tensors[w].buffer = self.buffers
            elif hybrid:
                raise Impossible
            self.weights[key] = w
        weights = self.tensors[w]
        # The reference demands a bias here and there.
        bias, biased = None, name == "CONV_2D" or r.random() < 0.7
        if t.type == "f32":
            # The largest weight in real numbers.
            largest = weights.size if type == "f32" else max(weights.scales) * 127
            size = t.size * largest * depth ** 0.5 / 2 + 1
            error = t.error * largest * depth + 2 * ULP * (t.size * largest * depth + 1)
            y = self.tensor("f32", result, size=size, error=error)
            if biased:
                bias = self.constant(self.tensor("f32", [channels], size=1.0))
        else:
            spread = {"i8": 74, "u8": 74, "i16": 19000}
            sums = t.scale * spread[t.type] * numpy.mean(weights.scales) * spread[type] * depth ** 0.5
            to = "i16" if t.type == "u8" and name == "FULLY_CONNECTED" and r.random() < 0.3 else t.type
            low, high = RANGE[to]
            factor = 2 ** r.uniform(-2, 2) if r.random() < 0.9 else 2 ** r.uniform(-6, 10)
            scale = numpy.float32(max(sums * 5 / (high - low) * factor, 1e-12))
            if 64 < t.scale * max(weights.scales) / scale:
                raise Impossible
            y = self.tensor(to, result, scale, self.zero_point(to))
            if biased or to != t.type:
                scales = numpy.float32(t.scale) * numpy.asarray(weights.scales, "f4")
                numbers = self.n.normal(0, sums, channels) / scales
                limit = 2.0 ** 30 / (1 if t.type != "i16" or wide else 2 ** -8)
                long = t.type == "i16" and not wide
                bias = self.vector("i64" if long else "i32", numpy.clip(numbers, -limit, limit).round().astype("i8"))
                self.tensors[bias].scales = tuple(float(s) for s in scales)
                self.tensors[bias].zero_points = (0,) * len(scales)
        inputs = [x, w] if bias is None and (name != "FULLY_CONNECTED" or r.random() < 0.5) else [x, w, bias]
        return inputs, y

    def conv_2d(self, x):
        r, t = self.r, self.tensors[x]
        filter = [r.choice([1, 1, 2, 3, 3, 4, 5]) for _ in range(2)]
        if r.random() < 0.4:
            filter = [1, 1]
        options, out = self.window(x, filter)
        groups = r.choice([g for g in range(1, t.shape[3] + 1) if t.shape[3] % g == 0]) if r.random() < 0.15 else 1
        channels = max(1, r.choice(CHANNELS) // groups) * groups
        inner = t.shape[3] // groups
        depth = filter[0] * filter[1] * inner
        if 20000 < depth * channels or 2_000_000 < depth * channels * out[0] * out[1] * t.shape[0]:
            raise Impossible
        inputs, y = self.product("CONV_2D", x, [channels, *filter, inner], 0, depth, [t.shape[0], *out, channels])
        return self.emit("CONV_2D", inputs, y, ("Conv2DOptions", options | {"fused_activation_function": self.activation()}))

    def depthwise_conv_2d(self, x):
        r, t = self.r, self.tensors[x]
        filter = [r.choice([1, 2, 3, 3, 3, 4, 5, 7]) for _ in range(2)]
        options, out = self.window(x, filter)
        multiplier = r.choice([1, 1, 1, 1, 2, 3, 4, 8])
        channels = t.shape[3] * multiplier
        result = [t.shape[0], *out, channels]
        inputs, y = self.product("DEPTHWISE_CONV_2D", x, [1, *filter, channels], 3, filter[0] * filter[1], result)
        options |= {"depth_multiplier": multiplier, "fused_activation_function": self.activation()}
        return self.emit("DEPTHWISE_CONV_2D", inputs, y, ("DepthwiseConv2DOptions", options))

    def fully_connected(self, x):
        r, t = self.r, self.tensors[x]
        keep = r.random() < 0.3
        depth = t.shape[-1]
        if not keep and r.random() < 0.4:
            depth = int(numpy.prod(t.shape[r.randrange(len(t.shape)):]))
        units = r.choice(CHANNELS)
        if 2000 < depth:
            raise Impossible
        rows = int(numpy.prod(t.shape)) // depth
        result = [*t.shape[:-1], units] if keep else [rows, units]
        inputs, y = self.product("FULLY_CONNECTED", x, [units, depth], 0, depth, result)
        options = {"fused_activation_function": self.activation(), "keep_num_dims": keep, "asymmetric_quantize_inputs": r.random() < 0.5}
        return self.emit("FULLY_CONNECTED", inputs, y, ("FullyConnectedOptions", options))

    def other(self, x):
        """A second operand: the same tensor, another one that can be broadcast, a new input, or a constant."""
        r, t = self.r, self.tensors[x]
        def fits(v):
            s = self.tensors[v]
            return s.type == t.type and all(a == b or 1 in (a, b) for a, b in zip(s.shape[::-1], t.shape[::-1]))
        older = [v for v in self.values if fits(v)]
        if r.random() < 0.55:
            return r.choice(older)
        shape = list(t.shape)
        if r.random() < 0.6:
            shape = [d if r.random() < 0.5 else 1 for d in shape][r.choice([0, 0, r.randint(0, len(shape))]):]
        y = self.fresh(t.type, shape)
        return self.constant(y) if r.random() < 0.6 else y

    def binary(self, x, name, table):
        r, t = self.r, self.tensors[x]
        pot = t.type == "i16" and name != "MUL" and numpy.log2(t.scale) % 1 == 0
        other = self.other(x)
        s = self.tensors[other]
        shape = numpy.broadcast_shapes(t.shape, s.shape)
        options = {"fused_activation_function": self.activation()}
        if t.type == "f32":
            size = t.size * s.size if name == "MUL" else t.size + s.size
            error = t.error * s.size + s.error * t.size if name == "MUL" else t.error + s.error
            y = self.tensor("f32", shape, size=size, error=error and error + ULP * size)
            if 1e6 < size:
                raise Impossible
        elif t.type in ("i32", "i64"):
            y = self.tensor(t.type, shape)
        else:
            reach = 74 if t.type != "i16" else 19000
            size = t.scale * s.scale * reach * reach if name == "MUL" else max(t.scale, s.scale) * reach * 1.4
            scale = size * 5 / (reach * 3.5) * (2 ** r.uniform(-2, 2) if r.random() < 0.9 else 2 ** r.uniform(-6, 10))
            zero_point = self.zero_point(t.type)
            if name != "MUL" and t.type == "i16":
                # The reference crashes on some broadcasts.
                fits = t.shape == s.shape
                pot = pot and fits and numpy.log2(s.scale) % 1 == 0 and r.random() < 0.7
                options["pot_scale_int16"] = bool(pot)
                if pot:
                    scale = max(t.scale, s.scale)
            elif name == "MUL" and 64 < t.scale * s.scale / scale:
                raise Impossible
            y = self.tensor(t.type, shape, scale, zero_point)
        operands = [x, other]
        r.shuffle(operands)
        return self.emit(name, operands, y, (table, options))

    def alike(self, x):
        """As `other`, with the scale of the operand."""
        t, other = self.tensors[x], self.other(x)
        s = self.tensors[other]
        if (s.scales, s.zero_points) != (t.scales, t.zero_points):
            if s.data is not None or other in self.values:
                raise Impossible
            s.scales, s.zero_points = t.scales, t.zero_points
        return other

    def extreme(self, x):
        t, other = self.tensors[x], self.alike(x)
        s = self.tensors[other]
        y = self.like(x, numpy.broadcast_shapes(t.shape, s.shape), size=max(t.size, s.size), error=max(t.error, s.error))
        return self.emit(self.r.choice(["MINIMUM", "MAXIMUM"]), [x, other], y, ("MaximumMinimumOptions", {}))

    def comparison(self, x):
        t, other = self.tensors[x], self.alike(x) if self.tensors[x].type == "i16" else self.other(x)
        s = self.tensors[other]
        # Scales from 1 on abort the reference or mean nothing there; floats that may differ compare differently.
        if s.error or t.error or t.type in ("i8", "u8", "i16") and 1 <= max(t.scale, s.scale):
            raise Impossible
        name = self.r.choice(["EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"])
        return self.emit(name, [x, other], self.tensor("bool", numpy.broadcast_shapes(t.shape, s.shape)))

    def logical(self, x):
        other = self.other(x)
        shape = numpy.broadcast_shapes(self.tensors[x].shape, self.tensors[other].shape)
        return self.emit(self.r.choice(["LOGICAL_AND", "LOGICAL_OR"]), [x, other], self.tensor("bool", shape))

    def logical_not(self, x):
        return self.emit("LOGICAL_NOT", [x], self.like(x))

    def cast(self, x):
        t = self.tensors[x]
        small = {"i8": 128.0, "u8": 255.0, "i16": 32768.0, "bool": 1.0}
        to = self.r.choice([type for type in ["i32", "i64", "bool"] + ["f32"] * (t.type in small) if type != t.type])
        y = self.tensor(to, t.shape, size=small[t.type] if to == "f32" else 0.0)
        return self.emit("CAST", [x], y, ("CastOptions", {}))

    def neg(self, x):
        return self.emit("NEG", [x], self.like(x))

    def squared_difference(self, x):
        r, t, other = self.r, self.tensors[x], self.other(x)
        s = self.tensors[other]
        shape = numpy.broadcast_shapes(t.shape, s.shape)
        if t.type == "f32":
            size, error = t.size + s.size, t.error + s.error
            if 1e3 < size:
                raise Impossible
            y = self.tensor("f32", shape, size=size * size, error=error and 2 * error * size + ULP * size * size)
        else:
            y = self.tensor(t.type, shape, (max(t.scale, s.scale) * 100) ** 2 / 255 * 2 ** r.uniform(-2, 3), self.zero_point(t.type))
        return self.emit("SQUARED_DIFFERENCE", [x, other], y)

    def add(self, x):
        return self.binary(x, "ADD", "AddOptions")

    def sub(self, x):
        return self.binary(x, "SUB", "SubOptions")

    def mul(self, x):
        return self.binary(x, "MUL", "MulOptions")

    def pool(self, x, name):
        r, t = self.r, self.tensors[x]
        filter = [r.choice([1, 2, 2, 3, 3, 4, 5]) for _ in range(2)]
        if r.random() < 0.2:
            filter = list(t.shape[1:3])
        options, out = self.window(x, filter, dilation=False)
        average = name == "AVERAGE_POOL_2D" and t.type == "f32"
        y = self.like(x, [t.shape[0], *out, t.shape[3]], error=t.error + average * ULP * t.size * filter[0] * filter[1])
        options |= {"filter_height": filter[0], "filter_width": filter[1], "fused_activation_function": self.activation()}
        return self.emit(name, [x], y, ("Pool2DOptions", options))

    def average_pool_2d(self, x):
        return self.pool(x, "AVERAGE_POOL_2D")

    def max_pool_2d(self, x):
        return self.pool(x, "MAX_POOL_2D")

    def mean(self, x):
        r, t = self.r, self.tensors[x]
        rank = len(t.shape)
        axes = r.sample(range(rank), r.randint(1, rank))
        if rank == 4 and r.random() < 0.6:
            axes = [1, 2]
        keep = r.random() < 0.5
        shape = [1 if a in axes else d for a, d in enumerate(t.shape) if keep or a not in axes]
        count = numpy.prod([t.shape[a] for a in axes])
        if t.type == "f32":
            y = self.tensor("f32", shape, size=t.size, error=t.error + ULP * t.size * count)
        else:
            scale = t.scale * (1 if r.random() < 0.3 else 2 ** r.uniform(-3, 1))
            y = self.tensor(t.type, shape, scale, t.zero_point if r.random() < 0.3 else self.zero_point(t.type))
        axes = [a - rank if r.random() < 0.2 else a for a in axes]
        return self.emit("MEAN", [x, self.vector("i32", axes)], y, ("ReducerOptions", {"keep_dims": keep}))

    def relu(self, x, name="RELU"):
        r, t = self.r, self.tensors[x]
        if t.type == "f32":
            return self.emit(name, [x], self.like(x))
        y = self.like(x)
        if r.random() < 0.6:
            y = self.tensor(t.type, t.shape, t.scale * 2 ** r.uniform(-3, 2), self.zero_point(t.type))
        return self.emit(name, [x], y)

    def relu6(self, x):
        return self.relu(x, "RELU6")

    def logistic(self, x):
        t = self.tensors[x]
        if t.type == "f32":
            y = self.tensor("f32", t.shape, size=1.0, error=t.error / 4 + 4 * ULP)
        elif t.type == "i16":
            y = self.tensor("i16", t.shape, 1 / 32768)
        else:
            y = self.tensor(t.type, t.shape, 1 / 256, RANGE[t.type][0] if t.type == "i8" else 0)
        return self.emit("LOGISTIC", [x], y)

    def tanh(self, x):
        r, t = self.r, self.tensors[x]
        if t.type == "f32":
            y = self.tensor("f32", t.shape, size=1.0, error=t.error + 4 * ULP)
        elif t.type == "i16":
            y = self.tensor("i16", t.shape, 1 / 32768)
        else:
            y = self.tensor(t.type, t.shape, 1 / 128 * 2 ** r.uniform(-1, 2), self.zero_point(t.type))
        return self.emit("TANH", [x], y)

    def softmax(self, x):
        r, t = self.r, self.tensors[x]
        if t.shape[-1] > 400:
            raise Impossible
        beta = r.choice([1.0, 1.0, 0.5, 2.0, 0.1])
        if t.type == "f32":
            y = self.tensor("f32", t.shape, size=1.0, error=2 * beta * t.error + 16 * ULP * (1 + beta * t.size))
        elif t.type == "i16":
            y = self.tensor("i16", t.shape, 1 / 32768)
        elif r.random() < 0.3:
            y = self.tensor("i16", t.shape, 1 / 65536, -32768)
            self.emit("SOFTMAX", [x], y, ("SoftmaxOptions", {"beta": beta}))
            # Most operators demand a zero point of 0.
            self.reshape(y)
            return []
        else:
            y = self.tensor(t.type, t.shape, 1 / 256, -128 if t.type == "i8" else 0)
        return self.emit("SOFTMAX", [x], y, ("SoftmaxOptions", {"beta": beta}))

    def quantize(self, x):
        r, t = self.r, self.tensors[x]
        to = r.choice({"f32": ["i8", "i8", "u8", "i16"], "i8": ["i8", "u8", "i16"], "u8": ["i8", "u8", "i16"], "i16": ["i8", "i16", "i32"],
                       "i32": ["i8", "i16"]}[t.type])
        if t.type == "f32" and to != "i16" and r.random() < 0.2:
            # Nothing but DEQUANTIZE takes scales per channel.
            q = self.tensor(to, t.shape)
            self.per_channel(q, t.size / 2 * 5 / (RANGE[to][1] - RANGE[to][0]))
            self.emit("QUANTIZE", [x], q)
            y = self.tensor("f32", t.shape, size=max(self.tensors[q].scales) * (RANGE[to][1] - RANGE[to][0]))
            return self.emit("DEQUANTIZE", [q], y)
        low, high = RANGE[to]
        size = t.size / 2 if t.type == "f32" else t.scale * 74 * (RANGE[t.type][1] - RANGE[t.type][0]) / 255
        scale = max(size * 5 / (high - low) * 2 ** r.uniform(-2, 2), 1e-12)
        return self.emit("QUANTIZE", [x], self.tensor(to, t.shape, scale, self.zero_point(to)))

    def dequantize(self, x):
        t = self.tensors[x]
        size = 3.0 if t.type == "f16" else t.scale * (RANGE[t.type][1] - RANGE[t.type][0])
        return self.emit("DEQUANTIZE", [x], self.tensor("f32", t.shape, size=size))

    # ------------------------------------------------------------ operators that move

    def reshape(self, x):
        r, t = self.r, self.tensors[x]
        count, shape = int(numpy.prod(t.shape)), []
        for _ in range(r.randint(0, 4)):
            shape.append(r.choice([d for d in range(1, count + 1) if count % d == 0]))
            count //= shape[-1]
        shape.insert(r.randint(0, len(shape)), count)
        asked = list(shape)
        if r.random() < 0.3:
            asked[r.randrange(len(asked))] = -1
        y = self.like(x, shape)
        how = r.random()
        if how < 0.4:
            return self.emit("RESHAPE", [x, self.vector("i32", asked)], y)
        if how < 0.7:
            return self.emit("RESHAPE", [x], y, ("ReshapeOptions", {"new_shape": asked}))
        return self.emit("RESHAPE", [x, self.vector("i32", asked)], y, ("ReshapeOptions", {"new_shape": [7, 7]}))

    def pad(self, x):
        r, t = self.r, self.tensors[x]
        if not 1 <= len(t.shape) <= 5:
            raise Impossible
        pads = [[r.choice([0, 0, 1, 2, 3]), r.choice([0, 0, 1, 2])] for _ in t.shape]
        if len(t.shape) == 4 and r.random() < 0.7:
            pads[0] = pads[3] = [0, 0]
        y = self.like(x, [d + a + b for d, (a, b) in zip(t.shape, pads)])
        return self.emit("PAD", [x, self.vector(r.choice(["i32", "i32", "i64"]), pads)], y, ("PadOptions", {}))

    def strided_slice(self, x):
        r, t = self.r, self.tensors[x]
        if not 1 <= len(t.shape) <= 4 or t.type == "f16":
            raise Impossible
        masks = dict.fromkeys(["begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"], 0)
        offset = r.random() < 0.1
        begin, end, strides, shape = [], [], [], []
        # The reference crashes with both.
        ellipsis = r.randrange(len(t.shape)) if r.random() < 0.15 and not offset else None
        axis = 0
        while axis < len(t.shape):
            bit, size = 1 << len(begin), t.shape[axis]
            if r.random() < 0.06 and len(begin) < 4 and len(t.shape) < 4:
                masks["new_axis_mask"] |= bit
                shape.append(1)
                b, e, s = 0, 1, 1
                axis -= 1
            elif axis == ellipsis:
                masks["ellipsis_mask"] |= bit
                b, e, s = 0, 0, 1
                until = r.randint(axis + 1, len(t.shape))
                shape += t.shape[axis:until]
                axis = until - 1
            elif r.random() < 0.15:
                masks["shrink_axis_mask"] |= bit
                b = r.randint(-size, size - 1)
                e, s = (1 if offset else b + 1), 1
            else:
                s = r.choice([1, 1, 1, 2, 3, -1, -2]) if not offset else r.choice([1, 2])
                indices = list(range(size))[::s]
                first = r.randrange(len(indices))
                length = r.randint(1, len(indices) - first)
                b, last = indices[first], indices[first + length - 1]
                e = last + (1 if 0 < s else -1)
                shape.append(length)
                if first == 0 and r.random() < 0.5:
                    masks["begin_mask"] |= bit
                    if not offset:
                        b = r.randint(-9, 9)
                if offset:
                    e -= b
                elif first + length == len(indices) and r.random() < 0.5:
                    masks["end_mask"] |= bit
                    e = r.randint(-9, 9)
                elif e == -1:
                    e = -size - 1
                elif 0 < b and r.random() < 0.2:
                    b -= size
            begin.append(b)
            end.append(e)
            strides.append(s)
            axis += 1
        y = self.like(x, shape)
        inputs = [x] + [self.vector("i32", v) for v in (begin, end, strides)]
        return self.emit("STRIDED_SLICE", inputs, y, ("StridedSliceOptions", masks | {"offset": offset}))

    def transpose(self, x):
        r, t = self.r, self.tensors[x]
        # The reference takes six at most.
        if not 1 <= len(t.shape) <= 6:
            raise Impossible
        order = r.sample(range(len(t.shape)), len(t.shape))
        return self.emit("TRANSPOSE", [x, self.vector("i32", order)], self.like(x, [t.shape[a] for a in order]), ("TransposeOptions", {}))

    def slice(self, x):
        r, t = self.r, self.tensors[x]
        if not 1 <= len(t.shape) <= 5:
            raise Impossible
        # Parts of the outermost axis are no copies.
        whole = r.random() < 0.5
        begin = [0 if whole and a else r.randrange(d) for a, d in enumerate(t.shape)]
        size = [d if whole and a else r.randint(1, d - b) for a, (b, d) in enumerate(zip(begin, t.shape))]
        asked = [-1 if b + s == d and r.random() < 0.5 else s for b, s, d in zip(begin, size, t.shape)]
        return self.emit("SLICE", [x, self.vector("i32", begin), self.vector("i32", asked)], self.like(x, size), ("SliceOptions", {}))

    def view(self, x):
        r, t = self.r, self.tensors[x]
        ones = [a for a, d in enumerate(t.shape) if d == 1]
        if ones and r.random() < 0.5:
            axes = r.sample(ones, r.randint(0, len(ones)))
            shape = [d for a, d in enumerate(t.shape) if a not in (axes or ones)]
            return self.emit("SQUEEZE", [x], self.like(x, shape), ("SqueezeOptions", {"squeeze_dims": axes}))
        if 5 <= len(t.shape):
            raise Impossible
        axis = r.randrange(len(t.shape) + 1)
        shape = list(t.shape[:axis]) + [1] + list(t.shape[axis:])
        return self.emit("EXPAND_DIMS", [x, self.vector("i32", axis)], self.like(x, shape), ("ExpandDimsOptions", {}))

    def parts(self, x):
        """SPLIT, SPLIT_V, UNPACK, or PACK of all that is alike."""
        r, t = self.r, self.tensors[x]
        kind = r.choice(["SPLIT", "SPLIT_V", "UNPACK", "PACK"])
        if t.type == "bool" and kind != "UNPACK" or t.type == "i64" and kind in ("SPLIT", "UNPACK") or not t.shape:
            raise Impossible
        axis = r.randrange(len(t.shape)) if r.random() < 0.6 else 0
        size = t.shape[axis]
        def of(n):
            return self.like(x, [n if a == axis else d for a, d in enumerate(t.shape)])
        if kind == "SPLIT":
            count = r.choice([n for n in range(1, size + 1) if size % n == 0][:6])
            outputs = [of(size // count) for _ in range(count)]
            return self.emit(kind, [self.vector("i32", axis), x], outputs, ("SplitOptions", {"num_splits": count}))
        if kind == "SPLIT_V":
            cuts = sorted(r.randint(0, size) for _ in range(r.randint(0, 3)))
            sizes = [b - a for a, b in zip([0] + cuts, cuts + [size])]
            if 0 in sizes:
                raise Impossible
            outputs = [of(n) for n in sizes]
            sizes[r.randrange(len(sizes))] = -1
            inputs = [x, self.vector("i32", sizes), self.vector("i32", axis)]
            return self.emit(kind, inputs, outputs, ("SplitVOptions", {"num_splits": len(sizes)}))
        if kind == "UNPACK":
            if 9 < size:
                raise Impossible
            shape = [d for a, d in enumerate(t.shape) if a != axis]
            return self.emit(kind, [x], [self.like(x, shape) for _ in range(size)], ("UnpackOptions", {"num": size, "axis": axis}))
        alike = lambda s: (s.type, s.shape, s.scales, s.zero_points) == (t.type, t.shape, t.scales, t.zero_points)
        inputs = [x] + r.choices([v for v in self.values if alike(self.tensors[v])], k=r.randint(0, 3))
        y = self.like(x, list(t.shape[:axis]) + [len(inputs)] + list(t.shape[axis:]))
        self.tensors[y].size = max(self.tensors[i].size for i in inputs)
        self.tensors[y].error = max(self.tensors[i].error for i in inputs)
        return self.emit(kind, inputs, y, ("PackOptions", {"values_count": len(inputs), "axis": axis}))

    def repeat(self, x):
        """TILE, MIRROR_PAD or REVERSE_V2."""
        r, t = self.r, self.tensors[x]
        if not 1 <= len(t.shape) <= 4:
            raise Impossible
        kind = r.choice(["TILE", "MIRROR_PAD", "REVERSE_V2"])
        if kind == "TILE":
            times = [r.choice([1, 1, 2, 3]) for _ in t.shape]
            return self.emit(kind, [x, self.vector("i32", times)], self.like(x, [d * m for d, m in zip(t.shape, times)]), ("TileOptions", {}))
        if kind == "REVERSE_V2":
            return self.emit(kind, [x, self.vector("i32", [r.randrange(len(t.shape))])], self.like(x), ("ReverseV2Options", {}))
        if t.type == "bool":
            raise Impossible
        mode = r.choice(["REFLECT", "SYMMETRIC"])
        pads = [[r.choice([0, 0, r.randint(0, d - (mode == "REFLECT"))]) for _ in range(2)] for d in t.shape]
        y = self.like(x, [d + a + b for d, (a, b) in zip(t.shape, pads)])
        return self.emit(kind, [x, self.vector("i32", pads)], y, ("MirrorPadOptions", {"mode": mode}))

    def gather(self, x):
        r, t = self.r, self.tensors[x]
        if not t.shape:
            raise Impossible
        axis = r.randrange(len(t.shape))
        shape = [r.randint(1, 4) for _ in range(r.randint(0, 2))]
        indices = self.n.integers(0, t.shape[axis], shape)
        y = self.like(x, list(t.shape[:axis]) + shape + list(t.shape[axis + 1:]))
        return self.emit("GATHER", [x, self.vector(r.choice(["i32", "i64"]), indices)], y, ("GatherOptions", {"axis": axis}))

    def blocks(self, x):
        """SPACE_TO_DEPTH, DEPTH_TO_SPACE or SPACE_TO_BATCH_ND."""
        r, t = self.r, self.tensors[x]
        n, h, w, c = t.shape
        b = r.choice([1, 2, 2, 3])
        kind = r.choice(["SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND"])
        if kind == "SPACE_TO_BATCH_ND":
            before = [r.randint(0, 2), r.randint(0, 2)]
            pads = [[a, -(a + d) % b] for a, d in zip(before, (h, w))]
            shape = [n * b * b] + [(d + a + z) // b for d, (a, z) in zip((h, w), pads)] + [c]
            inputs = [x, self.vector("i32", [b, b]), self.vector("i32", pads)]
            return self.emit(kind, inputs, self.like(x, shape), ("SpaceToBatchNDOptions", {}))
        if t.type == "i16" or (h % b or w % b if kind == "SPACE_TO_DEPTH" else c % (b * b)):
            raise Impossible
        shape = [n, h // b, w // b, c * b * b] if kind == "SPACE_TO_DEPTH" else [n, h * b, w * b, c // (b * b)]
        table = "SpaceToDepthOptions" if kind == "SPACE_TO_DEPTH" else "DepthToSpaceOptions"
        return self.emit(kind, [x], self.like(x, shape), (table, {"block_size": b}))

    def reduced_extreme(self, x):
        r, t = self.r, self.tensors[x]
        if not t.shape:
            raise Impossible
        axes = r.sample(range(len(t.shape)), r.randint(1, len(t.shape)))
        keep = r.random() < 0.5
        shape = [1 if a in axes else d for a, d in enumerate(t.shape) if keep or a not in axes]
        name = r.choice(["REDUCE_MAX", "REDUCE_MIN"])
        return self.emit(name, [x, self.vector("i32", axes)], self.like(x, shape), ("ReducerOptions", {"keep_dims": keep}))

    def sum(self, x):
        r, t = self.r, self.tensors[x]
        if t.type in ("i8", "i16"):
            raise Impossible
        rank = len(t.shape)
        axes = r.sample(range(rank), r.randint(1, rank))
        keep = r.random() < 0.5
        shape = [1 if a in axes else d for a, d in enumerate(t.shape) if keep or a not in axes]
        count = numpy.prod([t.shape[a] for a in axes])
        if t.type == "f32":
            y = self.tensor("f32", shape, size=t.size * count, error=(t.error + ULP * t.size * count) * count)
        else:
            y = self.tensor(t.type, shape, t.scale * count ** 0.5 * 2 ** r.uniform(0, 2), self.zero_point(t.type))
        return self.emit("SUM", [x, self.vector("i32", axes)], y, ("ReducerOptions", {"keep_dims": keep}))

    def concatenation(self, x):
        r, t = self.r, self.tensors[x]
        if not t.shape:
            raise Impossible
        axis = r.randrange(len(t.shape))
        y = self.like(x)
        if t.type == "u8" and r.random() < 0.4:
            self.tensors[y].scales, self.tensors[y].zero_points = (self.scale(),), (self.zero_point("u8"),)
        target, inputs = self.tensors[y], [x]
        def fits(v):
            s = self.tensors[v]
            alike = t.type != "i8" or (s.scales, s.zero_points) == (t.scales, t.zero_points)
            rest = lambda shape: [d for a, d in enumerate(shape) if a != axis]
            return s.type == t.type and len(s.shape) == len(t.shape) and rest(s.shape) == rest(t.shape) and alike
        for _ in range(r.randint(0, 4)):
            if r.random() < 0.5:
                inputs.append(r.choice([v for v in self.values if fits(v)]))
            else:
                shape = [r.randint(1, 4) if a == axis else d for a, d in enumerate(t.shape)]
                other = self.like(x, shape, error=0.0)
                if t.type == "u8" and r.random() < 0.4:
                    self.tensors[other].scales, self.tensors[other].zero_points = (self.scale(),), (self.zero_point("u8"),)
                inputs.append(self.constant(other) if r.random() < 0.5 else other)
        r.shuffle(inputs)
        shape = list(t.shape)
        shape[axis] = sum(self.tensors[i].shape[axis] for i in inputs)
        if ELEMENTS_MAX < numpy.prod(shape):
            raise Impossible
        target.shape = tuple(shape)
        target.size = max(self.tensors[i].size for i in inputs)
        target.error = max(self.tensors[i].error for i in inputs)
        if r.random() < 0.2:
            axis -= len(t.shape)
        return self.emit("CONCATENATION", inputs, y, ("ConcatenationOptions", {"axis": axis}))

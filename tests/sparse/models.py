"""Models that are made here: layers of one product, and MobileNetV2 of floats."""

import numpy

import tflite  # the folder of model.py
from model import Model, Operator, Tensor

LAYERS = {"conv 28x28x128->256": ((1, 28, 28, 128), 256), "conv 14x14x512->512": ((1, 14, 14, 512), 512), "fc 1x1024->1024": ((1, 1024), 1024),
          "fc 64x512->512": ((64, 512), 512)}
# Where kernels have borders; two with a stride, some with an activation.
SMALL = {"conv 13x17x160->136": ((1, 13, 17, 160), 136), "conv 7x7x64->72": ((1, 7, 7, 64), 72),
         "conv 2x5x3x37->21 relu": ((2, 5, 3, 37), 21), "conv 1x1x128->33": ((1, 1, 1, 128), 33), "conv 2x9x8x48->40 /2 relu6": ((2, 9, 8, 48), 40),
         "fc 1x256->96": ((1, 256), 96), "fc 5x100->40 relu": ((5, 100), 40), "fc 17x33->9": ((17, 33), 9), "fc 1x130->1 relu6": ((1, 130), 1)}
# Of activations, bias (none: floats), and the largest activation.
TYPES = {"f32": ("f32", None, None), "int8": ("i8", "i32", 127), "int16x8": ("i16", "i64", 32767), "hybrid": ("f32", None, None)}


def layer(name, shape, channels, type, zeros, seed=1):
    """A product with random weights, pruned; and inputs for it. The name may end in a stride and an activation."""
    activation = "RELU6" if "relu6" in name else "RELU" if "relu" in name else "NONE"
    stride = 2 if "/2" in name else 1
    random = numpy.random.default_rng(seed)
    activations, bias_type, largest = TYPES[type]
    depth = shape[-1]
    weights = random.normal(size=(channels, depth)).astype("f4")
    if type != "f32":
        scales = numpy.abs(weights).max(1) / 127
        weights = numpy.rint(weights / scales[:, None]).astype("i1")
    # Of the dense weights, so that all kinds of zeros have the same scales.
    dense = weights.copy()
    if zeros != "dense":
        tflite.prune(weights, zeros)
    conv = len(shape) == 4
    stored = weights.reshape((channels, 1, 1, depth) if conv else weights.shape)
    out_shape = (shape[0], *(-(-n // stride) for n in shape[1:-1]), channels)
    per_channel = lambda values: (tuple(map(float, values)), (0,) * channels, 0)
    if largest is None:
        x = random.normal(size=shape).astype("f4")
        bias = Tensor("f32", (channels,), data=random.normal(size=channels).astype("f4"))
        held = Tensor("f32", stored.shape, data=stored) if type == "f32" else Tensor("i8", stored.shape, *per_channel(scales), data=stored)
        tensors = [Tensor("f32", shape), held, bias, Tensor("f32", out_shape)]
    else:
        x = random.integers(-largest - 1, largest + 1, shape).astype("i1" if activations == "i8" else "<i2")
        in_scale, in_zero = 4 / largest, 3 if type == "int8" else 0
        sums = (x.reshape(-1, depth)[:32].astype("i8") - in_zero) @ dense.astype("i8").T
        spread = float(((sums * in_scale * scales) ** 2).mean() ** 0.5)
        bias = numpy.rint(random.normal(size=channels) * spread / (in_scale * scales)).astype("<i4" if bias_type == "i32" else "<i8")
        tensors = [Tensor(activations, shape, (in_scale,), (in_zero,)), Tensor("i8", stored.shape, *per_channel(scales), data=stored),
                   Tensor(bias_type, (channels,), *per_channel(in_scale * scales), data=bias),
                   Tensor(activations, out_shape, (4 * spread / largest,), (-5 if type == "int8" else 0,))]
    if conv:
        options = {"padding": "SAME", "stride_w": stride, "stride_h": stride, "fused_activation_function": activation}
        operator = Operator("CONV_2D", [0, 1, 2], [3], ("Conv2DOptions", options))
    else:
        operator = Operator("FULLY_CONNECTED", [0, 1, 2], [3], ("FullyConnectedOptions", {"fused_activation_function": activation}))
    return Model(tensors, [operator], [0], [3]).file(), [x]


class MobileNetV2:
    """Of width 1, with random weights. Windows of stride 2 are padded by an operator of their own on all sides alike, as XNNPACK's sparse
    inference wants them; Keras pads at the ends only, which is as much work."""

    # Expansion, channels, repetitions, stride of the first.
    BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self, size=224, classes=1000, seed=2):
        self.random = numpy.random.default_rng(seed)
        self.tensors, self.operators = [Tensor("f32", (1, size, size, 3))], []
        self.pads = self.constant(numpy.array([[0, 0], [1, 1], [1, 1], [0, 0]]), "i32")
        x = self.window(0, 32, 2, "CONV_2D", "RELU6")
        for expansion, channels, count, stride in self.BLOCKS:
            for i in range(count):
                x = self.block(x, expansion, channels, stride if i == 0 else 1)
        x = self.pointwise(x, 1280, "RELU6")
        mean = self.add(Tensor("f32", (1, 1280)))
        self.operators.append(Operator("MEAN", [x, self.constant(numpy.array([1, 2]), "i32")], [mean], ("ReducerOptions", {"keep_dims": False})))
        self.scores = self.add(Tensor("f32", (1, classes)))
        weights = self.constant(self.random.normal(size=(classes, 1280)) / 1280 ** 0.5)
        self.operators.append(Operator("FULLY_CONNECTED", [mean, weights, self.constant(self.random.normal(size=classes))], [self.scores],
                                       ("FullyConnectedOptions", {})))

    def file(self):
        return Model(self.tensors, self.operators, [0], [self.scores]).file()

    def add(self, tensor):
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, data, type="f32"):
        return self.add(Tensor(type, data.shape, data=data))

    def bias(self, channels):
        return self.constant(self.random.normal(size=channels) * 0.2 + 0.5)

    def block(self, x, expansion, channels, stride):
        depth = self.tensors[x].shape[-1]
        y = x if expansion == 1 else self.pointwise(x, depth * expansion, "RELU6")
        y = self.window(y, self.tensors[y].shape[-1], stride, "DEPTHWISE_CONV_2D", "RELU6")
        y = self.pointwise(y, channels, "NONE")
        if stride != 1 or depth != channels:
            return y
        out = self.add(Tensor("f32", self.tensors[y].shape))
        self.operators.append(Operator("ADD", [x, y], [out], ("AddOptions", {"fused_activation_function": "NONE"})))
        return out

    def pointwise(self, x, channels, activation):
        shape = self.tensors[x].shape
        weights = self.constant(self.random.normal(size=(channels, 1, 1, shape[-1])) / shape[-1] ** 0.5)
        out = self.add(Tensor("f32", (*shape[:-1], channels)))
        options = {"padding": "VALID", "stride_w": 1, "stride_h": 1, "fused_activation_function": activation}
        self.operators.append(Operator("CONV_2D", [x, weights, self.bias(channels)], [out], ("Conv2DOptions", options)))
        return out

    def window(self, x, channels, stride, name, activation):
        _, height, width, depth = self.tensors[x].shape
        if stride == 2:
            padded = self.add(Tensor("f32", (1, height + 2, width + 2, depth)))
            self.operators.append(Operator("PAD", [x, self.pads], [padded], ("PadOptions", {})))
            x = padded
        out = self.add(Tensor("f32", (1, height // stride, width // stride, channels)))
        options = {"padding": "SAME" if stride == 1 else "VALID", "stride_w": stride, "stride_h": stride, "fused_activation_function": activation}
        if name == "CONV_2D":
            weights, table = self.random.normal(size=(channels, 3, 3, depth)) / (9 * depth) ** 0.5, "Conv2DOptions"
        else:
            weights, table = self.random.normal(size=(1, 3, 3, channels)) / 3, "DepthwiseConv2DOptions"
            options["depth_multiplier"] = 1
        self.operators.append(Operator(name, [x, self.constant(weights), self.bias(channels)], [out], (table, options)))
        return out

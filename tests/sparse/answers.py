"""LiteRT's answers, and how ours differ from them."""

import numpy


def reference(file, inputs=None, seed=3):
    """Inputs, random where none are given, and the answers of LiteRT's reference kernels."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError:
        from tensorflow.lite.python.interpreter import Interpreter, OpResolverType
    interpreter = Interpreter(model_content=file, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()
    if inputs is None:
        random = numpy.random.default_rng(seed)
        inputs = []
        for d in details:
            if d["dtype"] == numpy.float32:
                inputs.append(random.normal(size=d["shape"]).astype("f4"))
            else:
                limits = numpy.iinfo(d["dtype"])
                inputs.append(random.integers(limits.min, limits.max + 1, d["shape"]).astype(d["dtype"]))
    for d, array in zip(details, inputs):
        interpreter.set_tensor(d["index"], array)
    interpreter.invoke()
    return inputs, [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def difference(ours, expected, allowed):
    """Nothing, or how the answers differ."""
    for a, b in zip(ours, expected):
        if b.dtype.kind == "f":
            error = float(numpy.abs(a - b).max() / max(float(numpy.abs(b).max()), 1e-30))
            if not error <= allowed:
                return f"differs from LiteRT's by {error:.2g} of the largest number"
        elif not (a == b).all():
            most = int(numpy.abs(a.astype("i8") - b.astype("i8")).max())
            return f"{int((a != b).sum())} of {a.size} numbers differ from LiteRT's, by at most {most}"
    return None

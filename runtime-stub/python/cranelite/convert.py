"""Converts models of Keras, TensorFlow and PyTorch to .tflite models, quantised if wanted.

One file that needs no other of this package: it is the module `cranelite.convert`, and part of the program `cranelite`, which runs it in the
Python of the user's. The libraries of TensorFlow or PyTorch do the work. What is added here: shapes without open dimensions, calibration data
from files and folders that is checked before it is used, and one message where these libraries have pages.

The idea: whatever the model comes as, it becomes a SavedModel with one signature of fixed shapes first, so that there is one way from there on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import re
import sys
import tempfile
import types

QUANTISATIONS = ("int8", "int16x8", "dynamic", "float16")
CALIBRATED = ("int8", "int16x8")
IMAGE_RANGES = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0), "0..255": (0.0, 255.0)}
SIGNATURE = "serving_default"
# So many samples are kept for a comparison of the two models.
MAX_KEPT = 32

# Codes of messages, as `cranelite explain` knows them.
FILE, SHAPE, INPUT, FILE_ACCESS, PYTHON, CONVERSION = "E0101", "E0105", "E0501", "E0502", "E0506", "E0507"

EXPORT = "export it where its classes are: `model.export(FOLDER)` writes a SavedModel, or call cranelite.convert(model) there"
PACKAGES = {"tensorflow": "tensorflow", "keras": "keras", "torch": "torch", "litert_torch": "litert-torch", "ai_edge_quantizer": "ai-edge-quantizer", "PIL": "pillow"}


class ConversionError(Exception):
    """A problem as the program tells it: one message, perhaps with what was expected, what was found, and the way out."""

    def __init__(self, code, message, expected=None, found=None, help=None):
        lines = [message] + [f"{label}: {text}" for label, text in (("expected", expected), ("found", found), ("help", help)) if text]
        super().__init__("\n  ".join(lines))
        self.fields = {"code": code, "message": message, "expected": expected, "found": found, "help": help}


def convert(
    model,
    output=None,
    *,
    quantize=None,
    calibrate=None,
    image_range=None,
    inputs=None,
    outputs=None,
    input_shapes=None,
    signature=None,
    verbose=False,
    report=None,
):
    """Converts a model and returns the bytes of the .tflite model, which it also writes to `output`, if given.

    model: a Keras model, or the path of a file (.keras, .h5, .hdf5, a frozen graph .pb, a PyTorch program .pt2) or of a SavedModel's folder.
    quantize: "int8" (integers throughout, inputs and outputs as well), "int16x8" (activations of 16 bits, weights of 8), "dynamic" (weights of
        8 bits, activations as they come), "float16" (weights of 16 bits), or None.
    calibrate: for int8 and int16x8, what inputs look like: the path of an .npz file with an array for each input by its name, or arr_0, arr_1, ...
        in their order, each with the samples along its first axis; of a folder of images or of WAV files; or such arrays in a dictionary.
    image_range: "0..1", "-1..1" or "0..255": what the values of calibration images become; without it 0..255 where a Keras model begins with a
        layer that rescales or normalises, and 0..1 elsewhere.
    inputs, outputs: names of a frozen graph's tensors; without them its placeholders, and what nobody reads.
    input_shapes: {name: shape} for inputs with open dimensions beside the first one, which is 1.
    signature: of a SavedModel, instead of serving_default.
    verbose: let TensorFlow say all that it has to say.
    report: a function that is told what is done and what was decided, as (kind, text) where kind is "phase" or "note".
    """
    options = _Options(quantize, calibrate, image_range, inputs, outputs, input_shapes, signature, report)
    with _quiet(verbose):
        result = _convert(model, options)
    if output is not None:
        pathlib.Path(output).write_bytes(result.model)
    return result.model


class _Options:
    def __init__(self, quantize, calibrate, image_range, inputs, outputs, input_shapes, signature, report):
        if quantize not in (None, *QUANTISATIONS):
            raise ValueError(f"quantize is {quantize!r}, which is none of {', '.join(QUANTISATIONS)}")
        if image_range not in (None, *IMAGE_RANGES):
            raise ValueError(f"image_range is {image_range!r}, which is none of {', '.join(IMAGE_RANGES)}")
        self.quantize, self.calibrate, self.image_range = quantize, calibrate, image_range
        self.inputs, self.outputs, self.signature = inputs, outputs, signature
        self.input_shapes = dict(input_shapes or {})
        self.report = report or (lambda kind, text: None)
        if quantize in CALIBRATED and calibrate is None:
            raise ConversionError(
                INPUT,
                f"{quantize} needs calibration data: the ranges of activations are measured on samples of what the inputs will be",
                expected="--calibrate with an .npz file, a folder of images or a folder of WAV files; some 100 samples are usual",
                help="give --calibrate, or --quantize dynamic or float16, which need no samples",
            )
        if quantize not in CALIBRATED and calibrate is not None:
            what = f"--quantize {quantize}" if quantize else "no --quantize"
            raise ConversionError(
                INPUT, "calibration data is for int8 and int16x8 alone", found=what, help="leave --calibrate out, or add --quantize int8"
            )

    def phase(self, text):
        self.report("phase", text)

    def note(self, text):
        self.report("note", text)


class _Result:
    def __init__(self, model, reference=None, samples=()):
        self.model, self.reference, self.samples = model, reference, samples


class _Input:
    def __init__(self, name, shape, dtype):
        """shape: a tuple, in which None is open; dtype: a type of NumPy's."""
        import numpy as np

        self.name, self.shape, self.dtype = name, shape, np.dtype(dtype)

    def __str__(self):
        return f'"{self.name}" {_shape(self.shape)} of {self.dtype}'


def _convert(model, options):
    if not isinstance(model, (str, os.PathLike)):
        return _from_tensorflow(_keras_program(model, options), options)
    path = pathlib.Path(model)
    kind = _kind(path)
    if kind == "pt2":
        return _from_pytorch(path, options)
    if kind == "graph" or not (options.inputs or options.outputs):
        read = {"keras": _read_keras, "saved_model": _read_saved_model, "graph": _read_graph}[kind]
        return _from_tensorflow(read(path, options), options)
    raise ConversionError(CONVERSION, "--inputs and --outputs are for frozen graphs (.pb) alone", found=str(path), help="leave them out")


def _kind(path):
    try:
        if path.is_dir():
            if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
                raise ConversionError(FILE, f"{path} is a folder, but no SavedModel", expected="a file saved_model.pb in it")
            return "saved_model"
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError as e:
        raise ConversionError(FILE_ACCESS, f"cannot read {path}: {e.strerror}") from e
    ending = path.suffix.lower()
    if ending == ".pt2":
        return "pt2"
    if ending in (".keras", ".h5", ".hdf5") or start.startswith(b"\x89HDF") or start.startswith(b"PK"):
        return "keras"
    if ending == ".pb" or start.startswith(b"\x0a"):
        return "graph"
    raise ConversionError(FILE, f"{path} is no model that can be converted", expected="a file .keras, .h5, .pb or .pt2, or a SavedModel's folder")


# From Keras and TensorFlow


def _tensorflow(options):
    # What it says on standard error while it is imported is for its developers.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    # Which CPU converts must not change constants that are folded.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    options.phase("loading TensorFlow")
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    return tf


class _Program:
    """A function of tensors by their names, and what it wants. It is called once, and then `done`."""

    def __init__(self, inputs, function, rescales=False, done=lambda: None, signature=SIGNATURE):
        self.inputs, self.function, self.rescales, self.done, self.signature = inputs, function, rescales, done, signature


def _read_keras(path, options):
    tf = _tensorflow(options)
    options.phase("reading the Keras model")
    try:
        model = tf.keras.models.load_model(str(path), compile=False)
    except (ImportError, MemoryError):
        raise
    except Exception as e:  # Keras raises whatever comes.
        raise _unreadable(path, e) from e
    return _keras_program(model, options)


def _unreadable(path, error):
    text = str(error)
    unknown = re.search(r"Could not locate (?:class|function) '([^']+)'|Unknown (?:layer|object|\w+ function): '?([\w>]+)", text)
    if unknown:
        name = next(g for g in unknown.groups() if g)
        return ConversionError(CONVERSION, f"the model has a layer or function of its own, {name}, whose code is not in the file", help=EXPORT)
    if "ambda" in text and ("unsafe" in text.lower() or "safe_mode" in text):
        return ConversionError(CONVERSION, "the model has a Lambda layer: code that would be run when the file is read", help=EXPORT)
    return ConversionError(
        FILE,
        f"the Keras model cannot be read: {_first_line(text)}",
        help="save it again with model.save, by the version of Keras that it was made with; a file of weights alone has no model in it",
    )


def _keras_program(model, options):
    tf = _tensorflow(options)
    if not isinstance(model, tf.keras.Model):
        raise TypeError(f"a {type(model).__name__} is neither a path nor a Keras model")
    tensors = getattr(model, "inputs", None)
    if not tensors:
        raise ConversionError(
            CONVERSION,
            "the model does not know its inputs: it is a subclass of Model that was never called, or was saved so",
            help="call it on an example before it is saved, and export it: model.export(FOLDER)",
        )
    names = _distinct([getattr(t, "name", None) or f"input_{i}" for i, t in enumerate(tensors)])
    inputs = [_Input(name, tuple(t.shape), tf.as_dtype(t.dtype).as_numpy_dtype) for name, t in zip(names, tensors)]
    if options.quantize in CALIBRATED and (loops := [layer for layer in _all_layers(model) if getattr(layer, "unroll", None) is False]):
        # The converter quantises what it sees, and it does not look into loops.
        for layer in loops:
            layer.unroll = True
        options.note(f"recurrent layers are unrolled, since loops are not quantised: {', '.join(layer.name for layer in loops)}")
    else:
        loops = []
    structure = getattr(model, "input", tensors)
    makers = [getattr(getattr(t, "_keras_history", None), "operation", None) for t in getattr(model, "outputs", None) or []]

    def function(tensors):
        packed = tf.nest.pack_sequence_as(structure, [tensors[name] for name in names])
        result = model(packed, training=False)
        if isinstance(result, dict):
            return {str(name): tensor for name, tensor in result.items()}
        flat = tf.nest.flatten(result)
        # The names of the layers that they come from.
        own = [getattr(maker, "name", f"output_{i}") for i, maker in enumerate(makers if len(makers) == len(flat) else [None] * len(flat))]
        return dict(zip(_distinct(own), flat))

    def restore():
        for layer in loops:
            layer.unroll = False

    rescales = any(type(layer).__name__ in ("Rescaling", "Normalization") for layer in _all_layers(model)[:5])
    return _Program(inputs, function, rescales, restore)


def _all_layers(model):
    """Layers inside of layers as well, in their order."""
    found = []
    for layer in getattr(model, "layers", None) or [getattr(model, name) for name in ("layer", "forward_layer", "backward_layer") if hasattr(model, name)]:
        found += [layer, *_all_layers(layer)]
    return found


def _read_saved_model(path, options):
    tf = _tensorflow(options)
    options.phase("reading the SavedModel")
    try:
        loaded = tf.saved_model.load(str(path))
    except (ImportError, MemoryError):
        raise
    except Exception as e:
        help = "export it again: model.export(FOLDER)"
        raise ConversionError(FILE, f"the SavedModel cannot be read: {_first_line(str(e))}", help=help) from e
    signatures = dict(loaded.signatures)
    wanted = options.signature or (SIGNATURE if SIGNATURE in signatures or len(signatures) != 1 else next(iter(signatures)))
    if wanted not in signatures:
        names = ", ".join(map(str, sorted(signatures))) or "none"
        help = "name one with --signature" if signatures else "export it with a signature: model.export(FOLDER)"
        raise ConversionError(CONVERSION, f"the SavedModel has no signature {wanted}", found=names, help=help)
    if others := sorted(set(signatures) - {wanted}):
        options.note(f"of the SavedModel's signatures, {wanted} is converted; left out: {', '.join(others)}")
    concrete = signatures[wanted]
    specs = concrete.structured_input_signature[1]
    if any(spec.shape.rank is None for spec in specs.values()):
        raise ConversionError(SHAPE, "an input of the SavedModel has any number of dimensions", help="export it with an input of a known shape")
    inputs = [_Input(name, tuple(spec.shape.as_list()), spec.dtype.as_numpy_dtype) for name, spec in specs.items()]
    program = _Program(inputs, lambda tensors: concrete(**tensors), signature=wanted)
    program.loaded = loaded  # Its variables live as long as it does.
    return program


def _read_graph(path, options):
    tf = _tensorflow(options)
    options.phase("reading the frozen graph")
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except Exception as e:
        raise ConversionError(FILE, f"{path} is no frozen graph (GraphDef): {_first_line(str(e))}") from e
    nodes = {node.name: node for node in graph.node}
    if not nodes:
        raise ConversionError(FILE, f"{path} is no frozen graph (GraphDef): it has no nodes")
    if variables := [n.name for n in graph.node if n.op in ("Variable", "VariableV2", "VarHandleOp")]:
        help = "freeze it first: tf.compat.v1.graph_util.convert_variables_to_constants, or export a SavedModel"
        raise ConversionError(CONVERSION, "the graph is not frozen: it has variables", found=", ".join(variables[:5]), help=help)
    read = {name.lstrip("^").split(":")[0] for node in graph.node for name in node.input}
    ends = [n.name for n in graph.node if n.name not in read and n.op not in ("Const", "NoOp", "Assert", "Placeholder")]
    feeds = [_tensor(name, nodes, "--inputs") for name in options.inputs or [n.name for n in graph.node if n.op == "Placeholder"]]
    fetches = [_tensor(name, nodes, "--outputs") for name in options.outputs or ends]
    if not feeds or not fetches:
        help = "name its tensors with --inputs and --outputs"
        raise ConversionError(CONVERSION, "the graph does not tell its inputs and outputs", help=help)
    if not (options.inputs and options.outputs):
        options.note(f"inputs of the graph: {', '.join(feeds)}; outputs: {', '.join(fetches)} (--inputs and --outputs name others)")
    try:
        imported = tf.Graph()
        with imported.as_default():
            tf.import_graph_def(graph, name="")
        tensors = [imported.get_tensor_by_name(name) for name in feeds]
    except Exception as e:
        raise ConversionError(CONVERSION, f"the graph cannot be imported: {_first_line(str(e))}") from e
    shapes = [None if t.shape.rank is None else tuple(t.shape.as_list()) for t in tensors]
    names = _distinct([name[: -len(":0")] if name.endswith(":0") else name for name in feeds])
    for i, (name, shape) in enumerate(zip(names, shapes)):
        if shape is None and name not in options.input_shapes:
            help = f"give it with --input-shape {name}=1,..."
            raise ConversionError(SHAPE, f'the graph does not say the shape of input "{name}"', help=help)
        shapes[i] = options.input_shapes[name] if shape is None else shape
    inputs = [_Input(name, shape, t.dtype.as_numpy_dtype) for name, shape, t in zip(names, shapes, tensors)]
    results = _distinct([name[: -len(":0")] if name.endswith(":0") else name for name in fetches])

    def function(given):
        input_map = {feed: given[name] for feed, name in zip(feeds, names)}
        return dict(zip(results, tf.graph_util.import_graph_def(graph, input_map=input_map, return_elements=fetches, name="")))

    return _Program(inputs, function)


def _tensor(name, nodes, option):
    """`node:0` of the name of a node or tensor."""
    node, _, index = name.partition(":")
    if node not in nodes:
        raise ConversionError(CONVERSION, f'{option}: the graph has no node "{node}"', help="the names are those of the graph's nodes")
    return f"{node}:{index or 0}"


def _from_tensorflow(program, options):
    try:
        return _by_saved_model(program, options)
    finally:
        program.done()


def _by_saved_model(program, options):
    tf = _tensorflow(options)
    inputs = _fixed(program.inputs, options)
    samples = None
    if options.calibrate is not None:
        samples = _samples(options.calibrate, inputs, options, program.rescales, _by_tensorflow)
    keys = _distinct([re.sub(r"\W", "_", i.name) for i in inputs])
    names = dict(zip(keys, (i.name for i in inputs)))

    options.phase("tracing the model")
    specs = {key: tf.TensorSpec(i.shape, i.dtype, name=key) for key, i in zip(keys, inputs)}
    module = tf.Module()

    def results(**tensors):
        found = program.function({names[key]: tensor for key, tensor in tensors.items()})
        labels = _distinct([re.sub(r"\W", "_", label) for label in found])
        return {label: tf.identity(tensor, name=label) for label, tensor in zip(labels, found.values())}

    module.call = tf.function(results, autograph=False)
    module.kept = getattr(program, "loaded", None)
    try:
        concrete = module.call.get_concrete_function(**specs)
    except (ImportError, MemoryError):
        raise
    except Exception as e:
        raise ConversionError(CONVERSION, f"the model cannot be traced: {_first_line(str(e))}") from e
    if options.quantize in CALIBRATED and _has_loop(concrete):
        raise ConversionError(
            CONVERSION,
            f"the model has a loop, and TensorFlow's converter ends without a word where it should make {options.quantize} of one",
            help="use --quantize dynamic or float16; or give the Keras model itself, whose recurrent layers are unrolled",
        )
    with tempfile.TemporaryDirectory() as folder:
        # The model holds the variables that its function uses.
        module.variables_kept = list(concrete.graph.variables)
        tf.saved_model.save(module, folder, signatures={program.signature: concrete})
        options.phase("converting the model")
        reference = _run_converter(tf, folder, program.signature, None, None)
        if options.quantize is None:
            return _Result(reference)
        options.phase(f"quantising the model ({options.quantize})" + (f" with {len(samples)} samples" if samples else ""))

        def calibration():
            for sample in samples:
                yield {key: array for key, array in zip(keys, sample)}

        try:
            quantised = _run_converter(tf, folder, program.signature, options.quantize, calibration)
        except _NoIntegers as e:
            # What else there is stays whole numbers.
            quantised = _run_converter(tf, folder, program.signature, options.quantize, calibration, floats=True)
            options.note(f"TensorFlow has no {options.quantize} form of {', '.join(e.operators)}, which remain in floats")
    return _Result(quantised, reference, _kept(samples, _input_order(tf, reference, program.signature, keys)))


def _kept(samples, order):
    """Some of the samples, with inputs in this order; spread over the set, which may be sorted by what is in it."""
    count = min(MAX_KEPT, len(samples or ()))
    return [[samples[k * len(samples) // count][i] for i in order] for k in range(count)]


def _has_loop(concrete):
    graph = concrete.graph.as_graph_def()
    return any(node.op in ("While", "StatelessWhile") for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes)


def _run_converter(tf, folder, signature, quantize, calibration, floats=False):
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[signature])
    ops = tf.lite.OpsSet
    converter.target_spec.supported_ops = [ops.TFLITE_BUILTINS]
    if quantize is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize in CALIBRATED:
        converter.representative_dataset = calibration
        small = {"int8": ops.TFLITE_BUILTINS_INT8, "int16x8": ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8}
        kind = {"int8": tf.int8, "int16x8": tf.int16}[quantize]
        converter.target_spec.supported_ops = [small[quantize]] + [ops.TFLITE_BUILTINS] * floats
        converter.inference_input_type = converter.inference_output_type = kind
    try:
        return bytes(converter.convert())
    except (ImportError, MemoryError):
        raise
    except Exception as e:
        operators = sorted(set(re.findall(r"not yet supported for op: '(\w+)'", str(e))))
        if operators and quantize in CALIBRATED and not floats:
            raise _NoIntegers(operators) from e
        raise _refused(str(e), quantize) from e


class _NoIntegers(Exception):
    """Operators that cannot be integers."""

    def __init__(self, operators):
        self.operators = operators


def _refused(text, quantize):
    """What the converter's refusal means."""
    missing = []
    for title in ("TF Select ops", "Custom ops"):
        for line in re.findall(title + r": (.*)", text):
            missing += [name.strip() for name in line.split(",")]
    if missing := sorted(set(filter(None, missing))):
        details = re.findall(r"^\s*(tf\.\w+\(.*)$", text, re.MULTILINE)
        return ConversionError(
            CONVERSION,
            f"the model needs operators of TensorFlow that .tflite models do not have: {', '.join(missing)}",
            found="\n".join(line[:160] for line in details[:3]) or None,
            help="write these layers with other functions; models with operators of TensorFlow (\"select ops\") need its runtime, so they are not compiled",
        )
    help = None
    if quantize in CALIBRATED:
        # Among its own faults: int16x8 of models whose inputs are integers.
        help = "--quantize dynamic and float16 are possible for more models, and int8 for some that int16x8 is not; --verbose shows all it says"
    return ConversionError(CONVERSION, f"TensorFlow's converter refuses the model: {_first_line(text)}", help=help)


def _input_order(tf, model, signature, keys):
    """For each input of a .tflite model, which of the program's inputs it is."""
    interpreter = tf.lite.Interpreter(model_content=model)
    of_index = {detail["index"]: key for key, detail in interpreter.get_signature_runner(signature).get_input_details().items()}
    return [keys.index(of_index[detail["index"]]) for detail in interpreter.get_input_details()]


# From PyTorch


def _from_pytorch(path, options):
    options.phase("loading PyTorch")
    import litert_torch  # Brings PyTorch along.
    import torch

    if options.inputs or options.outputs:
        raise ConversionError(CONVERSION, "--inputs and --outputs are for frozen graphs (.pb) alone", found=str(path), help="leave them out")
    if options.quantize == "float16":
        raise ConversionError(CONVERSION, "programs of PyTorch have no float16 form here", help="use --quantize dynamic, int8 or int16x8")
    options.phase("reading the PyTorch program")
    try:
        program = torch.export.load(str(path))
    except Exception as e:
        help = "save it with torch.export.save(torch.export.export(model.eval(), example), \"model.pt2\")"
        raise ConversionError(FILE, f"the PyTorch program cannot be read: {_first_line(str(e))}", help=help) from e
    if not program.example_inputs:
        raise ConversionError(CONVERSION, "the PyTorch program has no example inputs, which tell its shapes", help="export it with torch.export.export")
    options.phase("converting the model")
    arguments, named = program.example_inputs
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "model.tflite")
        try:
            litert_torch.convert(program.module(), arguments, named or None).export(str(file))
        except Exception as e:
            raise ConversionError(CONVERSION, f"litert-torch refuses the model: {_first_line(str(e))}") from e
        return _by_recipe(file, options)


def _by_recipe(file, options):
    """A .tflite model with floats, quantised if wanted by the library that comes with litert-torch."""
    model = file.read_bytes()
    if options.quantize is None:
        return _Result(model)
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    interpreter = Interpreter(model_path=str(file))
    key = next(iter(interpreter.get_signature_list()))
    names = {d["index"]: name for name, d in interpreter.get_signature_runner(key).get_input_details().items()}
    details = interpreter.get_input_details()
    inputs = [_Input(names[d["index"]], tuple(int(n) for n in d["shape"]), d["dtype"]) for d in details]
    samples = None
    if options.calibrate is not None:
        samples = _samples(options.calibrate, inputs, options, False, _by_pillow)
    options.phase(f"quantising the model ({options.quantize})")
    recipes = {"int8": recipe.static_wi8_ai8, "int16x8": recipe.static_wi8_ai16, "dynamic": recipe.dynamic_wi8_afp32}
    try:
        work = quantizer.Quantizer(str(file), recipes[options.quantize]())
        ranges = None
        if work.need_calibration:
            ranges = work.calibrate({key: [{i.name: a for i, a in zip(inputs, sample)} for sample in samples]})
        quantised = bytes(work.quantize(ranges).quantized_model)
    except (ImportError, MemoryError, ConversionError):
        raise
    except Exception as e:
        raise ConversionError(CONVERSION, f"ai-edge-quantizer refuses the model: {_first_line(str(e))}") from e
    return _Result(quantised, model, _kept(samples, range(len(inputs))))


# Shapes and samples


def _fixed(inputs, options):
    """Inputs without open dimensions: the first one is 1, others are given."""
    unknown = sorted(set(options.input_shapes) - {i.name for i in inputs})
    if unknown:
        raise ConversionError(INPUT, f'the model has no input "{unknown[0]}"', expected="\n".join(map(str, inputs)))
    fixed, problems = [], []
    for i in inputs:
        given = options.input_shapes.get(i.name)
        if given is not None:
            if len(given) != len(i.shape) or any(d not in (None, g) for d, g in zip(i.shape, given)):
                raise ConversionError(SHAPE, f'input "{i.name}" cannot have this shape', expected=_shape(i.shape), found=_shape(given))
        shape = tuple(given or (1 if k == 0 and d is None else d for k, d in enumerate(i.shape)))
        if None in shape:
            problems.append(i)
        fixed.append(_Input(i.name, shape, i.dtype))
    if problems:
        example = ",".join("N" if d is None else str(d) for d in (1, *problems[0].shape[1:]))
        raise ConversionError(
            SHAPE,
            f'input "{problems[0].name}" has an open dimension, which must be known when the model is compiled',
            found=_shape(problems[0].shape),
            help=f"give its shape: --input-shape {problems[0].name}={example}",
        )
    return fixed


class _Samples:
    """Samples that are read when they are needed: each is a list of arrays, one for each input."""

    def __init__(self, count, get):
        self.count, self.get = count, get

    def __len__(self):
        return self.count

    def __getitem__(self, k):
        if k >= self.count:
            raise IndexError(k)
        return self.get(k)


def _samples(source, inputs, options, rescales, image):
    import numpy as np

    options.phase("reading the calibration data")
    if isinstance(source, dict):
        return _of_arrays({str(k): np.asarray(v) for k, v in source.items()}, "the calibration data", inputs, options)
    path = pathlib.Path(source)
    if path.is_dir():
        return _of_folder(path, inputs, options, rescales, image)
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {"arr_0": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except OSError as e:
        raise ConversionError(FILE_ACCESS, f"cannot read {path}: {e.strerror or e}") from e
    except Exception as e:
        help = "write it with numpy.savez(FILE, NAME_OF_INPUT=array, ...)"
        raise ConversionError(INPUT, f"{path} is no .npz file of numbers: {_first_line(str(e))}", help=help) from e
    return _of_arrays(arrays, str(path), inputs, options)


def _of_arrays(arrays, source, inputs, options):
    import numpy as np

    names = [i.name for i in inputs]
    in_order = [f"arr_{k}" for k in range(len(inputs))]
    if set(arrays) == set(names):
        chosen = [arrays[name] for name in names]
    elif set(arrays) == set(in_order):
        chosen = [arrays[name] for name in in_order]
    else:
        raise ConversionError(
            INPUT,
            f"{source}: the arrays are not those of the model's inputs",
            expected="\n".join(map(str, inputs)),
            found=", ".join(f'"{name}" {_shape(a.shape)}' for name, a in arrays.items()) or "no array",
            help="name each array as its input, or arr_0, arr_1, ... in their order",
        )
    checked = []
    for i, array in zip(inputs, chosen):
        whole, single = (array.shape[1:] == i.shape), (i.shape[:1] == (1,) and array.shape[1:] == i.shape[1:])
        if array.ndim == 0 or not (whole or single):
            expected = ", ".join(["samples", *map(str, i.shape[1:] if i.shape[:1] == (1,) else i.shape)])
            message = f'{source}: samples for input "{i.name}" have another shape'
            raise ConversionError(INPUT, message, expected=f"[{expected}]", found=_shape(array.shape))
        if len(array) == 0:
            raise ConversionError(INPUT, f'{source}: there are no samples for input "{i.name}"', found=_shape(array.shape))
        with np.errstate(all="ignore"):
            numbers = array.astype(i.dtype) if np.can_cast(array.dtype, i.dtype, "same_kind") else None
        if numbers is None or (numbers.dtype.kind in "iub" and not np.array_equal(numbers, array)):
            message = f'{source}: samples for input "{i.name}" have another element type'
            raise ConversionError(INPUT, message, expected=str(i.dtype), found=str(array.dtype))
        if numbers.dtype.kind == "f":
            finite = np.isfinite(numbers.astype(np.float32)).reshape(len(numbers), -1).all(axis=1)
            if not finite.all():
                message = f'{source}: {np.count_nonzero(~finite)} of {len(numbers)} samples for input "{i.name}" have NaN or infinity in them'
                raise ConversionError(INPUT, message, found=f"the first is sample {int(np.argmin(finite))}", help="leave these samples out")
        checked.append(numbers.reshape(len(numbers), *i.shape))
    counts = [len(a) for a in checked]
    if len(set(counts)) != 1:
        found = ", ".join(f'"{i.name}" {n}' for i, n in zip(inputs, counts))
        raise ConversionError(INPUT, f"{source}: the inputs have different numbers of samples", found=found)
    options.note(f"calibration: {_count(counts[0], 'sample')} of {source}")
    return _Samples(counts[0], lambda k: [a[k] for a in checked])


def _of_folder(path, inputs, options, rescales, image):
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    images = [p for p in files if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp")]
    sounds = [p for p in files if p.suffix.lower() == ".wav"]
    if bool(images) == bool(sounds):
        found = f"{_count(len(images), 'image')} and {_count(len(sounds), 'WAV file')}"
        raise ConversionError(INPUT, f"{path}: calibration data is a folder of images (png, jpg, bmp) or one of WAV files", found=found)
    if len(inputs) != 1:
        message = f"{path}: a folder is calibration data for a model with one input"
        help = "give an .npz file with an array for each input"
        raise ConversionError(INPUT, message, found="\n".join(map(str, inputs)), help=help)
    return _of_images(path, images, inputs[0], options, rescales, image) if images else _of_sounds(path, sounds, inputs[0], options)


def _by_tensorflow(data, height, width, channels):
    import tensorflow as tf

    pixels = tf.io.decode_image(data, channels=channels, expand_animations=False)
    return tf.image.resize(tf.cast(pixels, tf.float32), (height, width), antialias=True).numpy()


def _by_pillow(data, height, width, channels):
    import io

    import numpy as np
    from PIL import Image

    image = Image.open(io.BytesIO(data)).convert("RGB" if channels == 3 else "L").resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32).reshape(height, width, channels)


def _of_images(path, files, i, options, rescales, image):
    import numpy as np

    if len(i.shape) != 4 or i.shape[0] != 1 or not (i.shape[3] in (1, 3) or i.shape[1] in (1, 3)):
        message = f'{path}: images are no samples for input "{i.name}"'
        help = "give an .npz file with what the model takes"
        raise ConversionError(INPUT, message, expected="an input [1, height, width, 1 or 3]", found=str(i), help=help)
    last = i.shape[3] in (1, 3)
    height, width, channels = i.shape[1:] if last else (*i.shape[2:], i.shape[1])
    floats = i.dtype.kind == "f"
    name = options.image_range or ("0..255" if rescales or not floats else "0..1")
    low, high = IMAGE_RANGES[name]

    def get(k):
        try:
            pixels = image(files[k].read_bytes(), height, width, channels)
        except ImportError:
            raise
        except Exception as e:
            raise ConversionError(INPUT, f"{files[k]} is no image: {_first_line(str(e))}") from e
        pixels = low + np.clip(pixels, 0, 255) * ((high - low) / 255)
        if not floats:
            pixels = np.rint(pixels)
        return [(pixels if last else pixels.transpose(2, 0, 1))[None].astype(i.dtype)]

    get(0)
    why = "" if options.image_range else ", since the model begins with a layer that rescales" if rescales else " (--image-range says otherwise)"
    colours = "RGB" if channels == 3 else "grey"
    options.note(f"calibration: {_count(len(files), 'image')} of {path}, resized to {height} x {width}, {colours}, values {name}{why}")
    return _Samples(len(files), get)


def _of_sounds(path, files, i, options):
    import wave

    import numpy as np

    sizes = [d for d in i.shape if d != 1]
    if 1 < len(sizes) or i.dtype.kind != "f":
        message = f'{path}: WAV files are no samples for input "{i.name}"'
        help = "give an .npz file with what the model takes, such as spectrograms"
        raise ConversionError(INPUT, message, expected="a float input [1, length] or [1, length, 1]", found=str(i), help=help)
    length = sizes[0] if sizes else 1

    def read(file):
        try:
            with wave.open(str(file)) as sound:
                rate, width, channels = sound.getframerate(), sound.getsampwidth(), sound.getnchannels()
                frames = sound.readframes(length)
        except (wave.Error, EOFError, OSError) as e:
            raise ConversionError(INPUT, f"{file} is no WAV file of PCM: {_first_line(str(e)) or 'it is cut off'}") from e
        if width != 2:
            raise ConversionError(INPUT, f"{file} has another kind of samples", expected="PCM of 16 bits", found=f"PCM of {8 * width} bits")
        return rate, np.frombuffer(frames, "<i2").reshape(-1, channels).mean(axis=1) / 32768

    rates = sorted({read(file)[0] for file in files})
    if len(rates) != 1:
        message = f"{path}: the WAV files have different rates"
        raise ConversionError(INPUT, message, found=", ".join(f"{r} Hz" for r in rates), help="bring them to the model's rate first")

    def get(k):
        sound = read(files[k])[1][:length]
        return [np.pad(sound, (0, length - len(sound))).reshape(i.shape).astype(i.dtype)]

    options.note(f"calibration: {_count(len(files), 'WAV file')} of {path}, {rates[0]} Hz, cut or padded to {length} samples, values -1..1")
    return _Samples(len(files), get)


# Words


def _shape(shape):
    return "[" + ", ".join("?" if d is None else str(d) for d in shape) + "]"


def _count(n, what):
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _first_line(text):
    """The line that says what is wrong, without places in source files and types in MLIR's notation."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.split("error:", 1)[1].strip() for line in lines if "error:" in line]
    line = (errors or lines or [""])[0]
    return line if len(line) <= 300 else line[:300] + "..."


def _distinct(names):
    """The later of equal names gets its position behind it."""
    seen, out = set(), []
    for i, name in enumerate(names):
        name = name if name not in seen else f"{name}_{i}"
        seen.add(name)
        out.append(name)
    return out


@contextlib.contextmanager
def _quiet(verbose):
    """Keeps away what libraries write to the process's standard output and error."""
    if verbose:
        yield
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    kept = [os.dup(fd) for fd in (1, 2)]
    with open(os.devnull, "wb") as nothing:
        try:
            for fd in (1, 2):
                os.dup2(nothing.fileno(), fd)
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            for fd, own in zip((1, 2), kept):
                os.dup2(own, fd)
                os.close(own)


# The command line


def _arguments(words):
    parser = argparse.ArgumentParser(prog="python -m cranelite.convert", description="Converts a model of Keras, TensorFlow or PyTorch to .tflite.")
    parser.add_argument("model", help="file .keras, .h5, .pb or .pt2, or a SavedModel's folder")
    parser.add_argument("-o", "--output", metavar="FILE.tflite", required=True)
    parser.add_argument("--quantize", choices=QUANTISATIONS)
    parser.add_argument("--calibrate", metavar="FILE.npz|DIR", help="samples: arrays, a folder of images or of WAV files")
    parser.add_argument("--image-range", choices=IMAGE_RANGES, help="values of calibration images")
    parser.add_argument("--inputs", type=_names, metavar="NAME,...", help="of a frozen graph")
    parser.add_argument("--outputs", type=_names, metavar="NAME,...", help="of a frozen graph")
    parser.add_argument("--input-shape", type=_input_shape, action="append", default=[], metavar="NAME=1,96,96,3")
    parser.add_argument("--signature", metavar="NAME", help="of a SavedModel")
    parser.add_argument("--verbose", action="store_true", help="show all that the converter says")
    return parser.parse_args(words)


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def _input_shape(text):
    name, _, shape = text.rpartition("=")
    return name, tuple(int(d) for d in shape.split(",") if d.strip())


def main(words=None):
    args = _arguments(words)
    # Standard error leads nowhere while libraries are at work.
    own = os.fdopen(os.dup(2), "w")

    def report(kind, text):
        if kind == "note":
            print(f"note: {text}", file=own, flush=True)

    try:
        options = _Options(args.quantize, args.calibrate, args.image_range, args.inputs, args.outputs, args.input_shape, args.signature, report)
        with _quiet(args.verbose):
            result = _convert(args.model, options)
        pathlib.Path(args.output).write_bytes(result.model)
    except (ConversionError, OSError) as e:
        print(f"error: {e}", file=own)
        return 1
    except ModuleNotFoundError as e:
        package = PACKAGES.get(e.name, e.name)
        print(f"error: Python has no module {e.name}\n  help: {sys.executable} -m pip install {package}", file=own)
        return 1
    return 0


def _embedded(folder):
    """As a part of the program `cranelite`: what is done is printed, everything else is in files of the folder."""
    # What libraries print is none of it.
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def report(kind, text):
        said.write(f"{kind} {text}\n")
        said.flush()

    args = _arguments(None)
    try:
        options = _Options(args.quantize, args.calibrate, args.image_range, args.inputs, args.outputs, args.input_shape, args.signature, report)
        result = _convert(args.model, options)
    except ConversionError as e:
        if args.verbose:
            import traceback

            traceback.print_exc()
        (folder / "problem.json").write_text(json.dumps(e.fields))
        return 1
    pathlib.Path(folder, args.output).write_bytes(result.model)
    if result.reference is not None:
        import numpy as np

        (folder / "reference.tflite").write_bytes(result.reference)
        for k, sample in enumerate(result.samples):
            for i, array in enumerate(sample):
                np.save(folder / f"sample{k}.{i}.npy", np.ascontiguousarray(array))
    return 0


class _Module(types.ModuleType):
    """`cranelite.convert` is a module, for `python -m`, and a function."""

    def __call__(self, *arguments, **options):
        return convert(*arguments, **options)


sys.modules[__name__].__class__ = _Module

if __name__ == "__main__":
    if _folder := os.environ.get("CRANELITE_FOLDER"):
        sys.exit(_embedded(pathlib.Path(_folder)))
    sys.exit(main())

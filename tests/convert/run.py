#!/usr/bin/env python3
"""Models of Keras and TensorFlow to machine code in one command, and what is said where that cannot be.

    python tests/convert/run.py [--cranelite PROGRAM] [--only NAME,...] [--kinds KIND,...] [--quick]

needs a Python with TensorFlow (and NumPy), which also becomes CRANELITE_PYTHON. Every model of models.py is compiled as it is and with every
quantisation by one command; the program's answers are compared with `predict` of Keras, and integers with those of TensorFlow Lite's reference
kernels on the same .tflite model. Then the same model as .h5, as SavedModel and as frozen graph, and everything that is wrong in a way of its own.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings
import wave

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

warnings.filterwarnings("ignore", "(?s).*tf.lite.Interpreter is deprecated")

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import models
import keras
import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = ("float", "float16", "dynamic", "int8", "int16x8")
# Largest errors beside Keras that are allowed, as a share of the outputs' largest number: floats are summed in another order, and numbers of
# 8 bits have two digits, which weights of int16x8 are, too. Random networks are harder on them than trained ones.
ALLOWED = {"float": 1e-4, "float16": 2e-2, "dynamic": 0.1, "int8": 0.35, "int16x8": 0.1}

# What TensorFlow's converter does not do.
REFUSED = {("transformer", "int16x8"): "TensorFlow's converter refuses the model: Max and min for dynamic tensors should be recorded"}

failures = []


def fail(text):
    failures.append(text)
    print(f"FAILED: {text}", flush=True)


class Program:
    def __init__(self, path, folder):
        self.path, self.folder = path, folder

    def __call__(self, *words, python=sys.executable):
        env = dict(os.environ, CRANELITE_PYTHON=python)
        words = [str(w) for w in (self.path, *words)]
        return subprocess.run(words, cwd=self.folder, env=env, capture_output=True, text=True)

    def must(self, *words):
        out = self(*words)
        if out.returncode != 0:
            raise RuntimeError(f"cranelite {' '.join(map(str, words))}: {out.returncode}\n{out.stdout}{out.stderr}")
        return out


def reference(tflite):
    resolver = tf.lite.experimental.OpResolverType.BUILTIN_REF
    interpreter = tf.lite.Interpreter(model_path=str(tflite), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    return interpreter


def names(interpreter):
    """The signature's names of inputs and outputs in the order of the subgraph."""
    runner = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))

    def ordered(of_signature, of_graph):
        by_index = {d["index"]: name for name, d in of_signature.items()}
        return [by_index[d["index"]] for d in of_graph]

    return (
        ordered(runner.get_input_details(), interpreter.get_input_details()),
        ordered(runner.get_output_details(), interpreter.get_output_details()),
    )


def quantised(x, detail):
    scale, zero = detail["quantization"]
    if scale == 0:
        return x.astype(detail["dtype"])
    info = np.iinfo(detail["dtype"])
    return np.clip(np.rint(x / np.float32(scale)) + zero, info.min, info.max).astype(detail["dtype"])


def real(x, detail):
    scale, zero = detail["quantization"]
    return x if scale == 0 else (x.astype(np.float64) - zero) * scale


def answers(cranelite, tflite, inputs):
    """What our code gives for each sample, beside whether the reference interpreter gives the same bits; as real numbers by output name."""
    interpreter = reference(tflite)
    in_names, out_names = names(interpreter)
    details, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    count = len(next(iter(inputs.values())))
    words, feeds = [], []
    for k in range(count):
        given = [inputs[name] for name in in_names] if 1 < len(inputs) else inputs.values()
        feed = [quantised(array[k : k + 1], d) for array, d in zip(given, details)]
        feeds.append(feed)
        words += ["--next-step"] if k else []
        for i, array in enumerate(feed):
            np.save(cranelite.folder / f"in{k}.{i}.npy", array)
            words += ["--input", f"in{k}.{i}.npy"]
    cranelite.must("run", tflite, *words, "--output-dir", "out", "--no-winograd")
    ours, differing = {name: [] for name in out_names}, 0
    for k, feed in enumerate(feeds):
        for d, array in zip(details, feed):
            interpreter.set_tensor(d["index"], array)
        interpreter.invoke()
        for i, (name, d) in enumerate(zip(out_names, outputs)):
            own = np.load(cranelite.folder / "out" / f"{f's{k}.' if k else ''}out{i}.npy")
            differing += int(np.count_nonzero(own != interpreter.get_tensor(d["index"])))
            ours[name].append(real(own, d))
    return {name: np.concatenate(list_) for name, list_ in ours.items()}, differing


def predicted(model, inputs):
    result = model.predict(inputs if len(inputs) != 1 else next(iter(inputs.values())), verbose=0)
    if isinstance(result, dict):
        return result
    return {"output_0" if getattr(model, "output_names", None) is None else model.output_names[0]: result}


def paired(expected, ours):
    """Single outputs whatever they are called."""
    if len(expected) == 1:
        return [(next(iter(expected.values())), next(iter(ours.values())))]
    return [(expected[name], ours[name]) for name in expected]


def one(cranelite, name, kinds, table):
    model = getattr(models, name)()
    folder = cranelite.folder
    model.save(folder / f"{name}.keras")
    calibration, inputs = models.samples(model, 20, seed=1), models.samples(model, 4, seed=2)
    # Inputs without a name of their own get one when the model is saved.
    np.savez(folder / f"{name}.npz", **(calibration if 1 < len(calibration) else {"arr_0": next(iter(calibration.values()))}))
    expected = predicted(model, inputs)
    for kind in kinds:
        words = ["compile", f"{name}.keras", "-o", "objects", "--keep-tflite", f"{name}.tflite"]
        if kind != "float":
            words += ["--quantize", kind]
        if kind.startswith("int"):
            words += ["--calibrate", f"{name}.npz"]
        began = time.time()
        out = cranelite(*words)
        seconds = time.time() - began
        if (name, kind) in REFUSED:
            print(f"{name:14} {kind:8} refused by TensorFlow", flush=True)
            if out.returncode != 1 or REFUSED[name, kind] not in out.stderr or "Traceback" in out.stderr:
                fail(f"{name} {kind}: {out.stderr}")
            continue
        if out.returncode != 0:
            fail(f"{name} {kind}: {out.stderr}")
            continue
        ours, differing = answers(cranelite, folder / f"{name}.tflite", inputs)
        pairs = paired(expected, ours)
        error = max(float(np.max(np.abs(e - o))) for e, o in pairs)
        largest = max(float(np.max(np.abs(e))) for e, o in pairs)
        size = (folder / f"{name}.tflite").stat().st_size
        row = (name, kind, f"{error:.2e}", f"{largest:.2e}", "equal" if differing == 0 else f"{differing} differ", f"{size:,}", f"{seconds:.1f}")
        table.append(row)
        print("{:14} {:8} {:>10} {:>10} {:>12} {:>10} {:>6}".format(*row), flush=True)
        if not error <= ALLOWED[kind] * max(largest, 1e-3):
            fail(f"{name} {kind}: error {error} of {largest}")
        if kind.startswith("int") and differing:
            fail(f"{name} {kind}: {differing} integers differ from the reference kernels'")


def formats(cranelite):
    """One model in every format gives the same .tflite answers, and twice the same bytes."""
    folder = cranelite.folder
    model = models.two_inputs()
    model.save(folder / "a.keras")
    model.save(folder / "a.h5")
    model.export(folder / "a_saved", verbose=False)
    inputs = models.samples(model, 2, seed=3)
    expected = predicted(model, inputs)
    for words in (["a.keras"], ["a.keras"], ["a.h5"], ["a_saved"], ["a_saved/saved_model.pb"]):
        try:
            cranelite.must("convert", *words, "-o", "a.tflite")
            ours, _ = answers(cranelite, folder / "a.tflite", inputs)
        except Exception as e:
            fail(f"{words}: {e}")
            continue
        error = max(float(np.max(np.abs(e - o))) for e, o in paired(expected, ours))
        print(f"{' '.join(words):40} largest error {error:.2e}", flush=True)
        if not error <= 1e-5:
            fail(f"{words}: error {error}")
    for name in ("one", "two"):
        np.savez(folder / "a.npz", **models.samples(model, 20, seed=1))
        cranelite.must("convert", "a.keras", "-o", f"{name}.tflite", "--quantize", "int8", "--calibrate", "a.npz")
    if (folder / "one.tflite").read_bytes() != (folder / "two.tflite").read_bytes():
        fail("a model that is converted twice is not the same")

    # A graph as TensorFlow 1 wrote it.
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 6], name="x")
        w = np.random.default_rng(4).normal(size=(6, 3)).astype("float32")
        y = tf.nn.softmax(tf.matmul(x, tf.constant(w)), name="y")
    (folder / "frozen.pb").write_bytes(graph.as_graph_def().SerializeToString())
    given = np.random.default_rng(5).normal(size=(2, 6)).astype("float32")
    e = np.exp(given @ w)
    for words in ([], ["--inputs", "x", "--outputs", "y"], ["--inputs", "x:0", "--outputs", "y:0"]):
        cranelite.must("convert", "frozen.pb", "-o", "f.tflite", *words)
        ours, _ = answers(cranelite, folder / "f.tflite", {"x": given})
        error = float(np.max(np.abs(ours["y"] - e / e.sum(axis=1, keepdims=True))))
        if not error < 1e-6:
            fail(f"frozen.pb {words}: error {error}")
    print("frozen graph: right", flush=True)


def folders(cranelite):
    """Images and sounds as calibration data."""
    folder = cranelite.folder
    random = np.random.default_rng(6)
    (folder / "images" / "a").mkdir(parents=True)
    for k in range(6):
        pixels = random.integers(0, 256, (40, 30, 3), dtype=np.uint8)
        image = tf.io.encode_png(pixels) if k % 2 else tf.io.encode_jpeg(pixels)
        (folder / "images" / "a" / f"{k}.{'png' if k % 2 else 'jpg'}").write_bytes(image.numpy())
    (folder / "sounds").mkdir()
    for k in range(4):
        with wave.open(str(folder / "sounds" / f"{k}.wav"), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", None))
            sound.writeframes(random.integers(-9000, 9000, 300 + 300 * k, dtype=np.int16).tobytes())
    models.cnn().save(folder / "grey.keras")
    models.resnet().save(folder / "colour.keras")
    keras.utils.set_random_seed(7)
    keras.Sequential([keras.layers.Input((800,)), keras.layers.Dense(4)]).save(folder / "sound.keras")
    for model, data, said in (
        ("grey", "images", "6 images of images, resized to 28 x 28, grey, values 0..255, since the model begins with a layer that rescales"),
        ("colour", "images", "6 images of images, resized to 32 x 32, RGB, values 0..1 (--image-range says otherwise)"),
        ("sound", "sounds", "4 WAV files of sounds, 8000 Hz, cut or padded to 800 samples, values -1..1"),
    ):
        out = cranelite("convert", f"{model}.keras", "-o", "q.tflite", "--quantize", "int8", "--calibrate", data)
        if out.returncode or f"note: calibration: {said}\n" not in out.stderr:
            fail(f"{model} {data}: {out.stderr}")
    scale, zero = 0, 0
    out = cranelite("convert", "colour.keras", "-o", "q.tflite", "--quantize", "int8", "--calibrate", "images", "--image-range", "-1..1")
    if out.returncode == 0:
        scale, zero = reference(folder / "q.tflite").get_input_details()[0]["quantization"]
    if not 1.8 < scale * 255 < 2.01 or abs(zero) > 2:
        fail(f"--image-range: scale {scale}, zero point {zero}: {out.stderr}")
    print("folders of images and sounds: right", flush=True)


@keras.saving.register_keras_serializable("own")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def refusals(cranelite):
    """Everything that can be wrong has one message."""
    folder = cranelite.folder
    L = keras.layers
    model = keras.Sequential([L.Input((4, 3), name="x"), L.Flatten(), L.Dense(2)])
    model.save(folder / "m.keras")
    model.save_weights(folder / "m.weights.h5")
    (folder / "cut.keras").write_bytes((folder / "m.keras").read_bytes()[:1000])
    (folder / "cut.pb").write_bytes(b"\x0a\x10abc")
    (folder / "cut.pt2").write_bytes(b"PK\x03\x04abc")
    (folder / "cut").mkdir()
    (folder / "cut" / "saved_model.pb").write_bytes(b"\x08\x01abc")
    (folder / "folder").mkdir()
    keras.Sequential([L.Input((4,)), Twice()]).save(folder / "own.keras")
    keras.Sequential([L.Input((4,)), L.Lambda(lambda x: x + 1)]).save(folder / "lambda.keras")
    keras.Sequential([L.Input((None, 3), name="x"), L.LSTM(4)]).save(folder / "open.keras")

    class Select(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
        def call(self, x):
            return {"y": tf.linalg.eigh(tf.reshape(x, [2, 2]))[0]}

    module = Select()
    tf.saved_model.save(module, str(folder / "select"), signatures={"serving_default": module.call})

    class Loop(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
        def call(self, x):
            return {"y": tf.while_loop(lambda y: tf.reduce_sum(y) < 10.0, lambda y: (y + 1.0,), (x,))[0]}

    module = Loop()
    tf.saved_model.save(module, str(folder / "loop"), signatures={"serving_default": module.call})
    np.savez(folder / "loop.npz", x=np.ones((3, 4), "float32"))
    a = np.zeros((5, 4, 3), "float32")
    nan = a.copy()
    nan[3, 0, 0] = np.nan
    for name, arrays in {
        "good": {"x": a},
        "name": {"y": a},
        "shape": {"x": a[:, :, :2]},
        "type": {"x": a.astype("complex64")},
        "text": {"x": np.array(["a", "b"])},
        "objects": {"x": np.array([None, {}], dtype=object)},
        "empty": {"x": a[:0]},
        "nan": {"x": nan},
        "none": {},
        "more": {"x": a, "z": a},
    }.items():
        np.savez(folder / f"{name}.npz", **arrays)
    (folder / "broken.npz").write_bytes(b"PK\x03\x04broken")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "1.png").write_bytes(b"\x89PNG")
    int8 = ["--quantize", "int8", "--calibrate"]
    for words, code, said in (
        (["missing.keras"], "E0502", ["cannot read missing.keras"]),
        (["cut.keras"], "E0101", ["the Keras model cannot be read: "]),
        (["m.weights.h5"], "E0101", ["the Keras model cannot be read: ", "weights alone"]),
        (["cut.pb"], "E0101", ["cut.pb is no frozen graph"]),
        (["cut"], "E0101", ["the SavedModel cannot be read: "]),
        (["folder"], "E0502", ["saved_model.pb"]),
        (["own.keras"], "E0507", ["of its own", "Twice", "model.export"]),
        (["lambda.keras"], "E0507", ["Lambda layer", "model.export"]),
        (["open.keras"], "E0105", ['input "x" has an open dimension', "[?, ?, 3]", "--input-shape x=1,N,3"]),
        (["select"], "E0507", ["operators of TensorFlow that .tflite models do not have: SelfAdjointEigV2"]),
        (["loop", *int8, "loop.npz"], "E0507", ["the model has a loop", "int8", "--quantize dynamic"]),
        (["m.keras", "--inputs", "x"], "E0507", ["--inputs and --outputs are for frozen graphs"]),
        (["m.keras", "--input-shape", "z=1,2"], "E0501", ['the model has no input "z"', '"x" [?, 4, 3] of float32']),
        (["m.keras", "--input-shape", "x=1,5,3"], "E0105", ['input "x" cannot have this shape', "[?, 4, 3]", "[1, 5, 3]"]),
        (["m.keras", *int8, "missing.npz"], "E0502", ["missing.npz"]),
        (["m.keras", *int8, "name.npz"], "E0501", ["not those of the model's inputs", '"x" [1, 4, 3] of float32', '"y" [5, 4, 3]']),
        (["m.keras", *int8, "more.npz"], "E0501", ["not those of the model's inputs", '"z" [5, 4, 3]']),
        (["m.keras", *int8, "none.npz"], "E0501", ["no array"]),
        (["m.keras", *int8, "shape.npz"], "E0501", ['samples for input "x" have another shape', "[samples, 4, 3]", "[5, 4, 2]"]),
        (["m.keras", *int8, "type.npz"], "E0501", ["another element type", "float32", "complex64"]),
        (["m.keras", *int8, "text.npz"], "E0501", ["another shape"]),
        (["m.keras", *int8, "objects.npz"], "E0501", ["no .npz file of numbers"]),
        (["m.keras", *int8, "empty.npz"], "E0501", ["no samples", "[0, 4, 3]"]),
        (["m.keras", *int8, "nan.npz"], "E0501", ["1 of 5 samples", "NaN", "sample 3"]),
        (["m.keras", *int8, "broken.npz"], "E0501", ["no .npz file of numbers"]),
        (["m.keras", *int8, "folder"], "E0501", ["0 images and 0 WAV files"]),
        (["m.keras", *int8, "pictures"], "E0501", ["images are no samples", '"x" [1, 4, 3] of float32']),
        (["m.keras", "--quantize", "int8"], None, ["need --calibrate"]),
        (["m.keras", "--calibrate", "good.npz"], None, ["--calibrate is for --quantize int8 and int16x8 alone"]),
    ):
        out = cranelite("convert", *words, "-o", "no.tflite")
        start = f"error[{code}]: " if code else "error: "
        lines = out.stderr.splitlines()
        errors = [line for line in lines if line.startswith("error")]
        is_told = out.returncode == (1 if code else 2) and len(errors) == 1 and errors[0].startswith(start) and all(s in out.stderr for s in said)
        if not is_told or "Traceback" in out.stderr or (folder / "no.tflite").exists() or 16 < len(lines):
            fail(f"{' '.join(words)}: {out.returncode}\n{out.stderr}")
    # What has a way out has it.
    cranelite.must("convert", "open.keras", "-o", "yes.tflite", "--input-shape", "x=1,7,3")
    cranelite.must("compile", "open.keras", "-o", "objects", "--input-shape", "x=1,7,3")
    cranelite.must("check", "m.keras", "a_saved" if (folder / "a_saved").exists() else "m.keras")
    print("refusals: told", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cranelite", default=ROOT / "target/release/cranelite", type=pathlib.Path)
    parser.add_argument("--only", help="names of models, or formats, folders, refusals")
    parser.add_argument("--kinds", help=f"quantisations, of {', '.join(KINDS)}")
    parser.add_argument("--quick", action="store_true", help="a small sample")
    args = parser.parse_args()
    parts = {"formats": formats, "folders": folders, "refusals": refusals}
    chosen = args.only.split(",") if args.only else ["cnn", "two_inputs"] if args.quick else [*models.ALL, *parts]
    kinds = args.kinds.split(",") if args.kinds else ("float", "int8") if args.quick else KINDS
    table = []
    with tempfile.TemporaryDirectory() as folder:
        cranelite = Program(args.cranelite.resolve(), pathlib.Path(folder))
        print("model          kind     max. error  of largest    reference      bytes      s")
        for name in chosen:
            if name in parts:
                parts[name](cranelite)
            else:
                one(cranelite, name, kinds, table)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

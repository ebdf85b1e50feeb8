"""LiteRT on the inputs of `cranelite bench`, in turn with it: the folder has model.tflite, inputs and request.json, and gets answer.json and outputs.

Each line "ready N" says that round N can begin: it is timed once the file go.N is there, so that only one of the two programs works at a time."""

import json
import os
import sys
import time

folder = os.environ["CRANELITE_FOLDER"]


def path(name):
    return os.path.join(folder, name)


try:
    import ai_edge_litert
    from ai_edge_litert.interpreter import Interpreter

    package, module = "ai_edge_litert", ai_edge_litert
except ModuleNotFoundError:
    try:
        import tensorflow

        Interpreter, package, module = tensorflow.lite.Interpreter, "tensorflow.lite", tensorflow
    except (ModuleNotFoundError, AttributeError):
        raise ModuleNotFoundError("No module named 'ai_edge_litert'") from None
import numpy


def version():
    if hasattr(module, "__version__"):
        return module.__version__
    from importlib.metadata import PackageNotFoundError, version as of

    for name in ("ai-edge-litert", "ai-edge-litert-nightly"):
        try:
            return of(name)
        except PackageNotFoundError:
            pass
    return ""


with open(path("request.json")) as file:
    request = json.load(file)
interpreter = Interpreter(model_path=path("model.tflite"), num_threads=request["threads"])
details = {d["index"]: d for d in interpreter.get_input_details()}
for given in request["inputs"]:
    if list(details[given["index"]]["shape"]) != given["shape"]:
        interpreter.resize_tensor_input(given["index"], given["shape"])
interpreter.allocate_tensors()


def set_inputs():
    for given in request["inputs"]:
        data = numpy.fromfile(path(given["file"]), dtype=details[given["index"]]["dtype"])
        interpreter.set_tensor(given["index"], data.reshape(given["shape"]))


set_inputs()
interpreter.invoke()
shapes = []
for i, detail in enumerate(interpreter.get_output_details()):
    output = interpreter.get_tensor(detail["index"])
    output.tofile(path("output.%d" % i))
    shapes.append(list(output.shape))


def seconds(runs):
    invoke, begin = interpreter.invoke, time.perf_counter()
    for _ in range(runs):
        invoke()
    return time.perf_counter() - begin


# As in `bench`: short calls are timed in batches.
batch = 1
while seconds(batch) < 40e-6:
    batch *= 2
rounds, runs = [], 0
for n in range(request["rounds"]):
    print("ready %d %s" % (n, path("go.%d" % n)), flush=True)
    while not os.path.exists(path("go.%d" % n)):
        time.sleep(0.0005)
    begin, samples = time.perf_counter(), []
    while time.perf_counter() - begin < request["seconds"] or len(samples) < 5:
        samples.append(seconds(batch) * 1e6 / batch)
    samples.sort()
    rounds.append(samples[len(samples) // 2])
    runs += batch * len(samples)
with open(path("answer.json"), "w") as file:
    json.dump({"package": package, "version": version(), "rounds_us": rounds, "runs": runs, "shapes": shapes}, file)

"""Random models, LiteRT's reference kernels against ours: integers must be equal, floats within what rounding explains.

    run.py [--first SEED] [--count N] [--minutes M] [--cpu LEVEL,..] [--opt speed,size] [--save FOLDER]

needs `ai-edge-litert` and numpy. A model is its seed: the same seed gives the same model and inputs. Every model is compiled and run for each
pair of level and goal by tests/src/bin/run_many.rs in one process; LiteRT runs in another, since some models crash it. What differs is cut down to the
operators that matter and, with --save, written there as a model with inputs and expected outputs. Exit status 1 if anything differs
that known.py does not explain.
"""

import argparse
import collections
import io
import multiprocessing
import pathlib
import struct
import subprocess
import sys
import time

import numpy

import known
from generate import generate

HERE = pathlib.Path(__file__).resolve().parent


def reference(file, inputs, outputs):
    """LiteRT's outputs; an exception where it refuses."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
    # With all tensors preserved no result is computed in the place of an operand that is still needed.
    interpreter = Interpreter(model_content=file, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1,
                              experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    for details, array in zip(interpreter.get_input_details(), inputs):
        interpreter.set_tensor(details["index"], array)
    interpreter.invoke()
    return [numpy.asarray(interpreter.get_tensor(d["index"])) for d in interpreter.get_output_details()]


def serve(pipe):
    """Answers models with LiteRT's outputs, or the text of its refusal."""
    while True:
        file, inputs, outputs = pipe.recv()
        try:
            pipe.send(reference(file, inputs, outputs))
        except Exception as e:
            pipe.send(str(e))


def produce(pipe, seeds):
    """Sends every seed's model with LiteRT's outputs, or the text of its refusal."""
    for seed in seeds:
        model, inputs = generate(seed)
        file = model.file()
        try:
            expected = reference(file, inputs, model.outputs)
        except Exception as e:
            expected = str(e)
        errors = [model.tensors[o].error for o in model.outputs]
        pipe.send((file, inputs, expected, errors, [o.name for o in model.operators]))


class Process:
    """A process that may crash, with a pipe to it."""

    def __init__(self, target, *arguments):
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=target, args=(other, *arguments), daemon=True)
        self.process.start()
        other.close()

    def ask(self, question):
        self.pipe.send(question)
        return self.pipe.recv()

    def stop(self):
        self.process.terminate()
        self.process.join()


class Ours:
    """The program that compiles and runs models."""

    def __init__(self, levels, goals):
        self.configurations = [f"{level} {goal}" for level in levels.split(",") for goal in goals.split(",")]
        self.command = [str(HERE.parents[1] / "target/release/run_many"), "--cpu", levels, "--opt", goals]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def answers(self, file, inputs):
        """For each configuration arrays, or a text that says what went wrong."""
        arrays = []
        for array in inputs:
            arrays.append(io.BytesIO())
            numpy.save(arrays[-1], array)
        frame = [file] + [a.getvalue() for a in arrays]
        answers = []
        try:
            self.process.stdin.write(struct.pack("<I", len(frame)) + b"".join(struct.pack("<I", len(p)) + p for p in frame))
            self.process.stdin.flush()
            for _ in self.configurations:
                answers.append(self.answer())
        except (OSError, struct.error):
            status = self.process.wait()
            self.start()
            answers += [f"crash: exit status {status}"] * (len(self.configurations) - len(answers))
        return answers

    def answer(self):
        number = lambda: struct.unpack("<I", self.process.stdout.read(4))[0]
        kind, *parts = [self.process.stdout.read(number()) for _ in range(number())]
        if kind == b"ok":
            return [numpy.load(io.BytesIO(p)) for p in parts]
        return f"{kind.decode()}: {parts[0].decode()}"


def difference(found, expected, errors):
    """None, or what is wrong with an answer."""
    if isinstance(found, str):
        return found
    if len(found) != len(expected):
        return f"{len(found)} outputs instead of {len(expected)}"
    for i, (f, e, error) in enumerate(zip(found, expected, errors)):
        if (f.dtype, f.shape) != (e.dtype, e.shape):
            return f"output {i} is {f.dtype}{list(f.shape)}, expected {e.dtype}{list(e.shape)}"
        wrong = f != e
        if f.dtype.kind == "f":
            wrong &= ~(numpy.isnan(f) & numpy.isnan(e))
            if error:
                wrong &= numpy.isinf(f) | numpy.isinf(e) | ~(numpy.abs(f - e) <= error + 1e-5 * numpy.abs(e))
        if wrong.any():
            at = tuple(int(i) for i in numpy.argwhere(wrong)[0])
            return f"output {i}: {wrong.sum()} of {wrong.size} differ; at {list(at)} {f[at]} instead of {e[at]}, allowed {error:.3g}"
    return None


class Cutter:
    """Finds a small part of a model that still goes wrong."""

    def __init__(self, ours):
        self.ours, self.litert = ours, Process(serve)

    def wrong(self, model, inputs):
        """(what each configuration does wrong, LiteRT's outputs)"""
        try:
            expected = self.litert.ask((model.file(), inputs, model.outputs))
        except EOFError:
            self.litert = Process(serve)
            return None, None
        if isinstance(expected, str):
            return None, None
        errors = [model.tensors[o].error for o in model.outputs]
        found = [difference(a, expected, errors) for a in self.ours.answers(model.file(), inputs)]
        return (found if any(found) else None), expected

    def cut(self, model, inputs):
        values = dict(zip(model.inputs, inputs))
        arrays = lambda part: [values[i] for i in part.inputs]
        # The first tensor that is wrong, with everything before it.
        for tensor in [o for operator in model.operators for o in operator.outputs]:
            part = model.cut([tensor])
            found, expected = self.wrong(part, arrays(part))
            if expected is not None:
                values[tensor] = expected[0]
            if found:
                model = part
                break
        # As much as possible becomes an input.
        for tensor in [o for operator in model.operators for o in operator.outputs if o not in model.outputs][::-1]:
            part = model.cut(model.outputs, known=[tensor])
            if tensor in values and part.operators and self.wrong(part, arrays(part))[0]:
                model = part
        return model, arrays(model), *self.wrong(model, arrays(model))


def save(folder, seed, model, inputs, expected):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{seed}.tflite").write_bytes(model.file())
    for kind, arrays in (("in", inputs), ("out", expected or [])):
        for i, array in enumerate(arrays):
            numpy.save(folder / f"{seed}.{kind}{i}.npy", array)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--cpu", default="x86-64,native")
    parser.add_argument("--opt", default="speed,size")
    parser.add_argument("--save", type=pathlib.Path)
    a = parser.parse_args()
    count = a.count or (10 ** 9 if a.minutes else 1000)
    ours, begin = Ours(a.cpu, a.opt), time.monotonic()
    counts, operators, failures, explained = collections.Counter(), collections.Counter(), [], collections.Counter()
    seed, producer = a.first, None
    while seed < a.first + count and not (a.minutes and a.minutes * 60 < time.monotonic() - begin):
        if producer is None:
            producer = Process(produce, range(seed, a.first + count))
        try:
            file, inputs, expected, errors, names = producer.pipe.recv()
        except EOFError:
            counts["LiteRT crashes"] += 1
            print(f"{seed}: LiteRT crashes", flush=True)
            producer, seed = None, seed + 1
            continue
        if isinstance(expected, str):
            counts["LiteRT refuses"] += 1
            explained[f"LiteRT: {expected.strip().splitlines()[-1][:150]}"] += 1
        else:
            counts["compared"] += 1
            operators.update(names)
            wrong = [difference(answer, expected, errors) for answer in ours.answers(file, inputs)]
            problems = {w for w in wrong if w}
            if problems:
                reasons = {known.reason(p, names) for p in problems}
                if None in reasons:
                    failures.append(seed)
                    print(f"{seed}: " + "; ".join(f"{c}: {w}" for c, w in zip(ours.configurations, wrong) if w), flush=True)
                else:
                    explained.update(reasons)
        seed += 1
    if producer:
        producer.stop()
    minutes = (time.monotonic() - begin) / 60
    for failure in failures[:30]:
        model, inputs, found, expected = Cutter(ours).cut(*generate(failure))
        print(f"\nseed {failure}, cut to what matters:\n{model.describe()}")
        for configuration, wrong in zip(ours.configurations, found or []):
            print(f"  {configuration}: {wrong or 'right'}")
        if a.save:
            save(a.save, failure, model, inputs, expected)
    print(f"seeds {a.first} to {seed - 1}, {', '.join(ours.configurations)}: {dict(counts)}, {counts['compared'] / minutes:.0f} models a minute")
    print("operators compared:", ", ".join(f"{name} {n}" for name, n in sorted(operators.items())))
    for text, n in explained.most_common(20):
        print(f"  {n} × {text}")
    print(f"{len(failures)} failures" + (f", of seeds {failures[:50]}" if failures else ""))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""XNNPACK's sparse inference beside our sparse products, on one thread.

    tests/sparse/xnnpack.py [MODEL.tflite|.zip ...] [--cranelite PROGRAM] [--zeros KIND,...] [--rounds N] [--aarch64 LIBRARY] [--size N] [--quick]

XNNPACK computes 1x1 convolutions of floats by lists of what is not zero, with channels outermost in memory, where all of this holds
(src/subgraph.c, xnn_subgraph_rewrite_for_nchw, and TensorFlow Lite's xnnpack_delegate.cc):
- a weight comes through a DENSIFY operator from a sparse tensor of the format;
- a 3x3 convolution of stride 2 over 3 channels begins the part, then 1x1 convolutions without stride, depthwise ones of 3x3 or 5x5, ADD, MUL
  and activations follow, and a mean over the image ends it; all pad by the same on all sides, so that windows of stride 2 need a PAD;
- more than two thirds of the weights of its 1x1 convolutions are zero;
- and the processor has no AVX: on x86-64 its sparse kernels use SSE only.
So a processor without AVX is pretended by making CPUID fault (no_avx.c), and the same model is also timed without that, where XNNPACK does not
switch. `--aarch64 libLiteRt.so` counts instructions exactly under QEMU instead: the library is the one in the wheel for that machine, got by

    pip download --no-deps --only-binary=:all: --platform manylinux_2_27_aarch64 --python-version 311 ai-edge-litert

The model is MobileNetV2 with random weights, pruned by magnitude; models given are run as they are. Our times are of the same process in turns.
`--quick`: a small image, one kind of zeros, few calls. Exit status 1 if an answer differs by more than a thousandth of the largest.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy

import models
import tflite
from answers import difference
from build import Counter, Failed, Library, interleaved, run

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ALLOWED = 1e-3


class XnnPack:
    """A model in LiteRT with its default delegate."""

    def __init__(self, file, inputs):
        from ai_edge_litert.interpreter import Interpreter
        self.interpreter = Interpreter(model_content=file, num_threads=1)
        self.interpreter.allocate_tensors()
        for d, array in zip(self.interpreter.get_input_details(), inputs):
            self.interpreter.set_tensor(d["index"], array)

    def seconds(self, calls):
        start = time.perf_counter()
        for _ in range(calls):
            self.interpreter.invoke()
        return time.perf_counter() - start

    def answers(self):
        self.seconds(1)
        return [self.interpreter.get_tensor(d["index"]) for d in self.interpreter.get_output_details()]


def input_of(file):
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(model_content=file)
    random = numpy.random.default_rng(3)
    return [random.normal(size=d["shape"]).astype(d["dtype"]) for d in interpreter.get_input_details()]


def variants(options):
    """(name, zeros, file for us, file for XNNPACK); the dense one first"""
    dense = models.MobileNetV2(options.size).file()
    yield "mobilenet_v2", "dense", dense, dense
    for kind in options.zeros:
        file, _ = tflite.pruned(dense, kind)
        yield "mobilenet_v2", kind, file, tflite.densified(file)
    for path in options.models:
        file = tflite.load(path)
        yield path.stem, "own", file, file


def print_table(unit, rows):
    print(f"{'model':36} {'zeros':>6} {f'XNNPACK {unit}':>16} {f'ours {unit}':>14} {'XNNPACK over':>13} {'ours over':>10} {'ours beside':>12}")
    print(f"{'':36} {'':>6} {'':>16} {'':>14} {'its dense':>13} {'its dense':>10} {'XNNPACK':>12}")
    dense = rows[0]
    for name, kind, theirs, ours in rows:
        over = [f"{dense[2] / theirs:.2f}", f"{dense[3] / ours:.2f}"] if name == dense[0] else ["-", "-"]
        print(f"{name[:36]:36} {kind:>6} {theirs:16,.1f} {ours:14,.1f} {over[0]:>13} {over[1]:>10} {theirs / ours:12.2f}", flush=True)


def on_host(options, level, note):
    print(f"\n{note}")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    names, calls = [], []
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, kind, file, theirs) in enumerate(variants(options)):
            inputs = input_of(file)
            other = XnnPack(theirs, inputs)
            library = Library(options.cranelite, file, pathlib.Path(folder) / str(i), level, ["--no-cpu-check"])
            library.feed(inputs)
            expected = other.answers()
            check(name, kind, library.answers(expected), expected)
            names.append((name, kind))
            # Both keep their memory.
            calls += [other.seconds, library.seconds]
        times = [1e6 * t for t in interleaved(calls, options.rounds)]
    print_table("us", [(*names[i], times[2 * i], times[2 * i + 1]) for i in range(len(names))])


failures = []


def check(name, kind, ours, theirs):
    wrong = difference(ours, theirs, ALLOWED)
    if wrong:
        failures.append(f"{name}, {kind}: {wrong}")
        print(f"WRONG {failures[-1]}")


def on_arm(options):
    """XNNPACK reads what processors there are from files that describe this machine's, so others are put before them."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        counter = Counter(folder)
        cpu = folder / "root/sys/devices/system/cpu"
        cpu.mkdir(parents=True)
        for file in ("possible", "present", "kernel_max"):
            (cpu / file).write_text("0\n")
        (folder / "root/proc").mkdir()
        features = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
        core = "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\n"
        (folder / "root/proc/cpuinfo").write_text(f"processor\t: 0\nFeatures\t: {features}\n{core}")
        (folder / "root/lib").symlink_to("/usr/aarch64-linux-gnu/lib")
        run("aarch64-linux-gnu-gcc", "-O2", HERE / "litert.c", "-o", folder / "litert", "-ldl")
        rows = []
        for i, (name, kind, file, theirs) in enumerate(variants(options)):
            inputs = input_of(file)
            (folder / "in").write_bytes(inputs[0].tobytes())
            (folder / "m.tflite").write_bytes(theirs)
            counts = [counter.count([folder / "litert", options.aarch64.resolve(), folder / "m.tflite", n, folder / "in", folder / "out"],
                                    cpu="cortex-a76", root=folder / "root")[0] for n in (1, 2)]
            expected = [numpy.frombuffer((folder / "out").read_bytes(), "<f4")]
            ours, answers = counter.of_call(options.cranelite, file, folder / str(i), "generic+dotprod", inputs, expected)
            check(name, kind, answers, expected)
            rows.append((name, kind, (counts[1] - counts[0]) / 1e3, ours / 1e3))
    print("\naarch64 (Cortex-A76 under QEMU), instructions of one call")
    print_table("k instr.", rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    parser.add_argument("--cranelite", default=ROOT / "target/release/cranelite", type=pathlib.Path)
    parser.add_argument("--zeros", default=list(tflite.ZEROS), type=lambda s: s.split(","))
    parser.add_argument("--size", type=int, default=224, help="of the image")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--aarch64", type=pathlib.Path, metavar="libLiteRt.so")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--without-avx", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.size, options.zeros, options.rounds = 64, ["75"], 2
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError:
        print("skipped: ai-edge-litert is not installed")
        sys.exit(0)
    if options.aarch64:
        on_arm(options)
    elif options.without_avx:
        # The compilers that are run need no such pretence.
        os.environ.pop("LD_PRELOAD", None)
        on_host(options, "x86-64-v2", "x86-64-v2: a processor without AVX, where XNNPACK is sparse")
    else:
        on_host(options, "native", "this processor, where XNNPACK is not sparse if it has AVX")
        with tempfile.TemporaryDirectory() as folder:
            library = pathlib.Path(folder) / "no_avx.so"
            run("cc", "-O2", "-shared", "-fPIC", HERE / "no_avx.c", "-o", library)
            sys.stdout.flush()
            done = subprocess.run([sys.executable, *sys.argv, "--without-avx"], env={**os.environ, "LD_PRELOAD": str(library)})
            if done.returncode == 77:
                print("skipped: CPUID cannot be made to fault here, so AVX cannot be hidden from XNNPACK")
            elif done.returncode != 0:
                failures.append("without AVX")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    try:
        main()
    except Failed as e:
        sys.exit(str(e))

#!/usr/bin/env python3
"""Products whose weights are mostly zeros beside the same products dense: are the answers right, and how much faster are they?

    tests/sparse/run.py [MODEL.tflite|.zip ...] [--cranelite PROGRAM] [--cpu LEVEL,...] [--types TYPE,...] [--only TEXT] [--zeros KIND,...]
                        [--rounds N] [--aarch64] [--quick] [--json FILE]

Layers of one product (a 1x1 convolution, FULLY_CONNECTED; f32, int8, int16x8, and hybrid: weights of 8 bits, floats otherwise), MobileNetV2
of floats, and the models given are pruned by magnitude: 50, 75 and 87.5 % of the weights wherever they are, and 2:4, 1:4, 1:8 (all but 2 of
any 4 neighbours along the input channels). Answers are compared with LiteRT's reference kernels; times are the least of many, dense and
sparse in turns in one process, at the same level of the CPU. `--aarch64` counts instructions under QEMU instead, exactly, without and
with dot products. `--quick` compares answers on a few models and times nothing.

Needs numpy, flatbuffers and ai-edge-litert, a C compiler, and for --aarch64 Debian's qemu-user and gcc-aarch64-linux-gnu. Exit status 1 if an
answer is wrong, or anything pruned is more than 3 % slower than dense (with --aarch64: needs more than 1 % more instructions).
"""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile

import models
import tflite
from answers import difference, reference
from build import Counter, Failed, Library, interleaved

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARM_LEVELS = ("generic", "generic+dotprod")
NOISE, ARM_NOISE = 1.03, 1.01
# How far floats may be from the reference's: sums in another order; and 8 bits of activations that are rounded otherwise.
ALLOWED = {"f32": 2e-5, "hybrid": 2e-2}


class Case:
    """A model dense and pruned: files by kind of zeros, with the shares of zeros that they have."""

    def __init__(self, name, files, shares, inputs, allowed):
        self.name, self.files, self.shares, self.inputs, self.allowed = name, files, shares, inputs, allowed


def cases(options):
    kinds = ["dense", *options.zeros, *(tflite.CORNERS if options.quick else ())]
    layers = models.SMALL if options.quick else models.LAYERS
    for name, (shape, channels) in layers.items():
        for type in options.types:
            if options.only and options.only not in f"{name} {type}":
                continue
            made = {kind: models.layer(name, shape, channels, type, kind) for kind in kinds}
            yield Case(f"{name} {type}", {k: m[0] for k, m in made.items()}, {}, made["dense"][1], ALLOWED.get(type, 0))
    whole = {path.stem: tflite.load(path) for path in options.models}
    if not options.quick and "f32" in options.types:
        whole = {"mobilenet_v2 f32 (made here)": models.MobileNetV2().file(), **whole}
    for name, data in whole.items():
        if options.only and options.only not in name:
            continue
        made = {kind: tflite.pruned(data, kind) if kind != "dense" else (data, 0) for kind in kinds}
        # Floats differ more after many layers; integers must be equal.
        yield Case(name, {k: m[0] for k, m in made.items()}, {k: m[1] for k, m in made.items()}, None, ALLOWED["hybrid"] if "dyn" in name else 1e-3)


class Table:
    def __init__(self, unit, noise):
        self.unit, self.noise, self.rows, self.failures = unit, noise, [], []
        print(f"{'model':44} {'level':18} {'zeros':>6} {f'dense {unit}':>14} {f'sparse {unit}':>14} {'ratio':>6}")

    def row(self, case, level, kind, dense, sparse, same_code):
        """`same_code`: nothing is skipped, so that what is measured is noise."""
        ratio = dense / sparse if sparse else 0
        slower = self.is_slower(dense, sparse) and not same_code
        notes = ["SLOWER"] * slower + ["as dense"] * same_code
        if ":" in kind and kind in case.shares:
            notes.append(f"{100 * case.shares[kind]:.1f} % zeros")
        print(f"{case.name[:44]:44} {level:18} {kind:>6} {dense:14,.2f} {sparse:14,.2f} {ratio:6.2f}  {', '.join(notes)}".rstrip(), flush=True)
        if slower:
            self.failures.append(f"{case.name} at {level}, {kind}: {ratio:.2f} of dense")
        self.rows.append({"model": case.name, "level": level, "zeros": kind, "unit": self.unit, "dense": dense, "sparse": sparse, "ratio": ratio,
                          "as_dense": same_code})

    def is_slower(self, dense, sparse):
        return sparse > dense * self.noise

    def wrong(self, text):
        self.failures.append(text)
        print(f"WRONG {text}", flush=True)


def on_host(case, level, options, folder, table):
    libraries = {}
    for kind, file in case.files.items():
        library = Library(options.cranelite, file, folder / kind.replace(":", "of"), level, options.compile)
        inputs, expected = case.expected[kind]
        library.feed(inputs)
        wrong = difference(library.answers(expected), expected, case.allowed)
        if wrong:
            table.wrong(f"{case.name} at {level}, {kind}: {wrong}")
        libraries[kind] = library
    if options.quick:
        own = sum(l.report["code_bytes"] != libraries["dense"].report["code_bytes"] for l in libraries.values())
        print(f"{case.name[:44]:44} {level:18} answers compared: {len(libraries)}, code of their own: {own}", flush=True)
        return
    times = dict(zip(libraries, interleaved([l.seconds for l in libraries.values()], options.rounds)))
    for kind in options.zeros:
        pair = times["dense"], times[kind]
        if table.is_slower(*pair):
            # Once more, for longer.
            again = interleaved([libraries["dense"].seconds, libraries[kind].seconds], 3 * options.rounds)
            pair = [min(p) for p in zip(pair, again)]
        same = libraries[kind].report["code_bytes"] == libraries["dense"].report["code_bytes"]
        table.row(case, level, kind, pair[0] * 1e6, pair[1] * 1e6, same)


def on_arm(case, level, options, folder, table, counter):
    counts = {}
    for kind, file in case.files.items():
        inputs, expected = case.expected[kind]
        counts[kind], answers = counter.of_call(options.cranelite, file, folder / kind.replace(":", "of"), level, inputs, expected)
        wrong = difference(answers, expected, case.allowed)
        if wrong:
            table.wrong(f"{case.name} on aarch64 {level}, {kind}: {wrong}")
    for kind in options.zeros:
        table.row(case, level, kind, counts["dense"] / 1e3, counts[kind] / 1e3, counts["dense"] == counts[kind])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    parser.add_argument("--cranelite", default=ROOT / "target/release/cranelite", type=pathlib.Path)
    parser.add_argument("--compile", default=[], type=str.split, metavar="OPTIONS", help="more options of `cranelite compile`, of all models")
    parser.add_argument("--cpu", type=lambda s: s.split(","), metavar="LEVEL,...", help="by default native; for --aarch64 generic,generic+dotprod")
    parser.add_argument("--types", default=list(models.TYPES), type=lambda s: s.split(","))
    parser.add_argument("--zeros", default=list(tflite.ZEROS), type=lambda s: s.split(","))
    parser.add_argument("--only", help="models whose name has this text")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--aarch64", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError:
        print("skipped: ai-edge-litert is not installed")
        sys.exit(0)
    if not options.aarch64 and not options.quick:
        # One processor for all, so that turns are fair.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    levels = options.cpu or list(ARM_LEVELS if options.aarch64 else ["native"])
    table = Table("k instr." if options.aarch64 else "us", ARM_NOISE if options.aarch64 else NOISE)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        counter = Counter(folder) if options.aarch64 else None
        for number, case in enumerate(cases(options)):
            case.expected = {kind: reference(file, case.inputs) for kind, file in case.files.items()}
            for level in levels:
                place = folder / f"{number} {level}"
                try:
                    if options.aarch64:
                        on_arm(case, level, options, place, table, counter)
                    else:
                        on_host(case, level, options, place, table)
                except Failed as e:
                    table.wrong(f"{case.name} at {level}: {e}")
                shutil.rmtree(place, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(table.rows, indent=1))
    for failure in table.failures:
        print(f"FAILED: {failure}")
    print(f"{len(table.rows)} figures, {len(table.failures)} failures")
    sys.exit(1 if table.failures else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Bytes of constants: dense, in each way of `cranelite compile --compress`, and what order-0 entropy says is the least; and what decoding costs.

    tests/sparse/bytes.py MODEL.tflite|.zip ... [--cranelite PROGRAM] [--cpu LEVEL] [--rounds N] [--prune KIND] [--quick] [--json FILE]

needs numpy, flatbuffers and a C compiler; LiteRT is not needed: answers must be those of the same model without --compress, bit for bit, and are
compared on random inputs. The entropy is computed here from the tensors of the file: for each, the fewest of the entropy of its numbers, with a
list of those that occur where they are wider than a byte, and of the bytes at each place in the numbers; tables of codes are not counted.
zlib is what level 9 makes of each tensor. The share of decoding is what a call takes longer than without, least of many calls in turns.
Exit status 1 if an answer differs or a model is larger than without. `--prune` prunes first; `--quick` times nothing.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import zlib

import numpy

import tflite
from build import Failed, Library, interleaved, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
WAYS = ("constants", "constants=fastest", "constants=smallest")


def entropy_bytes(symbols):
    """Of a memoryless source of these symbols."""
    counts = numpy.unique(symbols, return_counts=True)[1]
    return float(-(counts * numpy.log2(counts / symbols.size)).sum() / 8)


def bound(elements):
    flat = elements.reshape(-1)
    width = flat.dtype.itemsize
    numbers = numpy.ascontiguousarray(flat).view(f"u{width}")
    planes = numpy.ascontiguousarray(flat).view("u1").reshape(-1, width)
    listed = 0 if width == 1 else numpy.unique(numbers).size * width
    return min(entropy_bytes(numbers) + listed, sum(entropy_bytes(planes[:, i]) for i in range(width)))


def of_file(data):
    """Bytes of the constants as the file has them, the bound, and zlib's"""
    constants = list(tflite.File(data).constants())
    packed = sum(min(e.nbytes, len(zlib.compress(e.tobytes(), 9))) for _, e in constants)
    return sum(stored for stored, _ in constants), round(sum(min(e.nbytes, bound(e)) for _, e in constants)), packed


def fill(library, seed=5):
    random = numpy.random.default_rng(seed)
    for i, about in enumerate(library.report["inputs"]):
        count, width = int(numpy.prod(about["shape"])), about["bytes"] // max(1, int(numpy.prod(about["shape"])))
        if about["type"] == "f32":
            x = random.normal(size=count).astype("f4")
        elif about["type"] in ("i8", "u8", "i16"):
            x = random.integers(0, 256 ** width, count).astype(f"u{width}")
        else:
            # What may be an index.
            x = numpy.zeros(count, f"u{width}") if width else numpy.zeros(0, "u1")
        library.memory("input", i)[:] = list(x.tobytes())


def outputs(library):
    library.seconds(1)
    return [bytes(library.memory("output", i)) for i in range(len(library.report["outputs"]))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--cranelite", default=ROOT / "target/release/cranelite", type=pathlib.Path)
    parser.add_argument("--cpu", default="native")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--prune", choices=tflite.ZEROS + tflite.CORNERS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    ways = WAYS if b"--compress" in run(options.cranelite, "compile", "--help") else ()
    if not ways:
        print("this cranelite has no --compress: only entropies are shown")
    if not options.quick:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows, failures = [], []
    print(f"{'model':40} {'in the file':>11} {'entropy':>9} {'zlib':>9}   {'way':20} {'constants':>10} {'of dense':>8} {'arena':>9} {'prepared':>9} "
          f"{'us':>10} {'decoding':>8}")
    for path in options.models:
        data = tflite.load(path)
        if options.prune:
            data, _ = tflite.pruned(data, options.prune)
        stored, least, zipped = of_file(data)
        row = {"model": path.stem, "file_bytes": stored, "entropy_bytes": least, "zlib_bytes": zipped, "ways": {}}
        with tempfile.TemporaryDirectory() as folder:
            libraries, expected = {}, None
            for way in ("dense", *ways):
                try:
                    library = Library(options.cranelite, data, pathlib.Path(folder) / way, options.cpu, ["--compress", way] if way != "dense" else [])
                except Failed as e:
                    failures.append(f"{path.stem}, {way}: {e}")
                    continue
                fill(library)
                found = outputs(library)
                expected = expected or found
                if found != expected:
                    failures.append(f"{path.stem}, {way}: other answers than without --compress")
                if libraries and library.report["const_bytes"] > libraries["dense"].report["const_bytes"]:
                    failures.append(f"{path.stem}, {way}: more bytes than without")
                libraries[way] = library
            calls = [library.seconds for library in libraries.values()]
            times = interleaved(calls, options.rounds) if calls and not options.quick else [0.0] * len(calls)
            start = f"{path.stem[:40]:40} {stored:11,} {least:9,} {zipped:9,}"
            for (way, library), time in zip(libraries.items(), times):
                report, dense = library.report, libraries["dense"].report["const_bytes"]
                once = library.prepare_seconds()
                share = once / times[0] if once and time else time / times[0] - 1 if time else 0
                sizes = {key: report[key] for key in ("const_bytes", "arena_bytes")}
                groups = report.get("compressed", {}).get("groups", [])
                row["ways"][way] = {**sizes, "prepared_bytes": library.prepared_bytes(), "us": 1e6 * time, "decoding_share": share, "groups": groups}
                decoding = f"{100 * share:7.1f}%{' once' if once else ''}" if time and way != "dense" else f"{'-':>8}"
                print(f"{start}   {way:20} {report['const_bytes']:10,} {100 * report['const_bytes'] / dense:7.1f}% "
                      f"{report['arena_bytes']:9,} {library.prepared_bytes():9,} {1e6 * time:10,.1f} {decoding}", flush=True)
                start = " " * len(start)
            # What was made of which constants, the same in all ways but for those that are left as they are.
            for g in row["ways"].get(WAYS[0], {}).get("groups", []):
                packed = f"{g['bytes']:,} bytes in {g['packed_bytes']:,}, entropy of bytes {g['entropy_bytes']:,}"
                print(f"{'':6}{g['scheme']}: {g['constants']} of {packed}")
        rows.append(row)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    for failure in failures:
        print(f"FAILED: {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

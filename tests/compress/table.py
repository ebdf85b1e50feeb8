#!/usr/bin/env python3
"""Bytes of constants and times of models whose constants are packed.

    table.py CRANELITE MODEL.tflite... [--cpu LEVEL] [--quick]

For each model and each choice of --compress: constants as they are, packed and the entropy of their bytes (of what is packed), arena, prepared memory, and the time of a call
beside that of the plain model. --quick takes the first model and measures no times.
"""
import argparse
import json
import pathlib
import subprocess

CHOICES = ["constants", "constants=fastest", "constants=smallest", "constants=products"]


def cranelite(program, *words):
    return json.loads(subprocess.run([program, *words], check=True, capture_output=True, text=True).stdout)


def median_us(program, model, cpu, *words):
    return cranelite(program, "bench", model, "--json", "--min-ms", "300", "--cpu", cpu, *words)["min_us"]


def rows(program, model, cpu, is_timed):
    plain = cranelite(program, "inspect", model, "--json", "--cpu", cpu)
    plain_us = median_us(program, model, cpu) if is_timed else None
    yield "as they are", plain["const_bytes"], None, plain["arena_bytes"], 0, plain_us, ""
    for how in CHOICES:
        made = cranelite(program, "inspect", model, "--json", "--cpu", cpu, "--compress", how)
        packed = made["compressed"]
        bound = made["const_bytes"] - sum(g["packed_bytes"] - g["entropy_bytes"] for g in packed["groups"])
        prepared = next(c["prepared_bytes"] for c in packed["choices"] if c["how"] == how)
        schemes = {}
        for g in packed["groups"]:
            kind = next((kind for kind in ("entropy", "palette", "half floats") if g["scheme"].startswith(kind)), "bits")
            before, after = schemes.get(kind, (0, 0))
            schemes[kind] = (before + g["bytes"], after + g["packed_bytes"])
        about = ", ".join(f"{kind} {before} -> {after}" for kind, (before, after) in sorted(schemes.items()))
        us = median_us(program, model, cpu, "--compress", how) if is_timed else None
        assert made["const_bytes"] <= plain["const_bytes"], (model, how)
        yield how, made["const_bytes"], bound, made["arena_bytes"], prepared, us, about


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cranelite")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--cpu", default="native")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    print("| model | choice | constants | with entropy of what is packed | arena | prepared | µs | schemes: bytes before and after |")
    print("|---|---|--:|--:|--:|--:|--:|---|")
    for model in args.models[:1] if args.quick else args.models:
        for how, const, bound, arena, prepared, us, about in rows(args.cranelite, model, args.cpu, not args.quick):
            us = "" if us is None else f"{us:.0f}"
            print(f"| {pathlib.Path(model).stem} | {how} | {const} | {'' if bound is None else bound} | {arena} | {prepared or ''} | {us} | {about} |", flush=True)


if __name__ == "__main__":
    main()

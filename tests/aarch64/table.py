#!/usr/bin/env python3
"""Instructions and modelled cycles of one inference on cores of 64-bit Arm, beside XNNPACK's.

    tests/aarch64/table.py --cranelite target/release/cranelite --models ../shared/zoo [--cores cortex-a55,…] [--only NAME,…]

Ours are counted by `cranelite bench --count` under the dynamic qemu-user (exact instructions; cycles by the scoreboard in codegen/src/neon). XNNPACK's are figures of
its own run on the same emulator, with the models of the same cores (llvm-mca for A72 and A76, an in-order scoreboard for A53 and A55): a ratio below 1 is for us. No
caches are modelled, and what a board says may differ.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import zipfile

# Cycles of XNNPACK by model: A53, A55, A72, A76.
XNNPACK = {
    "tflm_hello_world_int8": (17523, 17385, 11218, 8534),
    "mlperf_ad01_int8": (164906, 84037, 55623, 22674),
    "mlperf_kws_int8": (1240512, 788458, 923292, 320263),
    "mlperf_vww_int8": (3679496, 2007294, 1853985, 861851),
    "mlperf_resnet8_int8": (4211725, 1365222, 2346240, 673465),
    "gen_mobilenet_v2_035_96_int8": (6003323, 3571141, 3201850, 1544723),
    "tflm_micro_speech_int8": (493251, 524743, 442384, 184238),
    "tfls_mobilenet_v1_025_224_uint8": (20082753, 20075438, 15052350, 13742276),
    "mlperf_ad01_float": (249211, 240380, 102986, 79774),
    "mlperf_kws_float": (1574999, 1334613, 1269143, 427308),
    "mlperf_vww_float": (3537494, 3295504, 2703536, 1420288),
    "mlperf_resnet8_float": (4385301, 3960676, 3838397, 1940383),
    "mp_face_detection_short_range": (22009045, 21489675, 14444663, 7789251),
    "mp_hand_landmark_lite": (73011430, 68644116, 51133172, 26864373),
}
CORES = ["cortex-a53", "cortex-a55", "cortex-a72", "cortex-a76"]


def model(folder, name, into):
    """The model's file, out of its archive where it is in one."""
    plain = os.path.join(folder, name + ".tflite")
    if os.path.exists(plain):
        return plain
    with zipfile.ZipFile(os.path.join(folder, name + ".zip")) as archive:
        member = next(n for n in archive.namelist() if n.endswith(".tflite"))
        path = os.path.join(into, name + ".tflite")
        with open(path, "wb") as f:
            f.write(archive.read(member))
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cranelite", default="target/release/cranelite")
    parser.add_argument("--models", default="../shared/zoo")
    parser.add_argument("--cores", default=",".join(CORES))
    parser.add_argument("--only", default="")
    parser.add_argument("--linker", default="aarch64-linux-gnu-gcc")
    parser.add_argument("--runner", default="qemu-aarch64 -L /usr/aarch64-linux-gnu")
    options = parser.parse_args()
    cores = options.cores.split(",")
    names = [n for n in XNNPACK if not options.only or n in options.only.split(",")]
    print(f"{'model':34}" + "".join(f"{core + ': instructions, cycles, ratio':>48}" for core in cores))
    ratios = {(core, kind): [] for core in cores for kind in ("int8", "float")}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path, row = model(options.models, name, folder), f"{name:34}"
            for core in cores:
                command = [options.cranelite, "bench", path, "--target", "aarch64-unknown-linux-gnu", "--cpu", core, "--linker", options.linker]
                command += ["--runner", options.runner, "--count", "--json"]
                ran = subprocess.run(command, capture_output=True, text=True)
                if ran.returncode != 0:
                    sys.exit(f"{' '.join(command)}\n{ran.stderr}")
                result = json.loads(ran.stdout)
                instructions = result["instructions"]
                cycles = result["cycles"][core]
                ratio = cycles / XNNPACK[name][CORES.index(core)]
                ratios[core, "float" if "int8" not in name and "_uint8" not in name else "int8"].append(ratio)
                row += f"{instructions:>20,} {cycles:>18,.0f} {ratio:>8.2f}"
            print(row, flush=True)
    for (core, kind), all_ratios in ratios.items():
        if all_ratios:
            mean = math.exp(sum(map(math.log, all_ratios)) / len(all_ratios))
            print(f"{core}, {kind}: geometric mean {mean:.2f}, greatest {max(all_ratios):.2f} of {len(all_ratios)} models")


if __name__ == "__main__":
    main()

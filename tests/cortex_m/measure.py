#!/usr/bin/env python3
"""Models as programs for microcontrollers in an emulator: are all golden outputs equal, and what does an inference need?

For each model, core and goal: the model as C by cranelite, a program with the start code and the linker script of examples/firmware-*, a run in
qemu-system, its outputs beside those of the suite. Printed are the exact instructions of an inference, and bytes: code and constants of the
model from the map file, RAM and painted stack. The tables below say what is known of a core; nothing but the standard library is used.

    tests/cortex_m/measure.py                                  # six well-known models on Cortex-M4
    tests/cortex_m/measure.py --core m4,m0,m55 --opt speed,size
    tests/cortex_m/measure.py --model kws --c build/kws.c      # a file that is there, with its header beside it
    tests/cortex_m/measure.py --model all --core rv32 --quick  # every model of integers that fits, without counting
"""

import argparse
import hashlib
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EXAMPLES = ROOT / "examples"
M4 = EXAMPLES / "firmware-cortex-m4"

SIX = {
    "hello_world": "tflm_hello_world_int8",
    "micro_speech": "tflm_micro_speech_int8",
    "kws": "mlperf_kws_int8",
    "vww": "mlperf_vww_int8",
    "resnet8": "mlperf_resnet8_int8",
    "ad01": "mlperf_ad01_int8",
}


class Core:
    def __init__(self, triple, cpu, flags, machine, board=M4, mhz=25, riscv=False):
        self.triple, self.cpu, self.flags, self.machine, self.board, self.mhz, self.riscv = triple, cpu, flags.split(), machine, board, mhz, riscv
        self.gcc = "riscv64-unknown-elf-gcc" if riscv else "arm-none-eabi-gcc"
        self.qemu = "qemu-system-riscv32" if riscv else "qemu-system-arm"
        self.clang = ["--target=riscv32-unknown-elf" if riscv else "--target=arm-none-eabi"]
        # Before 2019 the instructions for counters belonged to the base.
        self.own_flags = ["-misa-spec=2.2"] if riscv else []
        start = [board / "start.S", board / "board.c"] if riscv else [M4 / "start.c"]
        self.sources = [*start, M4 / "console.c", HERE / "bench.c"]

    def memory(self, region):
        """Bytes, by the linker script."""
        number, unit = re.search(rf"{region} .*LENGTH = (\d+)([KM])", (self.board / "firmware.ld").read_text()).groups()
        return int(number) << {"K": 10, "M": 20}[unit]


HARD = "-mfloat-abi=hard -mfpu="
CORES = {
    # An M4 runs the code of an M0+, of which there is no machine with so much memory.
    "m0": Core("thumbv6m-none-eabi", "cortex-m0plus", "-mcpu=cortex-m0plus -mthumb -mfloat-abi=soft", "mps2-an386"),
    "m3": Core("thumbv7m-none-eabi", "cortex-m3", "-mcpu=cortex-m3 -mthumb -mfloat-abi=soft", "mps2-an385"),
    "m4": Core("thumbv7em-none-eabihf", "cortex-m4", f"-mcpu=cortex-m4 -mthumb {HARD}fpv4-sp-d16", "mps2-an386"),
    "m7": Core("thumbv7em-none-eabihf", "cortex-m7", f"-mcpu=cortex-m7 -mthumb {HARD}fpv5-d16", "mps2-an500"),
    "m55": Core(
        "thumbv8m.main-none-eabihf", "cortex-m55", "-mcpu=cortex-m55 -mthumb -mfloat-abi=hard", "mps3-an547", EXAMPLES / "firmware-cortex-m55", 32
    ),
    # Without floating point in registers.
    "m4soft": Core("thumbv7em-none-eabi", "cortex-m4", "-mcpu=cortex-m4 -mthumb -mfloat-abi=soft", "mps2-an386"),
    "m55soft": Core(
        "thumbv8m.main-none-eabi", "cortex-m55", "-mcpu=cortex-m55+nofp -mthumb -mfloat-abi=soft", "mps3-an547", EXAMPLES / "firmware-cortex-m55", 32
    ),
    "rv32imc": Core("riscv32imc-unknown-none-elf", "rv32imc", "-march=rv32imc -mabi=ilp32", "virt", EXAMPLES / "firmware-riscv32", riscv=True),
    "rv32imafc": Core(
        "riscv32imafc-unknown-none-elf", "rv32imafc", "-march=rv32imafc -mabi=ilp32f", "virt", EXAMPLES / "firmware-riscv32", riscv=True
    ),
    "rv32": Core("riscv32imac-unknown-none-elf", "rv32imac", "-march=rv32imac -mabi=ilp32", "virt", EXAMPLES / "firmware-riscv32", riscv=True),
}
WARNINGS = "-Wall -Wextra -Wconversion -Wundef -pedantic -Werror".split()
FREESTANDING = "-ffreestanding -ffunction-sections -fdata-sections -fno-stack-protector -fno-exceptions".split()


class Skip(Exception):
    """Not a case for this core; why."""


class Wrong(Exception):
    """What must not be."""


def run(command, folder, timeout=None, okay=True):
    command = [str(c) for c in command]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout, errors="replace")
    except subprocess.TimeoutExpired:
        raise Wrong(f"{command[0]} does not end in {timeout} s") from None
    if okay and done.returncode != 0:
        errors = [line[:300] for line in done.stderr.splitlines() if "error" in line]
        raise Wrong("\n".join([" ".join(command), *(errors or [done.stdout[-1000:], done.stderr[-1000:]])]))
    return done


# ---- The suites ----

FORMATS = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q", "f2": "e", "f4": "f", "f8": "d", "b1": "?"}


def array(data):
    """The numbers of a .npy file in C order, and their bytes."""
    length = struct.unpack("<H", data[8:10])[0] if data[6] == 1 else struct.unpack("<I", data[8:12])[0]
    start = (10 if data[6] == 1 else 12) + length
    header = data[:start].decode("latin1")
    kind = re.search(r"'descr': '[<|=]?([a-z]\d)'", header)[1]
    shape = [int(n) for n in re.findall(r"\d+", re.search(r"'shape': \(([^)]*)\)", header)[1])]
    if "'fortran_order': True" in header:
        raise Skip("an array in Fortran's order")
    body = data[start:]
    return FORMATS[kind], body[: math.prod(shape) * struct.calcsize(FORMATS[kind])]


def numbers(kind, data):
    return struct.unpack(f"<{len(data) // struct.calcsize(kind)}{kind}", data)


class Case:
    def __init__(self, folder, facts):
        self.folder, self.facts, self.name = folder, facts, facts["name"]

    def read(self, *names):
        with zipfile.ZipFile(self.folder / self.facts["archive"]) as archive:
            return [archive.read(f"{self.name}.{n}") for n in names]

    def arrays(self, kind, count):
        names = [[("" if s == 0 else f"s{s}.") + f"{kind}{i}.npy" for i in range(count)] for s in range(self.steps)]
        return [[array(data) for data in self.read(*step)] for step in names]

    @property
    def steps(self):
        return self.facts.get("steps", 1)

    @property
    def inputs(self):
        return self.arrays("in", len(self.facts["inputs"]))

    @property
    def outputs(self):
        return self.arrays("out", len(self.facts["outputs"]))

    @property
    def is_integer(self):
        """Of quantised integers inside, whatever the interface is."""
        return self.facts["dtype"] in ("int8", "uint8")

    def differences(self, kind, found, expected):
        """How many numbers are not what the suite allows."""
        if found == expected:
            return 0
        if self.facts["tol"] == "exact" or kind not in "efd":
            allowed = self.facts["atol"] if self.facts["tol"] == "lsb" else 0
            return sum(abs(a - b) > allowed for a, b in zip(numbers(kind, found), numbers(kind, expected)) if not (a != a and b != b))
        a, r = self.facts["atol"], self.facts["rtol"]
        return sum(not abs(x - y) <= a + r * abs(y) for x, y in zip(numbers(kind, found), numbers(kind, expected)) if not (x != x and y != y))


def cases(suites):
    out = {}
    for folder in suites:
        manifest = folder / "MANIFEST.json"
        if manifest.exists():
            out |= {facts["name"]: Case(folder, facts) for facts in json.loads(manifest.read_text())["cases"]}
    return out


# ---- One program ----


def link(core, folder, sources, steps):
    """A program with the rig; False if it does not fit."""
    flags = [*core.flags, *core.own_flags, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", *FREESTANDING, "-nostdlib", "-static"]
    flags += [f"-DCORE_MHZ={core.mhz}", f"-DSTEPS={steps}", f"-I{M4}", f"-I{HERE}", "-T", core.board / "firmware.ld"]
    flags += ["-Wl,--gc-sections,-Map=map,--defsym=stack_bytes=65536"]
    done = run([core.gcc, *flags, *core.sources, *sources, "-lgcc", "-o", "firmware.elf"], folder, okay=False)
    if done.returncode != 0 and "will not fit in region" not in done.stderr:
        raise Wrong(done.stderr[-3000:])
    return done.returncode == 0


def boot(core, folder, quick=False, timeout=60):
    """What bench.c writes of a call that does nothing, and of each step."""
    machine = ["-M", core.machine, *(["-bios", "none"] if core.riscv else [])]
    semihosting = ["-chardev", "stdio,id=out", "-semihosting-config", "enable=on,target=native,chardev=out"]
    icount = [] if quick else ["-icount", "shift=0"]
    done = run([core.qemu, *machine, "-display", "none", *semihosting, *icount, "-kernel", "firmware.elf"], folder, timeout, okay=False)
    if done.returncode != 0:
        raise Wrong(f"the program ended with {done.returncode}: {done.stdout.strip()} {done.stderr.strip()}"[:600])
    return list(struct.iter_unpack("<8I", (folder / "counts.bin").read_bytes()))


def check_clock(core, folder):
    """Functions of so many instructions more than the first are counted so."""
    more = [0, 1, 2, 3, 39, 40, 41, 124, 125, 126, 1000, 4321]
    nops = lambda n: "\\n".join(["nop"] * n)
    functions = "".join(f'static ALIGNED int32_t f{n}(void) {{ __asm__ volatile("{nops(n)}"); return 0; }}\n' for n in more)
    (folder / "glue.c").write_text(
        '#include "bench.h"\n#define ALIGNED __attribute__((aligned(16), noinline))\n'
        "const uint32_t step_count = STEPS, input_count = 0, output_count = 0;\n"
        "const buffer inputs[] = {{0, 0}}, outputs[] = {{0, 0}};\nint32_t reset_state(void) { return 0; }\n"
        f"{functions}static int32_t (*const all[])(void) = {{{', '.join(f'f{n}' for n in more)}}};\nstatic uint32_t next;\n"
        "int32_t invoke(void) { return all[next++](); }\nint32_t nothing(void) { return 0; }\n"
    )
    (folder / "inputs.bin").write_bytes(b"")
    link(core, folder, ["glue.c"], len(more))
    counts = [instructions(core, step) for step in boot(core, folder)[1:]]
    found = [n - counts[0] for n in counts]
    if found != more:
        raise Wrong(f"instructions counted {found}, executed {more}")


def glue(prefix, header):
    """Buffers and calls, from what the header says."""
    text = header.read_text()
    value = lambda name: int(re.search(rf"^#define {prefix.upper()}_{name} (\d+)", text, re.M)[1])
    fields = lambda name: re.search(rf"typedef struct \{{([^}}]*)\}} {prefix}_{name};", text)[1]
    names = {d: [n for n in re.findall(r"\*(\w+);", fields(d)) if n != "none"] for d in ("inputs", "outputs")}
    size = {d: [value(f"{d[:-1].removesuffix('put').upper()}_{n.upper()}_BYTES") for n in names[d]] for d in names}
    if re.search(rf"^#define {prefix.upper()}_IN_\w+_OFFSET", text, re.M):
        raise Skip("inputs in the arena")
    state = value("STATE_BYTES")
    has_reset = re.search(rf"{prefix}_reset\(", text) is not None
    out = [f'#include "{header.name}"', '#include "bench.h"', f"static _Alignas({value('ARENA_ALIGN')}) uint8_t arena[{max(1, value('ARENA_BYTES'))}];"]
    out += [f"static _Alignas(64) uint8_t {d}_{i}[{max(1, n)}];" for d in size for i, n in enumerate(size[d])]
    if has_reset:
        out += [f"static _Alignas(64) uint8_t state[{max(1, state)}];"]
    for d in size:
        out += [f"const buffer {d}[] = {{{', '.join(f'{{{d}_{i}, {n}}}' for i, n in enumerate(size[d])) or '{0, 0}'}}};"]
        out += [f"const uint32_t {d[:-1]}_count = {len(size[d])};"]
        out += [f"static const {prefix}_{d} {d}_given = {{{', '.join(f'(void *){d}_{i}' for i in range(len(size[d]))) or '0'}}};"]
    arguments = "&inputs_given, &outputs_given, arena" + (", state" if has_reset else "")
    parameters = f"const {prefix}_inputs *, const {prefix}_outputs *, void *" + (", void *" if has_reset else "")
    out += ["const uint32_t step_count = STEPS;"]
    out += [f"int32_t reset_state(void) {{ return {f'{prefix}_reset(state)' if has_reset else '0'}; }}"]
    out += [f"int32_t invoke(void) {{ return {prefix}_invoke({arguments}); }}"]
    named = parameters.replace("*,", "*a,", 1).replace("*,", "*b,", 1).replace("void *", "void *c", 1)
    named = named + "d" if has_reset else named
    unused = "".join(f"(void){n}; " for n in ("abcd" if has_reset else "abc"))
    out += [f"static __attribute__((noinline)) cranelite_status empty({named}) {{ {unused}__asm__ volatile(\"\"); return 0; }}"]
    out += [f"int32_t nothing(void) {{ return empty({arguments}); }}"]
    facts = {"arena": value("ARENA_BYTES"), "constants": value("CONST_BYTES"), "state": state, "io": sum(size["inputs"]) + sum(size["outputs"])}
    return "\n".join(out) + "\n", facts | size


def sizes(map_text):
    """Bytes of the model's sections and of the compiler's library, by kind."""
    out = {"code": 0, "constants": 0, "data": 0, "library": 0}
    body = map_text.split("Linker script and memory map")[-1]
    for section, size, file in re.findall(r"^ (\.\S+)\s+0x[0-9a-f]+\s+(0x[0-9a-f]+) (\S+)$", body, re.M):
        bytes_, kind = int(size, 16), {"srodata": "rodata", "sdata": "data", "sbss": "bss"}.get(section.split(".")[1], section.split(".")[1])
        if "libgcc" in file or "libclang_rt" in file:
            out["library"] += bytes_ if kind in ("text", "rodata", "data") else 0
        elif file == "model.o":
            out[{"text": "code", "rodata": "constants"}.get(kind, "data")] += bytes_ if kind in ("text", "rodata", "data", "bss") else 0
    return out


def instructions(core, step):
    """Between two moments."""
    f0, s0, w0, f1, s1, w1 = step[:6]
    if core.riscv:
        return (f1 | s1 << 32) - (f0 | s0 << 32)
    a, b = {25: (40, 1), 32: (125, 4)}[core.mhz]
    ticks = (w1 - w0) * (1 << 24) + f0 - f1
    period = (1 << 24) // b
    exact = ((s0 - s1) % (1 << 24)) // b
    return exact + round((ticks * a / b - exact) / period) * period


def measure(args, core, case, opt, cc, folder):
    """A row of the table."""
    if args.c:
        prefix = re.search(r"^(\w+)_invoke|cranelite_status (\w+)_invoke\(", args.c.with_suffix(".h").read_text(), re.M)
        prefix = prefix[1] or prefix[2]
        header = shutil.copy(args.c.with_suffix(".h"), folder)
        source = shutil.copy(args.c, folder)
    else:
        prefix = "m"
        (folder / "model.tflite").write_bytes(case.read("tflite")[0])
        command = [args.cranelite, "compile", "model.tflite", "-o", ".", "--name", prefix, "--target", core.triple, "--cpu", core.cpu, "--opt", opt]
        done = run([*command, *args.compile], folder, okay=False)
        if done.returncode != 0:
            raise (Skip if done.returncode == 2 else Wrong)((done.stdout + done.stderr).strip().split("\n")[0][:200])
        header, source = folder / f"{prefix}.h", folder / f"{prefix}.c"
    text, facts = glue(prefix, Path(header))
    given = case.inputs
    for step in given:
        if [len(data) for _, data in step] != facts["inputs"]:
            raise Skip("inputs of other sizes than the file's")
    if core.memory("FLASH") < facts["constants"] or core.memory("RAM") < facts["arena"] + facts["state"] + facts["io"]:
        raise Skip("does not fit")
    (folder / "glue.c").write_text(text)
    cc = (cc or core.gcc).split()
    target = core.clang if "clang" in cc[0] else []
    if "clang-14" in cc[0] and not core.riscv and core.cpu != "cortex-m0plus":
        # As GCC and later clang do by themselves.
        target = [*target, "-munaligned-access"]
    flags = args.flags.split() if args.flags is not None else ["-Os" if opt == "size" else "-O2"]
    run([*cc, *target, *core.flags, "-std=c99", *flags, *WARNINGS, *(["-Wno-error"] if args.no_werror else []), *FREESTANDING, "-c", Path(source).name, "-o", "model.o"], folder)
    if not link(core, folder, ["glue.c", "model.o"], case.steps):
        raise Skip("does not fit")
    (folder / "inputs.bin").write_bytes(b"".join(data for step in given for _, data in step))
    empty, *steps = boot(core, folder, args.quick, args.timeout)
    if any(step[7] for step in steps):
        raise Wrong(f"the model returned {[step[7] for step in steps]}")
    found, at, wrong, all_ = (folder / "outputs.bin").read_bytes(), 0, 0, 0
    for step in case.outputs:
        for (kind, expected), bytes_ in zip(step, facts["outputs"]):
            if bytes_ != len(expected):
                raise Skip("outputs of other sizes than the file's")
            wrong += case.differences(kind, found[at : at + bytes_], expected)
            all_ += len(expected) // struct.calcsize(kind)
            at += bytes_
    count = None if args.quick else max(instructions(core, step) for step in steps) - instructions(core, empty)
    row = sizes((folder / "map").read_text()) | {k: facts[k] for k in ("arena", "state", "io")}
    row |= {"instructions": count, "stack": max(step[6] for step in steps), "wrong": wrong, "numbers": all_}
    row["flash"] = row["code"] + row["library"] + row["constants"]
    row["ram"] = row["arena"] + row["state"] + row["io"] + row["data"] + row["stack"]
    return row


COLUMNS = ["instructions", "per_mac", "code", "library", "constants", "flash", "arena", "state", "io", "data", "stack", "ram"]


def cell(row, column):
    value = row.get(column)
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else f"{value:,}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", default="m4", help=f"of {', '.join(CORES)}; several by commas")
    parser.add_argument("--opt", default="speed", help="speed, size or both by a comma")
    parser.add_argument("--model", default=",".join(SIX), help="names of cases or of the six, `all`, or `sample:N` for N small ones that a hash chooses")
    parser.add_argument("--c", type=Path, help="the model as C, made for one --core from one --model; its header is beside it")
    parser.add_argument("--cc", default="", help="compilers of the model by commas, such as clang-19; GCC of the core else, and where it is empty")
    parser.add_argument("--no-werror", action="store_true", help="warnings of the model's compiler are no errors")
    parser.add_argument("--flags", help="its options; -O2 else, and -Os for --opt size")
    parser.add_argument("--compile", type=str.split, default=[], help="more options of cranelite compile, in one word: --compile='--float-io'")
    parser.add_argument("--cranelite", default=os.environ.get("CRANELITE", ROOT / "target/release/cranelite"))
    parser.add_argument("--suite", type=Path, action="append", help="a folder with MANIFEST.json; zoo and zoo2 of ../shared else")
    parser.add_argument("--check-clock", action="store_true", help="only whether instructions are counted as they are executed")
    parser.add_argument("--quick", action="store_true", help="do not count instructions: the emulator is faster")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one program")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="leave all files in this folder")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    args = parser.parse_args()
    if args.check_clock:
        for core in args.core.split(","):
            with tempfile.TemporaryDirectory() as folder:
                check_clock(CORES[core], Path(folder))
        return
    if not args.suite:
        shared = Path(os.environ.get("CRANELITE_SHARED", ROOT.parent / "shared"))
        args.suite = [shared / "zoo", shared / "zoo2"]
    args.cranelite = shutil.which(str(args.cranelite)) or Path(args.cranelite).resolve()
    known = cases(args.suite)
    whole = args.model == "all" or args.model.startswith("sample:")
    if whole:
        names = sorted(n for n, c in known.items() if c.is_integer)
        if ":" in args.model:
            names = [n for n in names if known[n].facts.get("macs", 0) < 10_000_000]
            names = sorted(sorted(names, key=lambda n: hashlib.sha256(n.encode()).digest())[: int(args.model.split(":")[1])])
    else:
        names = [SIX.get(n, n) for n in args.model.split(",")]
    if missing := [n for n in names if n not in known]:
        sys.exit(f"no such case: {', '.join(missing)}")
    short = {v: k for k, v in SIX.items()}
    jobs = [(c, n, o, cc) for c in args.core.split(",") for n in names for o in args.opt.split(",") for cc in args.cc.split(",")]

    def one(job):
        core, name, opt, cc = job
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            if args.keep:
                folder = args.keep.resolve() / "-".join([core, short.get(name, name), opt, *cc.split()])
                folder.mkdir(parents=True, exist_ok=True)
            try:
                return job, measure(args, CORES[core], known[name], opt, cc, folder), None
            except (Skip, Wrong) as e:
                return job, None, e

    print("| core | opt | cc | model | " + " | ".join(COLUMNS) + " | golden |", flush=True)
    print("|---" * (len(COLUMNS) + 5) + "|", flush=True)
    rows, equal, skipped, wrong = [], 0, [], []
    with ThreadPoolExecutor(args.jobs) as pool:
        for (core, name, opt, cc), row, error in pool.map(one, jobs):
            first = [core, opt, cc or "gcc", short.get(name, name)]
            label = " ".join(first)
            if row is None:
                (skipped if isinstance(error, Skip) else wrong).append(f"{label}: {error}")
                print(f"| {' | '.join(first)} | " + "| " * len(COLUMNS) + f"| {type(error).__name__.lower()}: {str(error).splitlines()[0][:120]} |", flush=True)
                continue
            macs = known[name].facts.get("macs")
            row["per_mac"] = row["instructions"] / macs if macs and row["instructions"] else None
            golden = "equal" if row["wrong"] == 0 else f"{row['wrong']} of {row['numbers']} differ"
            if row["wrong"]:
                wrong.append(f"{label}: {golden}")
            else:
                equal += 1
            rows.append(dict(zip(["core", "opt", "cc", "model"], first)) | row)
            print(f"| {' | '.join(first)} | " + " | ".join(cell(row, c) for c in COLUMNS) + f" | {golden} |", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"\n{equal} equal, {len(skipped)} do not apply, {len(wrong)} wrong")
    for text in wrong:
        print(f"wrong: {text[:1500]}")
    # Named models must run; of all, some are too large.
    sys.exit(bool(wrong) or (bool(skipped) and not whole))


if __name__ == "__main__":
    main()

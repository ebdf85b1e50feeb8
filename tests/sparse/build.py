"""Models to programs: compiled, linked with program.c, called, timed in turns, and their instructions counted."""

import ctypes
import json
import pathlib
import shutil
import subprocess

import numpy

HERE = pathlib.Path(__file__).resolve().parent
PLUGIN = HERE.parents[1] / "compiler/src/count/plugin.c"


class Failed(Exception):
    """A command that should not fail."""


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], capture_output=True, **more)
    if done.returncode != 0:
        said = "".join(out.decode(errors="replace")[-1000:] for out in (done.stdout, done.stderr))
        raise Failed(f"{' '.join(map(str, words))}: {done.returncode}\n{said}")
    return done.stdout


def compiled(cranelite, file, folder, cpu, options=()):
    """What the compiler says of the model, whose object is then in the folder."""
    folder.mkdir(parents=True)
    (folder / "m.tflite").write_bytes(file)
    return json.loads(run(cranelite, "compile", folder / "m.tflite", "-o", folder, "--name", "m", "--cpu", cpu, "--json", *options))


def defines(folder):
    """What program.c has to know of the model."""
    return ["-DPREPARE"] if "m_prepare(" in (folder / "m.h").read_text() else []


def library_part(folder):
    """program.c as part of a library, which is the same for all models that are compiled beside each other."""
    known = defines(folder)
    made = folder.parent / f"library{''.join(known)}.o"
    if not made.exists():
        run("cc", "-O2", "-c", "-fPIC", "-DLIBRARY", *known, f"-I{folder}", HERE / "program.c", "-o", made)
    return made


class Library:
    """A model for this machine, loaded into this process."""

    def __init__(self, cranelite, file, folder, cpu, options=()):
        self.report = compiled(cranelite, file, folder, cpu, options)
        run("cc", "-shared", "-Wl,-Bsymbolic", library_part(folder), folder / "m.o", "-o", folder / "m.so")
        self.library = ctypes.CDLL(str(folder / "m.so"))
        self.library.shown_calls.restype = self.library.shown_prepare.restype = ctypes.c_double
        self.library.shown_weights_bytes.restype = ctypes.c_uint64
        for side in ("input", "output"):
            getattr(self.library, f"shown_{side}").restype = ctypes.c_void_p
            getattr(self.library, f"shown_{side}_bytes").restype = ctypes.c_uint64
        if self.library.shown_open() != 0:
            raise Failed("no memory for the model")

    def memory(self, side, index):
        size = getattr(self.library, f"shown_{side}_bytes")(index)
        return (ctypes.c_uint8 * size).from_address(getattr(self.library, f"shown_{side}")(index))

    def feed(self, inputs):
        for i, array in enumerate(inputs):
            memory = self.memory("input", i)
            assert len(memory) == array.nbytes, "an input of another size"
            ctypes.memmove(memory, numpy.ascontiguousarray(array).ctypes.data, array.nbytes)

    def answers(self, like):
        """The outputs of one call, of the shapes and types of these arrays."""
        self.seconds(1)
        return [numpy.frombuffer(bytes(self.memory("output", i)), a.dtype).reshape(a.shape) for i, a in enumerate(like)]

    def seconds(self, calls):
        time = self.library.shown_calls(ctypes.c_uint32(calls))
        if time < 0:
            raise Failed("the model's call failed")
        return time

    def prepared_bytes(self):
        return self.library.shown_weights_bytes()

    def prepare_seconds(self, times=5):
        """Least time to decode what is decoded once; 0 if nothing is."""
        return min(self.library.shown_prepare() for _ in range(times))


def interleaved(calls, rounds, batch_seconds=0.003):
    """The least seconds per call of each of these functions of a number of calls, taken in turns."""
    for call in calls:
        call(1)
    counts = [max(1, min(100_000, round(batch_seconds / max(call(3) / 3, 1e-8)))) for call in calls]
    least = [float("inf")] * len(calls)
    for _ in range(rounds):
        for i, (call, count) in enumerate(zip(calls, counts)):
            least[i] = min(least[i], call(count) / count)
    return least


class Counter:
    """Exact instructions of calls on 64-bit Arm, by the plugin of QEMU's user mode that `cranelite bench --count` has too. The emulator must be the
    dynamically linked one: Debian's qemu-user, not qemu-user-static."""

    NEEDS = ("qemu-aarch64", "aarch64-linux-gnu-gcc", "cc")

    def __init__(self, folder):
        missing = [program for program in self.NEEDS if not shutil.which(program)]
        if missing:
            raise Failed(f"not installed: {', '.join(missing)} (Debian: qemu-user gcc-aarch64-linux-gnu gcc)")
        self.folder = folder
        (folder / "nothing.c").write_text("int main(void) { return 0; }\n")
        run("aarch64-linux-gnu-gcc", "-static", folder / "nothing.c", "-o", folder / "nothing")
        for version in range(1, 9):
            self.plugin = folder / f"count{version}.so"
            run("cc", "-O2", "-shared", "-fPIC", f"-DPLUGIN_VERSION={version}", PLUGIN, "-o", self.plugin)
            try:
                self.count([folder / "nothing"])
                return
            except Failed as e:
                refusal = e
        raise refusal

    def count(self, command, cpu="max", root="/usr/aarch64-linux-gnu"):
        """(instructions, what the program wrote); files are looked for below `root` first"""
        file = self.folder / "count.txt"
        written = run("qemu-aarch64", "-cpu", cpu, "-L", root, "-plugin", f"{self.plugin},out={file}", *command)
        return int(file.read_text().split()[0]), written

    def of_call(self, *about):
        """(instructions of one call, its answers)"""
        return self.of_call_reported(*about)[1:]

    def of_call_reported(self, cranelite, model, folder, cpu, inputs, like, options=()):
        """(the compiler's report, instructions of one call, its answers)"""
        report = compiled(cranelite, model, folder, cpu, ["--target", "aarch64-unknown-linux-gnu", *options])
        run("aarch64-linux-gnu-gcc", "-O2", "-static", *defines(folder), f"-I{folder}", HERE / "program.c", folder / "m.o", "-o", folder / "program")
        files = []
        for i, array in enumerate(inputs):
            files.append(folder / f"in{i}")
            files[-1].write_bytes(numpy.ascontiguousarray(array).tobytes())
        none, _ = self.count([folder / "program", 0, *files])
        one, written = self.count([folder / "program", 1, *files])
        answers, at = [], 0
        for array in like:
            answers.append(numpy.frombuffer(written[at:at + array.nbytes], array.dtype).reshape(array.shape))
            at += array.nbytes
        return report, one - none, answers

#!/usr/bin/env python3
"""Run the Kotlin classes and the library of examples/android in a Java VM, with Java's own jni.h.

    npm install --prefix target/kotlin kotlin-compiler
    python3 tests/mobile/kotlin.py --cranelite target/release/cranelite --kotlin target/kotlin/node_modules/kotlin-compiler

It needs a JDK and CMake. Android's classes are stand-ins (the folder android beside this file), so this says that the classes of the example compile, are at
one with gesture_jni.c, and tell the same as examples/gesture; not that a version of Android agrees.
"""
import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
# The wrong calls of Main.kt, and what each ends in.
REFUSED = {
    "not full": "IllegalStateException: 12 numbers are missing",
    "no samples": "IllegalArgumentException: samples: ",
    "samples on the heap": "IllegalArgumentException: samples: ",
    "11 numbers": "IllegalArgumentException: samples: ",
    "at an odd address": "IllegalArgumentException: samples: ",
    "no answer": "IllegalArgumentException: answer: ",
    "an answer on the heap": "IllegalArgumentException: answer: ",
    "7 bytes for the answer": "IllegalArgumentException: answer: ",
    "as it should be": "null",
    "read when closed": "IllegalStateException: the GestureReader is closed",
    "reset when closed": "IllegalStateException: the GestureReader is closed",
}


def output(*command):
    out = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if out.returncode != 0:
        sys.exit(f"{command}: {out.returncode}\n{out.stdout}{out.stderr}")
    return out.stdout + out.stderr


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--cranelite", required=True, type=pathlib.Path)
    arguments.add_argument("--kotlin", required=True, type=pathlib.Path, help="the folder of npm's package kotlin-compiler")
    args = arguments.parse_args()
    jdk = pathlib.Path(shutil.which("javac") or sys.exit("there is no javac")).resolve().parents[1]
    main_folder = EXAMPLES / "android/app/src/main"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        flags = f"-Wall -Wextra -Werror -I{jdk}/include -I{jdk}/include/linux"
        output("cmake", "-S", main_folder / "cpp", "-B", folder / "library", f"-DCMAKE_C_FLAGS={flags}", f"-DCRANELITE_EXECUTABLE={args.cranelite.resolve()}")
        output("cmake", "--build", folder / "library")
        output("javac", "-d", folder / "stubs", *sorted((HERE / "android").rglob("*.java")))
        sources = sorted((main_folder / "kotlin").rglob("*.kt")) + [HERE / "Main.kt"]
        jar, stubs = folder / "run.jar", folder / "stubs"
        output("bash", args.kotlin / "bin/kotlinc", "-Werror", "-cp", stubs, *sources, "-include-runtime", "-d", jar)
        # The check of JNI prints what a call of it has wrong.
        program = ["-Xcheck:jni", f"-Djava.library.path={folder / 'library'}", "-cp", f"{jar}:{stubs}", "MainKt"]
        printed = output("java", *program, EXAMPLES / "gesture/recording.csv").splitlines()
    readme = (EXAMPLES / "gesture/README.md").read_text().splitlines()
    told = [line.strip() for line in readme if line.startswith("    ") and " s  " in line]
    shown = ["shown: wave, circle, punch"] + [f"shown: {line.split()[2]}" for line in told]
    count = len(told)
    refusals = printed[count : count + len(REFUSED)]
    failures = [] if count > 10 and [line.strip() for line in printed[:count]] == told else ["GestureReader tells otherwise than examples/gesture"]
    for (what, expected), line in zip(REFUSED.items(), refusals):
        if not line.replace("java.lang.", "").startswith(f"{what}: {expected}"):
            failures.append(f"{line}; expected {what}: {expected}")
    if printed[count + len(REFUSED) :] != shown + shown:
        failures.append("the activity shows otherwise than examples/gesture tells")
    if failures:
        sys.exit("\n".join(printed + failures))
    print(f"{count} gestures told and shown as in examples/gesture; {len(REFUSED) - 1} wrong calls refused")


if __name__ == "__main__":
    main()

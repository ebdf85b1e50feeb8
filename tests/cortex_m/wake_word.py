#!/usr/bin/env python3
"""The example keyword-esp32 with models of microWakeWord: are its answers those of the suite, step after step?

    tests/cortex_m/wake_word.py mww_v2_okay_nabu mww_v2_vad
"""

import os
import sys
import tempfile
from pathlib import Path

from measure import EXAMPLES, ROOT, cases, run

DRIVER = """
#include <stdio.h>
#include "wake_word.h"
int main(void) {
    int8_t features[FEATURES];
    wake_word_start();
    while (fread(features, sizeof features, 1, stdin) == 1) {
        wake_word_hear(features);
        printf("%d\\n", wake_word_probability());
    }
    return 0;
}
"""


def answers(cranelite, case, folder):
    """After each frame, and what the suite has after each step."""
    (folder / "model.tflite").write_bytes(case.read("tflite")[0])
    (folder / "driver.c").write_text(DRIVER)
    run([cranelite, "compile", "model.tflite", "--name", "wake", "--target", "xtensa-esp32s3-none-elf", "-o", "."], folder)
    main = EXAMPLES / "keyword-esp32/main"
    run(["cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-I.", f"-I{main}", main / "wake_word.c", "wake.c", "driver.c", "-o", "driver"], folder)
    (folder / "frames").write_bytes(b"".join(data for step in case.inputs for _, data in step))
    found = [int(line) for line in run(["sh", "-c", "./driver < frames"], folder).stdout.split()]
    frames = len(found) // case.steps
    return found[frames - 1 :: frames], [step[0][1][0] for step in case.outputs]


def main():
    shared = Path(os.environ.get("CRANELITE_SHARED", ROOT.parent / "shared"))
    cranelite = Path(os.environ.get("CRANELITE", ROOT / "target/release/cranelite")).resolve()
    known = cases([shared / "zoo"])
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            found, expected = answers(cranelite, known[name], Path(folder))
        print(f"{name}: {found}, expected {expected}")
        if found != expected:
            sys.exit(1)


if __name__ == "__main__":
    main()

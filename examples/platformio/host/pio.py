#!/usr/bin/env python3
"""Builds every environment of platformio.ini for the machine itself, and runs it: no PlatformIO, and no word about whether it would agree."""

import configparser
import json
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
ini = configparser.ConfigParser()
ini.read(PROJECT / "platformio.ini")


class Environment:
    def __init__(self, options):
        self.options = options

    def subst(self, text):
        return text.replace("$PROJECT_DIR", str(PROJECT))

    def GetProjectOption(self, name):
        return self.options[name]


for section in ini.sections():
    if not section.startswith("env:"):
        continue
    options = {**ini["env"], **ini[section]}
    script = PROJECT / options["extra_scripts"].removeprefix("pre:")
    exec(compile(script.read_text(), script, "exec"), {"env": Environment(options), "Import": lambda name: None})
    library = (PROJECT / options["lib_deps"].removeprefix("symlink://")).resolve()
    about = json.loads((library / "library.json").read_text())
    if not (library / "src" / about["headers"]).exists():
        raise SystemExit(f"{about['name']} has no {about['headers']}")
    host = library / "extras/host"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", f"-I{library}/src", f"-I{host}", *options["build_flags"].split()]
    subprocess.run(["cc", "-std=gnu11", *flags, "-c", library / "src/digits.c", "-o", "digits.o"], cwd=PROJECT, check=True)
    sources = [host / "sketch.cpp", library / "src/DigitReader.cpp", "digits.o", "-DSKETCH=\"src/main.cpp\"", f"-I{PROJECT}"]
    subprocess.run(["c++", "-std=gnu++11", *flags, *sources, "-o", "digits.elf"], cwd=PROJECT, check=True)
    out = subprocess.run(["./digits.elf"], cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    print(f"{section.removeprefix('env:')}: {' '.join(l.split()[-1] for l in out.splitlines() if l.startswith('this'))}")

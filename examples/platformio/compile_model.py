"""Before a build: the model for the board's CPU, into the library."""

import shutil
import subprocess
from pathlib import Path

Import("env")  # noqa: F821, which PlatformIO defines

examples = Path(env.subst("$PROJECT_DIR")).parent  # noqa: F821
source = examples / "arduino/src"
options = env.GetProjectOption("custom_cranelite_options").split()  # noqa: F821
subprocess.run(["cranelite", "compile", examples / "digits/digits.tflite", "-o", source, *options], check=True)
shutil.copy(examples / "digits/classify.h", source)

"""Compiles TensorFlow Lite models ahead of time, and runs them.

    import cranelite
    model = cranelite.load("kws.tflite")      # compiled for this machine, in memory
    scores = model(features)                  # arrays of NumPy in and out

    cranelite.compile("kws.tflite", "build", target="aarch64-unknown-none-elf")    # kws.o and kws.h
    cranelite.compile("kws.keras", "build", quantize="int8", calibrate="data.npz")  # with TensorFlow
    cranelite.check("kws.tflite")             # [] or what is in the way
    cranelite.optimize("kws.tflite", "sparse.tflite", prune="2:4")  # weights become zero

`cranelite.Interpreter` has the interface of `ai_edge_litert.interpreter.Interpreter`.
"""

from ._api import Compiled, Optimized, check, compile, load, optimize
from ._errors import CompileError, Diagnostic, Place
from ._native import Model, Tensor, __version__
from .interpreter import Interpreter

__all__ = [
    "CompileError",
    "Compiled",
    "Diagnostic",
    "Interpreter",
    "Model",
    "Optimized",
    "Place",
    "Tensor",
    "__version__",
    "check",
    "compile",
    "convert",
    "load",
    "optimize",
]


def __getattr__(name):
    # Only where it is wanted, so that `python -m cranelite.convert` is the first to import it.
    if name == "convert":
        import importlib

        return importlib.import_module(".convert", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

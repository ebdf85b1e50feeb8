"""`load`, `compile`, `check` and `optimize`."""

import json
import os
import sys
import warnings
from typing import Any, Dict, List, Optional, Union

from . import _errors, _native, _options

Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview]


def read_model(model, name="model"):
    """The bytes of a model that is a path or bytes, and its path or a name for it."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model), name + ".tflite"
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"a model is a path or bytes, not {type(model).__name__}")
    path = os.fspath(model)
    with open(path, "rb") as file:
        return file.read(), os.fsdecode(path)


# Options about models of other tools, of those that a command takes.
_CONVERSION = ("quantize", "calibrate", "image_range", "inputs", "outputs", "verbose")


def _read(model, options):
    """The bytes of a .tflite model, a path or name for it, what is left of the options, and the comparison with the float model as text and dictionary, if
    the model was quantised now. A model of another tool is converted, in a process of its own."""
    is_path = isinstance(model, (str, os.PathLike))
    if not is_path or not _native.is_foreign(os.fspath(model)):
        return *read_model(model), options, None
    path = os.fsdecode(os.fspath(model))
    os.stat(path)
    rest = {key: value for key, value in options.items() if key not in _CONVERSION}
    about = {key: options[key] for key in _CONVERSION if key in options}
    # What is converted for a shape has no other.
    about.update({key: rest.pop(key) for key in ("input_shape", "input_shapes") if key in rest})
    about.update({"signature": rest["signature"]} if isinstance(rest.get("signature"), str) else {})
    before = os.environ.get("CRANELITE_PYTHON")
    os.environ.setdefault("CRANELITE_PYTHON", sys.executable)
    try:
        with _options.words("convert", about) as words:
            contents, comparison = _native.convert([*words, "--", path])
    finally:
        if before is None:
            os.environ.pop("CRANELITE_PYTHON", None)
    return contents, path, rest, comparison and (comparison[0], json.loads(comparison[1]))


def _warn(path, left_out):
    for what in left_out:
        warnings.warn(f"{path}: {what}", stacklevel=3)


def load(model: Source, **options: Any) -> _native.Model:
    """Compiles a model for this machine and loads it, without any file.

    Args:
        model: the path of a .tflite file, or its bytes; or that of a model of another tool, as for `compile`.
        **options: as on the command line, with underscores: `threads=2`, `cpu="x86-64-v3"` (by default all that this machine has),
            `opt="size"`, `winograd=False`, `float_io=True`, `input_shapes={"x": (1, 96, 96, 3)}`, `input_values={"sizes": array}`,
            `max_dims={"positions": 512}`, `pipeline="camera.toml"` (from a sensor to an answer; `Model.labels` has names of classes), `signatures=["train", "infer"]`, `all_signatures=True`, `custom={"Name": "function"}`,
            `custom_lib="libmine.so"`.

    Returns:
        A Model.

    Raises:
        CompileError: the model cannot be compiled; `diagnostics` says everything.
        OSError: the file cannot be read (FileNotFoundError where it is missing).
        TypeError: there is no such option.
        ValueError: an option has a value that is not possible.
    """
    contents, path, options, _ = _read(model, options)
    with _options.words("load", options) as words:
        loaded = _native.load([*words, "--", path], contents)
    _warn(path, loaded.left_out)
    return loaded


class Compiled:
    """What `compile` made.

    Attributes:
        object: the bytes of the object file.
        header: the text of the C header.
        weights: the bytes of the file of constants, with the option `weights`; otherwise None.
        files: contents of all files by path, whether they were written or not.
        paths: the files that were written.
        json: what `cranelite compile --json` says, a dictionary.
        report: what `cranelite inspect` says.
        prefix: begins all names in C.
        comparison, comparison_text: of a model that was quantised now on samples: its operators beside those of the float model, the one with the
            largest error of its own first, as `cranelite compare --json` and `cranelite compare` say it; otherwise None.
        left_out: what of the file was not compiled, in words.
        code_bytes, const_bytes, arena_bytes, stack_bytes, state_bytes: sizes in bytes.
    """

    def __init__(self, made: Dict[str, Any], is_written: bool, comparison=None) -> None:
        self.object: bytes = made["object"]
        self.header: str = made["header"]
        self.weights: Optional[bytes] = made["weights"]
        self.files: Dict[str, bytes] = {os.fspath(path): contents for path, contents in made["files"].items()}
        self.paths: List[str] = list(self.files) if is_written else []
        self.json: Dict[str, Any] = json.loads(made["json"])
        self.report: str = made["report"]
        self.left_out: List[str] = made["left_out"]
        self.prefix: str = self.json["prefix"]
        self.comparison: Optional[Dict[str, Any]] = comparison and comparison[1]
        self.comparison_text: Optional[str] = comparison and comparison[0]

    @property
    def code_bytes(self) -> int:
        return self.json["code_bytes"]

    @property
    def const_bytes(self) -> int:
        return self.json["const_bytes"]

    @property
    def arena_bytes(self) -> int:
        return self.json["arena_bytes"]

    @property
    def stack_bytes(self) -> int:
        return self.json["stack_bytes"]

    @property
    def state_bytes(self) -> int:
        return self.json["state_bytes"]

    @property
    def sizes(self) -> Dict[str, int]:
        """All sizes in bytes, by what they are of."""
        return {of: self.json[f"{of}_bytes"] for of in ("code", "const", "arena", "stack", "state")}

    def __repr__(self):
        sizes = ", ".join(f"{of} {size}" for of, size in self.sizes.items())
        return f"<cranelite.Compiled {self.prefix} for {self.json['target']} {self.json['level']}: {sizes} bytes>"


def compile(model: Source, output: Union[str, "os.PathLike[str]", None] = None, **options: Any) -> Compiled:
    """Compiles a model to an object file and a C header.

    Args:
        model: the path of a .tflite file, or its bytes; or the path of a model of Keras, TensorFlow or PyTorch (.keras, .h5, SavedModel folder, .pb,
            .pt2), which is converted first, by TensorFlow or PyTorch in this Python: `quantize="int8"`, `calibrate="data.npz"` and the other
            options of `cranelite help convert` are for that.
        output: the folder for PREFIX.o and PREFIX.h, or a path that ends in .o; None writes nothing at all.
        **options: as on the command line, with underscores: `target="aarch64-unknown-none-elf"`, `cpu=["x86-64", "x86-64-v3"]`, `name="kws"`,
            `opt="size"`, `threads=4`, `max_arena="64K"`, `const_section=".flash"`, `rust=True`, `emit=["graph", "tile"]`; and those about the
            model, which `load` takes too. `cranelite help compile` tells all.

    Returns:
        A Compiled.

    Raises:
        CompileError: the model cannot be compiled; `diagnostics` says everything.
        OSError: a file cannot be read or written; then nothing was written.
        TypeError: there is no such option.
        ValueError: an option has a value that is not possible.
    """
    contents, path, options, comparison = _read(model, options)
    is_written = output is not None
    with _options.words("compile", {"output": output, **options}) as words:
        made = Compiled(_native.compile([*words, "--", path], contents, is_written), is_written, comparison)
    _warn(path, made.left_out)
    return made


def check(model: Source, **options: Any) -> List[_errors.Diagnostic]:
    """Every problem that keeps a model from being compiled.

    Args:
        model: the path of a .tflite file, or its bytes; or that of a model of another tool, as for `compile`.
        **options: those of `cranelite check`.

    Returns:
        A list of Diagnostic, empty if the model compiles.

    Raises:
        OSError: the file cannot be read.
        TypeError: there is no such option.
        ValueError: an option has a value that is not possible.
    """
    contents, path, options, _ = _read(model, options)
    with _options.words("check", options) as words:
        problems, left_out = _native.check([*words, "--", path], contents)
    _warn(path, left_out)
    return _errors.diagnostics(problems)


class Optimized:
    """What `optimize` made.

    Attributes:
        model: the bytes of the .tflite model.
        json: what `cranelite optimize --json` says, a dictionary; `comparison` in it is the error on samples, operator by operator, where some were given.
        report: what `cranelite optimize` says.
    """

    def __init__(self, model: bytes, report: str, json_text: str) -> None:
        self.model = model
        self.report = report
        self.json: Dict[str, Any] = json.loads(json_text)

    def __repr__(self):
        weights, zeros = self.json["weights"], self.json["zeros"]["after"]
        return f"<cranelite.Optimized {len(self.model)} bytes, {weights} weights changed, of which {zeros} are zero>"


def optimize(model: Source, output: Union[str, "os.PathLike[str]", None] = None, **options: Any) -> Optimized:
    """Makes the weights of a model sparser or smaller, without training.

    Args:
        model: the path of a .tflite file, or its bytes.
        output: the .tflite file that is written; None writes nothing.
        **options: as on the command line: `prune=0.75` or `prune="2:4"`, `palette=4`, `weights="int8"`, `per="channel"`, `only=["CONV_2D"]`, `skip=["0"]`,
            `calibrate="data.npz"`. `cranelite help optimize` tells all.

    Returns:
        An Optimized.

    Raises:
        CompileError: the model is damaged, or has nothing to change; `diagnostics` says everything.
        OSError: a file cannot be read or written; then nothing was written.
        TypeError: there is no such option.
        ValueError: an option has a value that is not possible.
    """
    contents, path = read_model(model)
    is_path = isinstance(model, (str, os.PathLike))
    if output is not None and is_path and os.path.exists(output) and os.path.samefile(path, output):
        raise ValueError(f"{os.fspath(output)} is the model that is read")
    with _options.words("optimize", options) as words:
        made = Optimized(*_native.optimize([*words, "--", path], contents))
    if output is not None:
        with open(output, "wb") as file:
            file.write(made.model)
    return made

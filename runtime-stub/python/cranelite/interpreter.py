"""The interface of `ai_edge_litert.interpreter`, with compiled models behind it.

    from cranelite.interpreter import Interpreter      # instead of ai_edge_litert.interpreter

is the whole migration. What differs:

- `allocate_tensors()` compiles the model for this machine, so it takes longer, and a call after it less. After `resize_tensor_input` it compiles
  again.
- Numbers of integers are those of TensorFlow Lite's reference kernels, whatever `experimental_op_resolver_type` says.
- Results between operators are not kept, unless `experimental_preserve_all_tensors=True`.
- There are no delegates: the whole model is machine code already.
"""

import ctypes
import enum
import os
import warnings
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

import numpy as np

from . import _api, _native, _options
from ._errors import CompileError

__all__ = ["Delegate", "Interpreter", "InterpreterWithCustomOps", "OpResolverType", "SignatureRunner", "load_delegate"]

# Options of `load` that would change what a tensor is, or which subgraphs there are.
_FOREIGN_OPTIONS = {"float_io", "signature", "all_signatures", "input_shape", "pipeline", "target"}


@enum.unique
class OpResolverType(enum.Enum):
    """Which kernels TensorFlow Lite would run. All mean the same here, since there are no kernels: integers are those of the reference."""

    AUTO = 0
    BUILTIN = 1
    BUILTIN_REF = 2
    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3


class Delegate:
    """A delegate cannot be had: making one raises ValueError, as where its library cannot be loaded."""

    def __init__(self, library, options=None):
        raise ValueError(
            f"{library} is not loaded: delegates take operators away from an interpreter, and a compiled model has none to give away"
        )


def load_delegate(library: str, options: Optional[Dict[str, Any]] = None) -> Delegate:
    """Raises ValueError, which programs take as a sign to go on without the delegate.

    Args:
        library: the path of the delegate's library.
        options: a dictionary of options for it.
    """
    try:
        return Delegate(library, options)
    except ValueError as e:
        raise ValueError(f"Failed to load delegate from {library}\n{e}") from None


class SignatureRunner:
    """One signature of a model as a function: `Interpreter.get_signature_runner` makes it.

    `runner(x=x, y=y)` takes arrays by the names of the signature's inputs and returns a dictionary of arrays by those of its outputs. Inputs are
    resized to the arrays' shapes; other shapes than those of the call before compile the model again.
    """

    def __init__(self, interpreter=None, signature_key=None):
        if not interpreter:
            raise ValueError("None interpreter provided.")
        if not signature_key:
            raise ValueError("None signature_key provided.")
        signatures = interpreter._signatures()
        if signature_key not in signatures:
            raise ValueError(f'Invalid signature_key provided: "{signature_key}".')
        self._interpreter = interpreter
        self._interpreter_wrapper = interpreter
        self._signature_key = signature_key
        self._subgraph_index, inputs, outputs = signatures[signature_key]
        self._inputs = dict(inputs)
        self._outputs = dict(outputs).items()

    def __call__(self, **kwargs: Any) -> Dict[str, np.ndarray]:
        """Runs the signature.

        Args:
            **kwargs: an array for each input, by name.

        Returns:
            A dictionary of arrays, by the names of the outputs.

        Raises:
            ValueError: another number or other names of inputs, or arrays of another type.
            RuntimeError: the signature cannot be compiled for these shapes, or does not run on these numbers.
        """
        if len(kwargs) != len(self._inputs):
            expected, found = len(self._inputs), len(kwargs)
            raise ValueError(
                f"Invalid number of inputs provided for running a SignatureDef, expected {expected} vs provided {found}"
            )
        interpreter, subgraph = self._interpreter, self._subgraph_index
        for name, value in kwargs.items():
            if name not in self._inputs:
                raise ValueError(f"Invalid Input name ({name}) for SignatureDef")
            interpreter._resize(self._inputs[name], list(np.shape(value)), False, subgraph)
        interpreter._allocate(subgraph)
        for name, value in kwargs.items():
            interpreter._set_tensor(self._inputs[name], value, subgraph)
        interpreter._invoke(subgraph)
        return {name: interpreter.get_tensor(index, subgraph) for name, index in self._outputs}

    def get_input_details(self) -> Dict[str, Dict[str, Any]]:
        """What `Interpreter.get_input_details` tells, in a dictionary by the names of the inputs."""
        return self._details(self._inputs.items())

    def get_output_details(self) -> Dict[str, Dict[str, Any]]:
        """The same of the outputs."""
        return self._details(self._outputs)

    def _details(self, tensors):
        return {name: self._interpreter._get_tensor_details(index, self._subgraph_index) for name, index in tensors}


class Interpreter(_native.Interpreter):
    """Runs a model by the numbers of its tensors, as TensorFlow Lite's interpreter does.

        interpreter = Interpreter("model.tflite")
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    One interpreter does one thing at a time: a call while it runs in another thread raises RuntimeError.
    """

    def __init__(
        self,
        model_path: Union[str, "os.PathLike[str]", None] = None,
        model_content: Optional[bytes] = None,
        experimental_delegates: Optional[Sequence[Any]] = None,
        num_threads: Optional[int] = None,
        experimental_op_resolver_type=OpResolverType.AUTO,
        experimental_preserve_all_tensors=False,
        experimental_disable_delegate_clustering=False,
        experimental_default_delegate_latest_features=False,
        experimental_compress_quantization_zero_points=False,
        experimental_disable_delegate_node_fusion=False,
        experimental_force_delegate_node_profiling=False,
        **options: Any,
    ) -> None:
        """Opens a model.

        Args:
            model_path: path of a .tflite file.
            model_content: its bytes, instead.
            experimental_delegates: none; a warning says that others are not used.
            num_threads: how many threads long operators are divided among.
            experimental_op_resolver_type: an OpResolverType, whichever.
            experimental_preserve_all_tensors: keep the results of all operators for `get_tensor`. It costs speed and memory.
            experimental_...: the others are taken, and mean nothing here.
            **options: those of `cranelite.load` that leave tensors as they are: cpu, opt, winograd, max_dims, input_values, custom, custom_lib.

        Raises:
            ValueError: there is no such file, it is no model, or an argument is not possible.
            TypeError: there is no such option.
        """
        resolvers = {t.value for t in OpResolverType}
        # Another package's enumeration has the same numbers.
        if getattr(experimental_op_resolver_type, "value", None) not in resolvers:
            raise ValueError(f"Unrecognized passed in op resolver type: {experimental_op_resolver_type}")
        if num_threads is not None:
            if not isinstance(num_threads, int):
                raise ValueError("type of num_threads should be int")
            if num_threads < 1:
                raise ValueError("num_threads should >= 1")
        if model_path and model_content:
            raise ValueError("Can't both provide `model_path` and `model_content`")
        if not model_path and not model_content:
            raise ValueError("`model_path` or `model_content` must be specified.")
        if experimental_delegates:
            warnings.warn("delegates are not used: the whole model is compiled", stacklevel=2)
        for key in options:
            if _options.find("load", key)[0].replace("-", "_") in _FOREIGN_OPTIONS:
                raise TypeError(f"Interpreter() got an unexpected keyword argument {key!r}")
        self._delegates = list(experimental_delegates or [])
        self._experimental_compress_quantization_zero_points = experimental_compress_quantization_zero_points
        try:
            content, path = _api.read_model(model_path or model_content)
        except OSError as e:
            raise ValueError(f"Could not open '{e.filename}': {e.strerror}") from e
        with _options.words("load", {"threads": min(num_threads or 1, 256), **options}) as words:
            try:
                self._open(content, [*words, "--", path], bool(experimental_preserve_all_tensors))
            except CompileError as e:
                raise ValueError(str(e)) from e
        self._signature_defs = self.get_signature_list()

    def allocate_tensors(self) -> None:
        """Compiles the model for the shapes that its inputs have, and gives inputs and outputs memory.

        Raises:
            RuntimeError: the model cannot be compiled, which the message explains, or an array of `tensor()` is still alive.
        """
        self._allocate(0)

    def resize_tensor_input(self, input_index: int, tensor_size: Sequence[int], strict: bool = False) -> None:
        """Gives an input another shape. `allocate_tensors()` must follow.

        Args:
            input_index: the input's number in the file.
            tensor_size: the shape.
            strict: whether only dimensions that are -1 in `shape_signature` may change.

        Raises:
            ValueError: the shape is none.
            RuntimeError: the tensor is no input, or the shape is not possible.
        """
        shape = np.array(tensor_size, dtype=np.int32)
        if shape.ndim != 1:
            raise ValueError(f"Shape should be 1D instead of {shape.ndim}.")
        self._resize(input_index, shape.tolist(), strict, 0)

    def get_input_details(self) -> List[Dict[str, Any]]:
        """The inputs, a list of dictionaries with `name`, `index` (the tensor's number in the file), `shape` and `shape_signature` (arrays of int32;
        -1 is open), `dtype` (a class of NumPy), `quantization` (scale and zero point; (0.0, 0) for none or several),
        `quantization_parameters` (a dictionary of `scales`, `zero_points`, `quantized_dimension` and `block_size`) and `sparsity_parameters`.
        """
        return [self._get_tensor_details(t, 0) for t in self._ends(0)[0]]

    def get_output_details(self) -> List[Dict[str, Any]]:
        """The outputs, as `get_input_details` tells the inputs."""
        return [self._get_tensor_details(t, 0) for t in self._ends(0)[1]]

    def get_tensor_details(self, subgraph_index: int = 0) -> List[Dict[str, Any]]:
        """All tensors of a subgraph in the file, as `get_input_details` tells the inputs."""
        count = self.num_subgraphs()
        if subgraph_index < 0 or count <= subgraph_index:
            raise ValueError(
                f"subgraph_index is out of range: {subgraph_index} for the model, which has {count} subgraphs."
            )
        return [self._get_tensor_details(t, subgraph_index) for t in range(self._num_tensors(subgraph_index))]

    def get_signature_list(self) -> Dict[str, Dict[str, List[str]]]:
        """Names of inputs and outputs by the key of each signature: {"add": {"inputs": ["x", "y"], "outputs": ["sum"]}}."""
        full = self._get_full_signature_list()
        return {key: {of: list(names) for of, names in ends.items()} for key, ends in full.items()}

    def _get_full_signature_list(self):
        return {
            key: {"inputs": dict(inputs), "outputs": dict(outputs)}
            for key, (_, inputs, outputs) in self._signatures().items()
        }

    def get_signature_runner(self, signature_key: Optional[str] = None) -> SignatureRunner:
        """A function that runs one signature; the key can be left out where there is one.

        Raises:
            ValueError: there is no such signature, or several and no key.
        """
        if signature_key is None:
            if len(self._signature_defs) != 1:
                raise ValueError(
                    "SignatureDef signature_key is None and model has {0} Signatures. "
                    "None is only allowed when the model has 1 SignatureDef".format(len(self._signature_defs))
                )
            signature_key = next(iter(self._signature_defs))
        return SignatureRunner(interpreter=self, signature_key=signature_key)

    def tensor(self, tensor_index: int) -> Callable[[], np.ndarray]:
        """A function that gives an array of the tensor's own memory, to be read and written without a copy.

        Keep the function, not the array: while an array is alive, `allocate_tensors`, `resize_tensor_input` and `invoke` raise RuntimeError.
        """
        return lambda: self._view(tensor_index)

    def _ensure_safe(self):
        if not self._safe_to_run():
            raise RuntimeError("There is at least 1 reference to internal data of the interpreter")

    def _get_op_details(self, op_index):
        operators = self._operators()
        if op_index < 0 or len(operators) <= op_index:
            raise ValueError("Invalid node index")
        name, inputs, outputs = operators[op_index]

        def types(tensors):
            return [self._get_tensor_details(t, 0)["dtype"] for t in tensors if t != -1]

        return {
            "index": int(op_index),
            "op_name": name,
            "inputs": np.array(inputs, dtype=np.int32),
            "outputs": np.array(outputs, dtype=np.int32),
            "operand_types": types(inputs),
            "result_types": types(outputs),
        }

    def _get_ops_details(self):
        return [self._get_op_details(i) for i in range(len(self._operators()))]

    @property
    def experimental_compress_quantization_zero_points(self):
        return self._experimental_compress_quantization_zero_points

    def _native_handle(self):
        raise NotImplementedError("there is no tflite::Interpreter behind a compiled model")


class InterpreterWithCustomOps(Interpreter):
    """An Interpreter whose custom operators are functions in C: `custom={"Name": "function"}, custom_lib="libmine.so"`.

    Functions that register kernels with TensorFlow Lite have nothing to register them with here: a warning says so, and a model that needs such a kernel
    does not compile.
    """

    def __init__(self, custom_op_registerers=None, **kwargs):
        self._custom_op_registerers = list(custom_op_registerers or [])
        program = ctypes.CDLL(None)
        for name in self._custom_op_registerers:
            if isinstance(name, str) and not hasattr(program, name):
                raise ValueError(f"Looking up symbol '{name}' failed: no library of this program has it")
        if self._custom_op_registerers:
            help = "give custom={NAME: FUNCTION} and custom_lib=FILE.so instead"
            warnings.warn(f"kernels of TensorFlow Lite cannot be registered: {help}", stacklevel=2)
        super().__init__(**kwargs)

"""Options of the command line as keyword arguments.

The idea: what options there are, and what they mean, is asked of the compiler's own definitions, so nothing is listed here.
"""

import contextlib
import functools
import os
import tempfile

import numpy as np

from . import _native


@functools.lru_cache(maxsize=None)
def known(command):
    """By name with underscores: (name on the command line, kind, help)."""
    return {name.replace("-", "_"): (name, kind, text) for name, kind, text in _native.options(command)}


def find(command, key):
    """The name, the kind, and whether a flag is given by its opposite (`winograd=False`); several values may be given in the plural."""
    options = known(command)
    if key in options:
        return *options[key][:2], False
    if key.endswith("s") and options.get(key[:-1], ("", ""))[1] in ("repeated", "list"):
        return *options[key[:-1]][:2], False
    opposite = "no_" + key
    if options.get(opposite, ("", ""))[1] == "flag":
        return *options[opposite][:2], True
    names = ", ".join(sorted(options))
    raise TypeError(f"{command}() got an unexpected keyword argument {key!r}; options are {names}")


@contextlib.contextmanager
def words(command, options):
    """The options as words of a command line. Arrays among their values are files as long as the context lasts."""
    with contextlib.ExitStack() as stack:
        yield [word for key, value in options.items() for word in _words(command, key, value, stack)]


def _words(command, key, value, stack):
    name, kind, is_opposite = find(command, key)
    if value is None:
        return []
    if kind == "flag":
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{key} must be True or False, not {value!r}")
        return [f"--{name}"] if bool(value) != is_opposite else []
    if isinstance(value, dict):
        values = [f"{which}={_text(key, v, stack)}" for which, v in value.items()]
    elif isinstance(value, (list, tuple)):
        values = [_text(key, v, stack) for v in value]
        if name == "cpu":
            values = [",".join(values)]
    else:
        values = [_text(key, value, stack)]
    if kind == "value" and len(values) != 1:
        raise TypeError(f"{key} has one value, not {len(values)}")
    return [f"--{name}={v}" for v in values]


def _text(key, value, stack):
    if isinstance(value, np.ndarray):
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cranelite-"))
        path = os.path.join(folder, "value.npy")
        np.save(path, value)
        return path
    if isinstance(value, (list, tuple)):
        return ",".join(_text(key, v, stack) for v in value)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (str, int, float, np.integer, os.PathLike)):
        raise TypeError(f"{key} cannot be {value!r}: give a text, a number or a path")
    return str(os.fspath(value)) if isinstance(value, os.PathLike) else str(value)

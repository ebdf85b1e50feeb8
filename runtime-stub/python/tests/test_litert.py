"""`cranelite.Interpreter` beside LiteRT's, on the same models and the same inputs, by changing the import alone.

Integers must be equal to those of LiteRT's reference kernels; floats as near as the suites allow, or as rounding explains for models of our own. Where
the suites are, a sample of their models and cases is run, and with CRANELITE_ALL=1 all models and 500 cases. What LiteRT tells of tensors must be
told by both.
"""

import hashlib
import io
import json
import os
import sys
import zipfile

import numpy as np
import pytest

import models

litert = pytest.importorskip("ai_edge_litert.interpreter")
from cranelite import interpreter as ours  # noqa: E402

sys.path.insert(0, str(models.ROOT / "tests/random_graphs"))
import known  # noqa: E402
from generate import generate  # noqa: E402

ALL = os.environ.get("CRANELITE_ALL") == "1"
CASES, ZOO_SAMPLE, CASE_SAMPLE, RANDOM = 500, 6, 40, 60


def suite(name):
    path = models.SHARED / name / "MANIFEST.json"
    rows = json.loads(path.read_text())["cases"] if path.exists() else []
    return [dict(row, suite=name) for row in sorted(rows, key=lambda r: hashlib.sha256(r["name"].encode()).hexdigest())]


def zoo():
    rows = suite("zoo") + suite("zoo2")
    small = [r for r in rows if r["macs"] < 3e7]
    return rows if ALL else small[:ZOO_SAMPLE]


def conformance():
    return suite("conformance")[: CASES if ALL else CASE_SAMPLE]


class Archive:
    def __init__(self, row):
        self.row, self.zip = row, zipfile.ZipFile(models.SHARED / row["suite"] / row["archive"])

    def model(self):
        return self.zip.read(self.row["name"] + ".tflite")

    def arrays(self, kind, count, step):
        at = f"s{step}." if step else ""
        return [np.load(io.BytesIO(self.zip.read(f"{self.row['name']}.{at}{kind}{i}.npy"))) for i in range(count)]


def steps(module, content, steps_of_inputs, fresh, resize=False, **kwargs):
    """Outputs of each step; `fresh`: every step begins anew."""
    outputs, interpreter = [], None
    for arrays in steps_of_inputs:
        if interpreter is None or fresh:
            interpreter = module.Interpreter(model_content=content, num_threads=1, **kwargs)
            for d, array in zip(interpreter.get_input_details(), arrays):
                if resize or list(d["shape"]) != list(array.shape):
                    interpreter.resize_tensor_input(d["index"], array.shape)
            interpreter.allocate_tensors()
        for d, array in zip(interpreter.get_input_details(), arrays):
            if array.size or module is ours:
                interpreter.set_tensor(d["index"], array)
        interpreter.invoke()
        outputs.append([read(interpreter, d) for d in interpreter.get_output_details()])
    return outputs, interpreter


def read(interpreter, details):
    if 0 in details["shape"]:
        return np.zeros(details["shape"], details["dtype"])
    return np.asarray(interpreter.get_tensor(details["index"]))


def same(found, expected, row):
    """None, or what is wrong."""
    if (found.dtype, found.shape) != (expected.dtype, expected.shape):
        return f"{found.dtype}{list(found.shape)} instead of {expected.dtype}{list(expected.shape)}"
    if found.dtype.kind in "biu":
        limit = row["atol"] if row["tol"] == "lsb" else 0
        wrong = np.abs(found.astype("i8") - expected.astype("i8")) > limit if limit else found != expected
    else:
        with np.errstate(all="ignore"):
            wrong = (found != expected) & ~(np.isnan(found) & np.isnan(expected))
            if row["tol"] != "exact":
                wrong &= ~((np.abs(found - expected) <= row["atol"] + row["rtol"] * np.abs(expected)) & np.isfinite(expected))
    return f"{wrong.sum()} of {wrong.size} differ" if wrong.any() else None


def first_rows(row, outputs):
    """What of the outputs means something."""
    if row.get("compare") != "rows_by_out3" or len(outputs) != 4:
        return outputs
    outputs, n = [np.array(o) for o in outputs], int(outputs[3].reshape(-1)[0])
    for o in outputs[:3]:
        o[:, n:] = 0
    return outputs


def told(interpreter, tensors):
    """What is told of tensors, to be compared."""

    def plain(value):
        if isinstance(value, np.ndarray):
            return str(value.dtype), value.tolist()
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, list) else value

    return [plain(interpreter._get_tensor_details(t, 0)) for t in tensors]


def compare_details(content):
    """Names, types and quantisation of every tensor in the file, before anything is allocated: temporary ones of LiteRT's come later."""
    a, b = litert.Interpreter(model_content=content, experimental_op_resolver_type=PLAIN), ours.Interpreter(model_content=content)
    tensors = range(len(b.get_tensor_details()))
    assert told(b, tensors) == told(a, tensors)
    # Names of what a signature has are compared as sets: the order of LiteRT's is that of a map.
    assert a.get_signature_list().keys() == b.get_signature_list().keys()
    for key, signature in a.get_signature_list().items():
        assert {of: sorted(names) for of, names in signature.items()} == {of: sorted(n) for of, n in b.get_signature_list()[key].items()}
    assert a.num_subgraphs() == b.num_subgraphs()
    assert [o["op_name"] for o in b._get_ops_details()] == [o["op_name"] for o in a._get_ops_details()]


RESOLVER, PLAIN = litert.OpResolverType.BUILTIN_REF, litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


def refused():
    """Cases that the compiler refuses, as the golden tests know them."""
    lines = (models.ROOT / "tests/refused.txt").read_text().splitlines()
    return {word for line in lines for word in line.split()[:1]}


@pytest.mark.parametrize("row", zoo() + conformance(), ids=lambda row: row["name"])
def test_suites(row):
    archive = Archive(row)
    content = archive.model()
    given = [archive.arrays("in", len(row["inputs"]), k) for k in range(row["steps"])]
    fresh, resize = not row.get("stateful"), bool(row.get("resize_inputs"))
    try:
        found, _ = steps(ours, content, given, fresh, resize)
    except RuntimeError as e:
        if row["name"] in refused():
            pytest.skip(str(e).splitlines()[0])
        raise
    compare_details(content)
    resolver = RESOLVER if row["oracle"] == "BUILTIN_REF" else PLAIN
    try:
        expected, _ = steps(litert, content, given, fresh, resize, experimental_op_resolver_type=resolver)
    except (RuntimeError, ValueError):
        expected = [archive.arrays("out", len(row["outputs"]), k) for k in range(row["steps"])]

    def wrong(expected):
        pairs = [(f, e) for fs, es in zip(found, expected) for f, e in zip(first_rows(row, fs), first_rows(row, es))]
        return [text for text in (same(f, e, row) for f, e in pairs) if text]

    problems = wrong(expected)
    if problems and row.get("alt"):
        problems = wrong([archive.arrays("alt", len(row["outputs"]), k) for k in range(row["steps"])])
    assert not problems


@pytest.mark.parametrize("seed", range(RANDOM))
def test_random_models(seed):
    """Of every operator the right result, when all tensors are kept."""
    model, arrays = generate(seed)
    content = model.file()
    kwargs = dict(experimental_preserve_all_tensors=True)
    try:
        found, interpreter = steps(ours, content, [arrays], True, **kwargs)
    except RuntimeError as e:
        if known.reason(str(e), [o.name for o in model.operators]):
            pytest.skip(str(e).splitlines()[0])
        raise
    _, reference = steps(litert, content, [arrays], True, experimental_op_resolver_type=RESOLVER, **kwargs)
    compare_details(content)
    numbers = {d["name"]: d["index"] for d in interpreter.get_tensor_details()}
    for name, index in numbers.items():
        row = dict(tol="float", atol=model.tensors[int(name[1:])].error, rtol=1e-5)
        assert not same(read(interpreter, interpreter._get_tensor_details(index, 0)), read(reference, reference._get_tensor_details(index, 0)), row), name


@pytest.mark.parametrize("content", [models.DIGITS.read_bytes(), models.quantised(), models.sums(signature=(-1, 3)), models.chain(), models.counter(),
                                     models.where(), models.fill(), models.gather()], ids=range(8))
def test_models_of_our_own(content):
    compare_details(content)
    a, b = (m.Interpreter(model_content=content, **k) for m, k in ((litert, dict(experimental_op_resolver_type=RESOLVER)), (ours, {})))
    n = np.random.default_rng(1)
    for interpreter in (a, b):
        interpreter.allocate_tensors()
    for _ in range(3):
        for d in a.get_input_details():
            array = n.integers(0, 2, d["shape"]) if d["dtype"] == np.bool_ else n.integers(1, 4, d["shape"])
            array = np.asarray(array, d["dtype"])
            a.set_tensor(d["index"], array)
            b.set_tensor(d["index"], array)
        a.invoke()
        b.invoke()
        for d, e in zip(a.get_output_details(), b.get_output_details()):
            assert d["index"] == e["index"] and d["shape"].tolist() == e["shape"].tolist()
            assert np.array_equal(read(a, d), read(b, e))


def errors(module, content):
    """What goes wrong with an interpreter that is used wrongly, by the kinds of exceptions."""
    kinds = []

    def attempt(work):
        try:
            work()
            kinds.append("fine")
        except Exception as e:
            kinds.append(type(e).__name__)

    i = module.Interpreter(model_content=content)
    x, y = i.get_input_details()[0]["index"], i.get_output_details()[0]["index"]
    attempt(i.invoke)
    attempt(lambda: i.get_tensor(x))
    attempt(lambda: i.set_tensor(x, np.zeros(4, "f4")))
    attempt(lambda: i.tensor(x)())
    attempt(i.allocate_tensors)
    for value in (np.zeros(4, "f8"), np.zeros(5, "f4"), np.zeros((1, 4), "f4"), None, 3, "a", [1, 2]):
        attempt(lambda: i.set_tensor(x, value))
    for index in (-1, 99):
        attempt(lambda: i.get_tensor(index))
        attempt(lambda: i.set_tensor(index, np.zeros(4, "f4")))
        attempt(lambda: i.resize_tensor_input(index, (4,)))
    attempt(lambda: i.resize_tensor_input(x, [[4]]))
    attempt(lambda: i.resize_tensor_input(x, [5], strict=True))
    attempt(lambda: i.get_tensor(y, 7))
    attempt(lambda: i.get_tensor_details(7))
    attempt(lambda: i._get_op_details(7))
    attempt(lambda: i.get_signature_runner())
    attempt(lambda: i.get_signature_runner("a"))
    held = i.tensor(x)()
    attempt(i.invoke)
    attempt(i.allocate_tensors)
    del held
    attempt(i.invoke)
    for kwargs in ({}, {"model_path": "/missing"}, {"model_content": b"garbage"}, {"model_content": content, "num_threads": "1"}):
        attempt(lambda: module.Interpreter(**kwargs))
    return kinds


def test_the_same_exceptions():
    assert errors(ours, models.chain()) == errors(litert, models.chain())

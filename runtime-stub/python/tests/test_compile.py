"""`cranelite.compile`, `cranelite.check` and the command line."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import cranelite
import models


def run(*words, **kwargs):
    return subprocess.run([sys.executable, "-m", "cranelite", *map(str, words)], capture_output=True, text=True, **kwargs)


def test_files_sizes_and_texts(tmp_path):
    made = cranelite.compile(models.DIGITS, tmp_path, name="d", emit=["graph", "report"], rust=True)
    assert sorted(os.path.basename(p) for p in made.paths) == ["d.graph", "d.h", "d.o", "d.rs", "d.txt"]
    for path, contents in made.files.items():
        with open(path, "rb") as file:
            assert file.read() == contents
    assert made.files[str(tmp_path / "d.o")] == made.object and made.object[:4] == b"\x7fELF"
    assert made.files[str(tmp_path / "d.h")].decode() == made.header and "d_invoke" in made.header
    assert made.prefix == "d" and made.json["arena_bytes"] == made.arena_bytes == made.sizes["arena"]
    assert made.sizes == {"code": made.code_bytes, "const": made.const_bytes, "arena": made.arena_bytes, "stack": made.stack_bytes, "state": 0}
    assert "multiply-accumulates" in made.report and "cranelite.Compiled d" in repr(made)
    assert f"#define D_ARENA_BYTES {made.arena_bytes}" in made.header


def test_nothing_is_written_without_an_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = cranelite.compile(models.chain(), weights="w.bin")
    assert made.paths == [] and os.listdir(tmp_path) == [] and made.prefix == "model"
    assert made.weights == made.files["w.bin"]


def test_it_is_what_the_command_line_makes(tmp_path):
    made = cranelite.compile(models.DIGITS, cpu="x86-64-v3", target="x86_64-unknown-linux-gnu", opt="size", max_arena="1M")
    found = run("compile", models.DIGITS, "-o", tmp_path, "--cpu", "x86-64-v3", "--target", "x86_64-unknown-linux-gnu", "--opt", "size", "--json")
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "digits.o").read_bytes() == made.object and (tmp_path / "digits.h").read_text() == made.header
    told = json.loads(found.stdout)
    assert {**told, "object": 0, "header": 0} == {**made.json, "object": 0, "header": 0}


def test_every_option_has_a_keyword(tmp_path):
    t = "aarch64-unknown-none-elf"
    header = lambda **options: cranelite.compile(models.DIGITS, **options).header
    assert ".flash" in cranelite.compile(models.DIGITS, target=t, const_section=".flash").object.decode("latin1")
    assert "invoke_at" in header(target="x86_64-unknown-linux-gnu", cpu=["x86-64", "x86-64-v3"])
    assert "invoke_parallel" in header(threads=2)
    assert "selftest" in header(self_test=True) and "OFFSET" in header(io="arena")
    assert "float" in header(float_io=True)
    folder = tmp_path / "all"
    assert any("all" in path for path in cranelite.compile(models.DIGITS, tmp_path, emit_all=folder).paths)
    assert cranelite.compile(models.sums(), input_shape={"x": [7, 3]}).json["inputs"][0]["shape"] == [7, 3]
    assert cranelite.compile(models.sums(), input_shape="x=7,3").json["inputs"][0]["shape"] == [7, 3]
    assert cranelite.compile(models.fill(), input_values={"dims": np.array([4, 5], "i4")}).json["outputs"][0]["shape"] == [4, 5]
    both = cranelite.compile(models.counter(), signature=["add", "read"])
    assert [s["name"] for s in both.json["signatures"]] == ["add", "read"]
    for options, error, text in [
        ({"const_sections": ".flash"}, TypeError, "unexpected keyword argument 'const_sections'"),
        ({"json": True}, TypeError, "json"),
        ({"const_section": ".bss"}, ValueError, ".bss"),
        ({"weights": "w", "const_section": ".flash"}, ValueError, "cannot be used with"),
        ({"max_arena": "1X"}, ValueError, "number of bytes"),
        ({"target": "z80"}, ValueError, "z80"),
        ({"cpu": {"a": 1, "b": 2}}, TypeError, "cpu has one value"),
        ({"name": "1"}, ValueError, "identifier"),
    ]:
        with pytest.raises((error,), match=text):
            cranelite.compile(models.DIGITS, **options)


def test_problems_are_objects(tmp_path):
    path = tmp_path / "bad.tflite"
    path.write_bytes(models.unsupported())
    with pytest.raises(cranelite.CompileError) as e:
        cranelite.compile(path, tmp_path / "out")
    assert not (tmp_path / "out").exists() and isinstance(e.value, ValueError)
    found = cranelite.check(path)
    assert found == e.value.diagnostics and len(found) == 2
    first = found[0]
    assert first.code.startswith("E02") and first.message and first.help and first.file == str(path)
    assert (first.place.subgraph, first.place.operator, first.place.operator_name) == (0, 0, "MATRIX_SET_DIAG") and first.count == 1
    assert first.code in str(e.value) and "MATRIX_SET_DIAG" in str(first)
    assert cranelite.check(models.DIGITS) == []
    assert [d.code for d in cranelite.check(b"garbage!")] == ["E0101"]
    with pytest.raises(cranelite.CompileError, match="E0401"):
        cranelite.compile(models.DIGITS, max_arena=1)


def test_files_that_cannot_be_read_or_written(tmp_path):
    for call in (cranelite.compile, cranelite.check):
        with pytest.raises(FileNotFoundError):
            call(tmp_path / "missing.tflite")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot"):
        cranelite.compile(models.chain(), tmp_path / "file" / "folder")
    assert sorted(os.listdir(tmp_path)) == ["file"]
    # A model is not written over.
    model = tmp_path / "m.o"
    model.write_bytes(models.chain())
    with pytest.raises(cranelite.CompileError, match="E0504"):
        cranelite.compile(model, model)
    assert model.read_bytes() == models.chain()


def test_left_out_is_a_warning(recwarn):
    made = cranelite.compile(models.counter())
    assert any("left out" in str(w.message) for w in recwarn.list) and "left out" in made.left_out[0]


def test_the_command_line(tmp_path):
    for words, code, text in [
        (["--version"], 0, cranelite.__version__),
        (["targets"], 0, "x86_64-unknown-linux-gnu"),
        (["check", models.DIGITS], 0, "no problems"),
        (["explain", "E0203"], 0, "E0203"),
        (["nonsense"], 2, "nonsense"),
        (["compile", tmp_path / "missing.tflite"], 1, "E0502"),
        (["compile", models.DIGITS, "--target", "z80"], 2, "z80"),
    ]:
        found = run(*words)
        assert found.returncode == code and text in found.stdout + found.stderr, (words, found)
    script = os.path.join(os.path.dirname(sys.executable), "cranelite")
    if os.path.exists(script):
        found = subprocess.run([script, "--version"], capture_output=True, text=True)
        assert (found.returncode, found.stdout) == (0, run("--version").stdout)


def test_ctrl_c_ends_the_command_line(tmp_path):
    path = tmp_path / "large.tflite"
    path.write_bytes(models.products(256, 16))
    child = subprocess.Popen([sys.executable, "-m", "cranelite", "bench", str(path), "--min-ms", "60000"], stdout=subprocess.DEVNULL)
    time.sleep(2)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=10) == -signal.SIGINT


def test_ctrl_c_ends_compiling(tmp_path):
    data = models.products(8, 20_000)
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    begin = time.perf_counter()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        cranelite.compile(data, tmp_path)
        time.sleep(5)
    assert time.perf_counter() - begin < 2 and os.listdir(tmp_path) == []


def test_other_threads_of_python_run_while_a_model_is_compiled():
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(1)
            time.sleep(0.001)

    clock = threading.Thread(target=tick)
    clock.start()
    cranelite.compile(models.products(8, 3000))
    done.set()
    clock.join()
    assert len(ticks) > 10


def test_stubs_name_what_there_is():
    import ast
    import pathlib

    from cranelite import _native

    stub = pathlib.Path(cranelite.__file__).with_name("_native.pyi").read_text()
    classes = {c.name: {f.name for f in c.body if isinstance(f, ast.FunctionDef)} for c in ast.parse(stub).body if isinstance(c, ast.ClassDef)}
    functions = {f.name for f in ast.parse(stub).body if isinstance(f, ast.FunctionDef)}
    for name, members in classes.items():
        own = {m for m in vars(getattr(_native, name)) if not m.startswith("__")}
        assert own == {m for m in members if not m.startswith("__")}, name
        assert name.startswith(("Inter", "View")) or getattr(_native, name).__doc__
    assert functions == {f for f in vars(_native) if callable(getattr(_native, f)) and not isinstance(getattr(_native, f), type)}


def test_optimize(tmp_path):
    made = cranelite.optimize(models.DIGITS, tmp_path / "sparse.tflite", prune=0.75)
    assert (tmp_path / "sparse.tflite").read_bytes() == made.model
    assert made.json["zeros"]["after"] > 0.7 * made.json["weights"] and "FULLY_CONNECTED" in made.report
    assert cranelite.load(made.model).inputs[0].shape == cranelite.load(models.DIGITS).inputs[0].shape
    groups = cranelite.optimize(models.DIGITS.read_bytes(), prune="2:4", palette=3, skip=["0"])
    assert len(groups.model) == models.DIGITS.stat().st_size and "0 " in groups.report
    with pytest.raises(ValueError, match="a share is between 0 and 1"):
        cranelite.optimize(models.DIGITS, prune=2.0)
    with pytest.raises(cranelite.CompileError) as error:
        cranelite.optimize(made.model, prune=0.5)
    assert error.value.diagnostics[0].code == "E0509"
    with pytest.raises(ValueError, match="is the model that is read"):
        cranelite.optimize(tmp_path / "sparse.tflite", tmp_path / "sparse.tflite", prune=0.9)

"""`cranelite.load` and what it gives."""

import gc
import os
import pathlib
import threading
import time

import numpy as np
import pytest

import cranelite
import models


def test_one_array_in_and_out(tmp_path):
    m = cranelite.load(models.DIGITS)
    (x,), (y,) = m.inputs, m.outputs
    image = np.random.default_rng(1).integers(-128, 128, x.shape, dtype=x.dtype)
    scores = m(image)
    assert (scores.shape, scores.dtype) == (y.shape, y.dtype)
    for source in (str(models.DIGITS), models.DIGITS.read_bytes(), bytearray(models.DIGITS.read_bytes())):
        np.testing.assert_array_equal(cranelite.load(source)(image), scores)
    np.testing.assert_array_equal(m({x.name: image}), scores)
    np.testing.assert_array_equal(m(**{x.name: image}), scores)
    assert "multiply-accumulates" in m.report() and m.sizes["code"] > 0
    assert m.name == "digits.tflite" and "digits" in repr(m) and x.name in repr(x)


def test_several_by_position_and_by_name():
    m = cranelite.load(models.sums())
    x, y = np.arange(6, dtype="f4").reshape(2, 3), np.array([10, 20, 30], "f4")
    expected = {"sum": x + y, "difference": x - y}
    for found in (m(x, y), m(x=x, y=y), m({"x": x, "y": y}), m({"in_x": x, "in_y": y})):
        assert list(found) == list(expected)
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name])
    assert [t.name for t in m.inputs] == ["x", "y"] and m.inputs[0].tensor_name == "in_x"


def test_what_does_not_fit_is_told():
    m = cranelite.load(models.sums())
    x, y = np.zeros((2, 3), "f4"), np.zeros(3, "f4")
    for args, kwargs, error, text in [
        ((x,), {}, TypeError, r'1 arrays are given: the model takes 2, "x" float32 of shape \(2, 3\); "y" float32 of shape \(3,\)'),
        ((x, y, y), {}, TypeError, "3 arrays are given"),
        ((), {"x": x}, TypeError, 'input "y" is missing'),
        ((), {"x": x, "y": y, "z": y}, TypeError, 'no input "z"'),
        ((x,), {"y": y}, TypeError, "by position or by name, not both"),
        (({"x": x},), {}, TypeError, 'input "y" is missing'),
        ((x.astype("f8"), y), {}, TypeError, r'input "x" must be float32 of shape \(2, 3\), and the array is float64 of shape \(2, 3\)'),
        ((x, y.astype("i4")), {}, TypeError, 'input "y" must be float32.*int32'),
        ((x, "text"), {}, TypeError, 'input "y" must be float32'),
        ((x, None), {}, TypeError, 'input "y" must be float32'),
        ((x, [[1], [1, 2]]), {}, TypeError, 'input "y" must be an array of float32'),
        ((x, np.zeros(4, "f4")), {}, ValueError, r'input "y" must have the shape \(3,\), and the array has \(4,\).*input_shapes'),
        ((x[None], y), {}, ValueError, r"\(2, 3\), and the array has \(1, 2, 3\)"),
        ((np.zeros((0, 3), "f4"), y), {}, ValueError, r"the array has \(0, 3\)"),
        ((np.float32(1), y), {}, ValueError, r"the array has \(\)"),
    ]:
        with pytest.raises(error, match=text):
            m(*args, **kwargs)
    with pytest.raises(TypeError, match="float_io=True"):
        cranelite.load(models.quantised())(np.zeros((1, 5), "f4"))


def test_arrays_of_any_layout():
    m = cranelite.load(models.sums())
    x, y = np.arange(6, dtype="f4").reshape(2, 3), np.array([10, 20, 30], "f4")
    expected = m(x, y)["sum"]
    wide = np.zeros((4, 6), "f4")
    wide[::2, ::2] = x
    unaligned = np.ndarray((2, 3), "f4", np.zeros(25, "u1").data, offset=1)
    unaligned[...] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    for other in (wide[::2, ::2], np.asfortranarray(x), x.astype(">f4"), unaligned, read_only, x[::-1][::-1], np.ma.masked_array(x)):
        np.testing.assert_array_equal(m(other, y)["sum"], expected)
    # Anything that NumPy makes an array of the right type of.
    class Other:
        def __array__(self, dtype=None, copy=None):
            return x
    np.testing.assert_array_equal(m(Other(), y)["sum"], expected)
    scalar = cranelite.load(models.fill(), input_values={"dims": np.array([1, 2], "i4")})
    np.testing.assert_array_equal(scalar(np.float32(3)), [[3, 3]])


def test_out_is_written_in_place():
    m = cranelite.load(models.chain())
    x, y = np.array([-1, 2, -3, 4], "f4"), np.empty(4, "f4")
    assert m(x, out=y) is y
    np.testing.assert_array_equal(y, [0, 6, 0, 12])
    assert m(x, out=[y]) is y and m(x, out={"y": y}) is y
    # The input's own memory, whole or in part.
    both = np.array([9, -1, 2, -3, 4, 9], "f4")
    m(both[1:5], out=both[1:5])
    np.testing.assert_array_equal(both, [9, 0, 6, 0, 12, 9])
    shifted = np.array([-1, 2, -3, 4, 9], "f4")
    m(shifted[:4], out=shifted[1:])
    np.testing.assert_array_equal(shifted, [-1, 0, 6, 0, 12])
    read_only = np.zeros(4, "f4")
    read_only.flags.writeable = False
    for out, error in [
        (np.empty(4, "f8"), TypeError), (np.empty(4, ">f4"), TypeError), (np.empty(5, "f4"), ValueError), (np.empty(8, "f4")[::2], ValueError),
        (read_only, ValueError), ([1, 2, 3, 4], TypeError), ((y, y), TypeError), ({"z": y}, TypeError), (7, TypeError),
    ]:
        with pytest.raises(error, match="out"):
            m(x, out=out)
    two = cranelite.load(models.sums())
    a, b = np.empty((2, 3), "f4"), np.empty((2, 3), "f4")
    found = two(np.ones((2, 3), "f4"), np.ones(3, "f4"), out=(a, b))
    assert found["sum"] is a and found["difference"] is b and a.sum() == 12
    with pytest.raises(ValueError, match="same memory"):
        two(np.ones((2, 3), "f4"), np.ones(3, "f4"), out=(a, a))


@pytest.mark.parametrize("kind", ["f4", "f2", "i1", "u1", "i2", "i4", "i8", "b1"])
def test_types(kind):
    m = cranelite.load(models.every_type(kind))
    x = np.array([[0, 1, 2], [3, 4, 5]]).astype(kind)
    y = m(x)
    assert y.dtype == np.dtype(kind)
    np.testing.assert_array_equal(y, x.reshape(3, 2))


def test_quantisation_and_floats_outside():
    m = cranelite.load(models.quantised())
    assert (m.inputs[0].scale, m.inputs[0].zero_point) == (0.5, -3)
    np.testing.assert_array_equal(m(np.array([[-9, -4, -3, 0, 9]], "i1")), [[-3, -3, -3, 0, 9]])
    real = cranelite.load(models.quantised(), float_io=True)
    assert (real.inputs[0].dtype, real.inputs[0].scale) == (np.float32, None)
    np.testing.assert_array_equal(real(np.array([[-1, -0.5, 0, 0.5, 1]], "f4")), [[0, 0, 0, 0.5, 1]])


def test_state_and_signatures():
    m = cranelite.load(models.counter(), all_signatures=True)
    assert m.signatures == ["add", "read"]
    add, read = m.signature("add"), m.signature("read")
    one = np.ones(2, "f4")
    np.testing.assert_array_equal(add(x=one), [1, 1])
    np.testing.assert_array_equal(add(one), [2, 2])
    np.testing.assert_array_equal(read(x=3 * one), [6, 6])
    m.reset()
    np.testing.assert_array_equal(read(one), [0, 0])
    assert [t.name for t in read.outputs] == ["product"] and m.sizes["state"] >= 8
    with pytest.raises(KeyError, match="all_signatures=True"):
        m.signature("train")
    with pytest.warns(UserWarning, match="left out"):
        first = cranelite.load(models.counter())
    np.testing.assert_array_equal(first(one), [1, 1])
    with pytest.warns(UserWarning, match="left out"):
        only = cranelite.load(models.counter(), signatures=["read"])
    assert only.signatures == ["read"] and only.signature("read")(one).sum() == 0


def test_counted_outputs():
    m = cranelite.load(models.where())
    assert m.outputs[0].counted and m.outputs[0].shape == (6, 1) and len(m.outputs) == 1
    for pattern in ([0, 1, 0, 0, 1, 1], [0] * 6, [1] * 6):
        x = np.array(pattern, bool)
        np.testing.assert_array_equal(m(x), np.argwhere(x))
    out = np.empty((6, 1), "i8")
    found = m(np.array([0, 0, 1, 0, 0, 0], bool), out=out)
    assert found.shape == (1, 1) and np.shares_memory(found, out)


def test_indices_are_looked_at():
    m = cranelite.load(models.gather())
    x = np.arange(4, dtype="f4")
    np.testing.assert_array_equal(m(x, np.array([3, 0, 1], "i4")), [3, 0, 1])
    with pytest.raises(ValueError, match="out of range"):
        m(x, np.array([3, 0, 4], "i4"))


def test_options():
    m = cranelite.load(models.sums(), input_shapes={"x": (5, 3)}, threads=2, opt="size", winograd=False)
    assert m.inputs[0].shape == (5, 3) and m(np.ones((5, 3), "f4"), np.ones(3, "f4"))["sum"].shape == (5, 3)
    sized = cranelite.load(models.fill(), input_values={"dims": np.array([2, 3], "i4")})
    assert [t.name for t in sized.inputs] == ["value"]
    np.testing.assert_array_equal(sized(np.array(7, "f4")), np.full((2, 3), 7))
    for options, error, text in [
        ({"thread": 2}, TypeError, "unexpected keyword argument 'thread'.*threads"),
        ({"threads": 0}, ValueError, "0 is not in 1..=256"),
        ({"threads": "many"}, ValueError, "many"),
        ({"threads": 1.5}, ValueError, "invalid value '1.5' for '--threads"),
        ({"threads": 2j}, TypeError, "threads cannot be 2j"),
        ({"threads": [1, 2]}, TypeError, "threads has one value"),
        ({"winograd": 1}, TypeError, "winograd must be True or False"),
        ({"opt": "small"}, ValueError, "small"),
        ({"cpu": "z80"}, ValueError, "z80"),
        ({"input_shapes": {"x": (1, -1)}}, ValueError, "-1"),
        ({"input_shapes": {"z": (1, 3)}}, ValueError, "z"),
        ({"input_shapes": "x"}, ValueError, "NAME"),
        ({"signatures": "train"}, ValueError, "no signature"),
        ({"target": "riscv64gc-unknown-none-elf"}, ValueError, "does not run on this machine"),
        ({"custom_lib": "/nowhere.so"}, ValueError, "nowhere.so"),
    ]:
        with pytest.raises(error, match=text):
            cranelite.load(models.sums(), **options)


def test_other_machines():
    with pytest.raises(ValueError, match="does not run on this machine"):
        cranelite.load(models.sums(), target="aarch64-unknown-linux-gnu" if _is_x86() else "x86_64-unknown-linux-gnu")


def _is_x86():
    import platform

    return platform.machine() == "x86_64"


@pytest.mark.skipif(not _is_x86(), reason="levels of x86-64")
def test_a_level_that_this_machine_lacks():
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    level = "x86-64-v4+avx512vnni"
    if "avx512_vnni" in cpu:
        level = "x86-64-v3+avxvnni" if "avx_vnni" not in cpu else None
    if level is None:
        pytest.skip("this machine has everything")
    with pytest.raises(ValueError, match="lacks"):
        cranelite.load(models.sums(), cpu=level)


def test_files_that_are_no_models(tmp_path):
    with pytest.raises(FileNotFoundError):
        cranelite.load(tmp_path / "missing.tflite")
    # A folder may be a model of TensorFlow's; this one is not.
    with pytest.raises(OSError, match="directory"):
        cranelite.load(tmp_path)
    with pytest.raises(TypeError, match="path or bytes"):
        cranelite.load(7)
    for bad in (b"", b"garbage!", models.sums()[:200], pathlib.Path(__file__).read_bytes()):
        with pytest.raises(cranelite.CompileError) as e:
            cranelite.load(bad)
        assert e.value.diagnostics and e.value.diagnostics[0].code.startswith("E01")
    # A model that was loaded needs its file no more.
    path = tmp_path / "m.tflite"
    path.write_bytes(models.chain())
    m = cranelite.load(path)
    path.unlink()
    assert m(np.ones(4, "f4")).sum() == 12


def test_closed():
    m = cranelite.load(models.chain())
    with m as same:
        assert same is m
        m(np.ones(4, "f4"))
    m.close()
    for call in (lambda: m(np.ones(4, "f4")), m.reset):
        with pytest.raises(ValueError, match="closed"):
            call()
    assert m.inputs[0].shape == (4,) and m.report()


def test_results_stay_when_the_model_goes():
    m = cranelite.load(models.chain())
    y = m(np.ones(4, "f4"))
    del m
    gc.collect()
    np.testing.assert_array_equal(y, [3, 3, 3, 3])


def test_memory_is_given_back():
    import resource

    data = models.products(256, 4)
    m = cranelite.load(data)
    x = np.ones((64, 256), "f4")
    for _ in range(50):
        m(x)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3000):
        m(x)
    for _ in range(10):
        cranelite.load(models.chain()).close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


def test_threads_that_call_one_model():
    """Either the right numbers or a RuntimeError, and the interpreter's lock is released."""
    m = cranelite.load(models.products())
    n = np.random.default_rng(2)
    inputs = [n.standard_normal((64, 512)).astype("f4") for _ in range(4)]
    expected = [m(x) for x in inputs]
    outcomes, ticks, stop = [], [], threading.Event()

    def run(x, y):
        for _ in range(25):
            try:
                outcomes.append(np.array_equal(m(x), y))
            except RuntimeError as e:
                assert "is running in another thread: load one model per thread" in str(e)
                outcomes.append(None)
                time.sleep(0.001)

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0005)

    threads = [threading.Thread(target=run, args=pair) for pair in zip(inputs, expected)]
    clock = threading.Thread(target=tick)
    clock.start()
    [t.start() for t in threads]
    [t.join() for t in threads]
    stop.set()
    clock.join()
    assert outcomes.count(True) > 0 and outcomes.count(None) > 0 and False not in outcomes and len(outcomes) == 100
    assert len(ticks) > 5
    np.testing.assert_array_equal(m(inputs[0]), expected[0])


def test_models_of_their_own_run_at_once():
    data = models.products(128, 4)
    x = np.random.default_rng(3).standard_normal((64, 128)).astype("f4")
    expected, wrong = cranelite.load(data)(x), []

    def run():
        m = cranelite.load(data)
        wrong.extend(1 for _ in range(50) if not np.array_equal(m(x), expected))

    threads = [threading.Thread(target=run) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong


def test_numbers_of_threads_give_the_same_bits():
    data = models.products(96, 3)
    x = np.random.default_rng(4).standard_normal((64, 96)).astype("f4")
    one, two = cranelite.load(data, threads=1), cranelite.load(data, threads=2)
    np.testing.assert_array_equal(one(x), two(x))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_process_that_is_forked_off_goes_on():
    m = cranelite.load(models.products(96, 3), threads=2)
    x = np.random.default_rng(4).standard_normal((64, 96)).astype("f4")
    expected, mine = m(x), os.getpid()
    try:
        child = os.fork()
        if child == 0:
            same = np.array_equal(m(x), expected)
            del m
            gc.collect()
            os._exit(0 if same else 1)
    finally:
        if os.getpid() != mine:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(m(x), expected)

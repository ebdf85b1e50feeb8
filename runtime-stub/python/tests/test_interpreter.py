"""`cranelite.Interpreter`: the interface of TensorFlow Lite's interpreter."""

import gc
import pathlib
import threading

import numpy as np
import pytest

import cranelite
import models
from cranelite import interpreter as module
from cranelite.interpreter import Interpreter, InterpreterWithCustomOps, OpResolverType, load_delegate


def allocated(content, **kwargs):
    interpreter = Interpreter(model_content=content, **kwargs)
    interpreter.allocate_tensors()
    return interpreter


def run(interpreter, *arrays):
    for details, array in zip(interpreter.get_input_details(), arrays):
        interpreter.set_tensor(details["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def test_a_model_runs():
    i = Interpreter(str(models.DIGITS), num_threads=2)
    i.allocate_tensors()
    x = np.random.default_rng(1).integers(-128, 128, i.get_input_details()[0]["shape"], dtype="i1")
    (y,) = run(i, x)
    np.testing.assert_array_equal(y, cranelite.load(models.DIGITS)(x))
    path = Interpreter(model_path=pathlib.Path(models.DIGITS))
    path.allocate_tensors()
    np.testing.assert_array_equal(run(path, x)[0], y)


def test_details():
    i = Interpreter(model_content=models.quantised())
    (d,) = i.get_input_details()
    assert (d["name"], d["index"], d["dtype"], d["quantization"]) == ("x", 0, np.int8, (0.5, -3))
    assert list(d) == ["name", "index", "shape", "shape_signature", "dtype", "quantization", "quantization_parameters", "sparsity_parameters"]
    assert d["shape"].dtype == np.int32 and d["shape"].tolist() == [1, 5] == d["shape_signature"].tolist()
    q = d["quantization_parameters"]
    assert q["scales"].tolist() == [0.5] and q["zero_points"].tolist() == [-3] and (q["quantized_dimension"], q["block_size"]) == (0, 0)
    assert d["sparsity_parameters"] == {}
    assert [t["name"] for t in i.get_tensor_details()] == ["x", "y"] and i.num_subgraphs() == 1
    with pytest.raises(ValueError, match="out of range"):
        i.get_tensor_details(1)
    assert i._get_ops_details()[0]["op_name"] == "RELU" and i._get_ops_details()[0]["operand_types"] == [np.int8]
    with pytest.raises(ValueError, match="Invalid node index"):
        i._get_op_details(1)


def test_before_and_after_allocation():
    i = Interpreter(model_content=models.chain())
    for call, error, text in [
        (i.invoke, RuntimeError, "Invoke called on model that is not ready"),
        (lambda: i.set_tensor(0, np.zeros(4, "f4")), ValueError, "Tensor is unallocated"),
        (lambda: i.get_tensor(0), ValueError, "Tensor data is null"),
        (lambda: i.tensor(0)(), ValueError, "Tensor data is null"),
    ]:
        with pytest.raises(error, match=text):
            call()
    i.allocate_tensors()
    np.testing.assert_array_equal(run(i, np.array([-1, 1, 2, 3], "f4"))[0], [0, 3, 6, 9])
    constant = next(d["index"] for d in i.get_tensor_details() if d["name"] == "three")
    np.testing.assert_array_equal(i.get_tensor(constant), [3])
    between = next(d["index"] for d in i.get_tensor_details() if d["name"] == "r")
    with pytest.raises(ValueError, match="experimental_preserve_all_tensors=True"):
        i.get_tensor(between)
    for call, error, text in [
        (lambda: i.set_tensor(0, np.zeros(4, "f8")), ValueError, "Got value of type FLOAT64 but expected type FLOAT32 for input 0, name: x"),
        (lambda: i.set_tensor(0, "text"), ValueError, "type STRING"),
        (lambda: i.set_tensor(0, np.zeros((1, 4), "f4")), ValueError, "Dimension mismatch. Got 2 but expected 1 for input 0"),
        (lambda: i.set_tensor(0, np.zeros(5, "f4")), ValueError, "Got 5 but expected 4 for dimension 0 of input 0"),
        (lambda: i.set_tensor(constant, np.zeros(1, "f4")), ValueError, "no input"),
        (lambda: i.set_tensor(99, np.zeros(1, "f4")), ValueError, "Invalid tensor index 99"),
        (lambda: i.get_tensor(-1), ValueError, "Invalid tensor index -1"),
        (lambda: i.get_tensor(0, 1), ValueError, "Invalid subgraph index 1"),
        (lambda: i.set_tensor("x", np.zeros(4, "f4")), TypeError, "int"),
    ]:
        with pytest.raises(error, match=text):
            call()


def test_arrays_of_any_layout():
    i = allocated(models.chain())
    x = np.array([-1, 1, 2, 3], "f4")
    for other in (np.repeat(x, 2)[::2], x.astype(">f4"), np.ma.masked_array(x)):
        np.testing.assert_array_equal(run(i, other)[0], [0, 3, 6, 9])
    i = allocated(models.sums((0, 3)))
    assert run(i, np.zeros((0, 3), "f4"), np.zeros(3, "f4"))[0].shape == (0, 3)


def test_all_tensors():
    i = allocated(models.chain(), experimental_preserve_all_tensors=True)
    run(i, np.array([-1, 1, 2, 3], "f4"))
    found = {d["name"]: i.get_tensor(d["index"]).tolist() for d in i.get_tensor_details()}
    assert found == {"x": [-1, 1, 2, 3], "r": [0, 1, 2, 3], "y": [0, 3, 6, 9], "three": [3]}


def test_resizing():
    i = allocated(models.sums(signature=(-1, 3)))
    x, y = (d["index"] for d in i.get_input_details())
    i.resize_tensor_input(x, (4, 3), strict=True)
    assert i.get_input_details()[0]["shape"].tolist() == [4, 3] and i.get_output_details()[0]["shape"].tolist() == [2, 3]
    with pytest.raises(RuntimeError, match="not ready"):
        i.invoke()
    i.allocate_tensors()
    assert i.get_output_details()[0]["shape"].tolist() == [4, 3]
    assert i.get_input_details()[0]["shape_signature"].tolist() == [-1, 3]
    sums, _ = run(i, np.ones((4, 3), "f4"), np.ones(3, "f4"))
    assert sums.tolist() == np.full((4, 3), 2).tolist()
    for size, strict, error, text in [
        ((4, 5), True, RuntimeError, "ResizeInputTensorStrict"),
        ((4, -1), False, RuntimeError, "overflowed"),
        ((2**31 - 1, 2**31 - 1, 2**31 - 1), False, RuntimeError, "overflowed"),
        ([[4, 3]], False, ValueError, "Shape should be 1D instead of 2"),
    ]:
        with pytest.raises(error, match=text):
            i.resize_tensor_input(x, size, strict=strict)
    with pytest.raises(RuntimeError):
        i.resize_tensor_input(99, (1,))
    # What does not fit the rest of the model is told, and can be taken back.
    i.resize_tensor_input(y, (7,))
    with pytest.raises(RuntimeError, match="E0203"):
        i.allocate_tensors()
    i.resize_tensor_input(y, (3,))
    i.allocate_tensors()
    i.invoke()


def test_views():
    i = allocated(models.chain())
    view, result = i.tensor(0), i.tensor(i.get_output_details()[0]["index"])
    assert i._safe_to_run()
    view()[...] = [1, 2, 3, 4]
    i.invoke()
    np.testing.assert_array_equal(result(), [3, 6, 9, 12])
    array = view()
    part = array[1:]
    del array
    gc.collect()
    assert not i._safe_to_run()
    for call in (i.invoke, i.allocate_tensors, lambda: i.resize_tensor_input(0, [4])):
        with pytest.raises(RuntimeError, match="There is at least 1 reference"):
            call()
    del part
    i.invoke()
    # A view outlives its interpreter.
    last = view()
    del i, view, result
    gc.collect()
    np.testing.assert_array_equal(last, [1, 2, 3, 4])


def test_signatures():
    i = Interpreter(model_content=models.sums(signature=(-1, 3)))
    assert i.get_signature_list() == {"serve": {"inputs": ["x", "y"], "outputs": ["difference", "sum"]}}
    runner = i.get_signature_runner()
    for rows in (2, 5, 5, 1):
        found = runner(x=np.ones((rows, 3), "f4"), y=np.ones(3, "f4"))
        assert sorted(found) == ["difference", "sum"] and found["sum"].tolist() == np.full((rows, 3), 2).tolist()
    assert runner.get_input_details()["x"]["name"] == "in_x" and runner.get_output_details()["sum"]["name"] == "out_sum"
    for call, text in [
        (lambda: runner(x=np.ones((1, 3), "f4")), "expected 2 vs provided 1"),
        (lambda: runner(x=np.ones((1, 3), "f4"), z=np.ones(3, "f4")), "Invalid Input name \\(z\\)"),
        (lambda: i.get_signature_runner("other"), 'Invalid signature_key provided: "other"'),
        (lambda: Interpreter(model_content=models.chain()).get_signature_runner(), "model has 0 Signatures"),
        (lambda: module.SignatureRunner(), "None interpreter"),
        (lambda: module.SignatureRunner(i), "None signature_key"),
    ]:
        with pytest.raises(ValueError, match=text):
            call()


def test_signatures_share_variables():
    i = allocated(models.counter())
    add, read = i.get_signature_runner("add"), i.get_signature_runner("read")
    one = np.ones(2, "f4")
    assert add(x=one)["total"].tolist() == [1, 1] and add(x=one)["total"].tolist() == [2, 2]
    assert read(x=3 * one)["product"].tolist() == [6, 6]
    assert run(i, one)[0].tolist() == [3, 3]
    # Whoever resizes one signature leaves the inputs and the variables of the others as they are.
    with pytest.raises(RuntimeError, match="E0203"):
        read(x=np.ones(5, "f4"))
    i.set_tensor(i.get_input_details()[0]["index"], 0 * one)
    assert read(x=np.ones((1, 2), "f4"))["product"].tolist() == [[3, 3]]
    i.invoke()
    assert i.get_tensor(i.get_output_details()[0]["index"]).tolist() == [3, 3]
    i.reset_all_variables()
    assert read(x=one)["product"].tolist() == [3, 3]


def test_sizes_that_data_decide():
    i = allocated(models.where())
    for pattern in ([0, 1, 0, 0, 1, 1], [0] * 6):
        np.testing.assert_array_equal(run(i, np.array(pattern, bool))[0], np.argwhere(pattern))
    i = allocated(models.fill())
    for shape, value in (((2, 3), 5), ((2, 3), 6), ((1, 4), 7)):
        np.testing.assert_array_equal(run(i, np.array(shape, "i4"), np.array(value, "f4"))[0], np.full(shape, value))
        assert i.get_output_details()[0]["shape"].tolist() == list(shape)


def test_indices_are_looked_at():
    i = allocated(models.gather())
    with pytest.raises(RuntimeError, match="out of range"):
        run(i, np.zeros(4, "f4"), np.array([0, 9, 0], "i4"))


def test_arguments():
    content = models.chain()
    for kwargs, error, text in [
        ({}, ValueError, "`model_path` or `model_content` must be specified"),
        ({"model_path": "a", "model_content": b"b"}, ValueError, "Can't both provide"),
        ({"model_path": "/missing.tflite"}, ValueError, "Could not open '/missing.tflite'"),
        ({"model_content": b"garbage"}, ValueError, "The model is not a valid Flatbuffer buffer"),
        ({"model_content": content[:100]}, ValueError, "The model is not a valid Flatbuffer buffer"),
        ({"model_content": content, "num_threads": 0}, ValueError, "num_threads should >= 1"),
        ({"model_content": content, "num_threads": 1.5}, ValueError, "type of num_threads should be int"),
        ({"model_content": content, "experimental_op_resolver_type": "test"}, ValueError, "Unrecognized passed in op resolver type: test"),
        ({"model_content": content, "threads_": 1}, TypeError, "threads_"),
        ({"model_content": content, "float_io": True}, TypeError, "float_io"),
        ({"model_content": content, "pipeline": "x.toml"}, TypeError, "pipeline"),
        ({"model_content": content, "cpu": "z80"}, ValueError, "z80"),
    ]:
        with pytest.raises(error, match=text):
            Interpreter(**kwargs)
    for kind in OpResolverType:
        allocated(content, experimental_op_resolver_type=kind)
    with pytest.warns(UserWarning, match="delegates are not used"):
        Interpreter(model_content=content, experimental_delegates=[object()])
    with pytest.raises(ValueError, match="Failed to load delegate from gpu.so"):
        load_delegate("gpu.so")
    with pytest.raises(ValueError, match="Looking up symbol 'Register' failed"):
        InterpreterWithCustomOps(model_content=content, custom_op_registerers=["Register"])
    with pytest.warns(UserWarning, match="cannot be registered"):
        InterpreterWithCustomOps(model_content=content, custom_op_registerers=["malloc", test_arguments])
    assert InterpreterWithCustomOps(model_content=content)._safe_to_run()
    with pytest.raises(RuntimeError, match="E0201|E0202|E0205"):
        allocated(models.unsupported())
    size = allocated(content, opt="size", cpu="native")
    np.testing.assert_array_equal(run(size, np.ones(4, "f4"))[0], [3, 3, 3, 3])
    given = allocated(models.fill(), input_values={"dims": np.array([2, 2], "i4")})
    given.set_tensor(1, np.array(4, "f4"))
    given.invoke()
    assert given.get_tensor(given.get_output_details()[0]["index"]).tolist() == [[4, 4], [4, 4]]
    with pytest.raises(RuntimeError, match="one model"):
        given._open(content, ["x"], False)


def test_threads_that_share_an_interpreter():
    i = allocated(models.products(512, 12))
    x = np.random.default_rng(5).standard_normal((64, 512)).astype("f4")
    (expected,) = run(i, x)
    output = i.get_output_details()[0]["index"]
    outcomes = []

    def use():
        for _ in range(30):
            try:
                i.invoke()
                outcomes.append(np.array_equal(i.get_tensor(output), expected))
            except RuntimeError as e:
                assert "running in another thread" in str(e)
                outcomes.append(None)

    threads = [threading.Thread(target=use) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert True in outcomes and None in outcomes and False not in outcomes

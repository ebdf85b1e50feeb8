"""Pipelines: labels of classes, and the examples with cameras beside the same steps one by one, in OpenCV and LiteRT."""

import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest

import cranelite
import models

EXAMPLES = models.ROOT / "examples"


def test_labels():
    folder = EXAMPLES / "gesture"
    m = cranelite.load(folder / "gesture.tflite", pipeline=folder / "gesture.toml")
    (x,) = m.inputs
    assert (x.name, x.shape, x.dtype) == ("accelerometer", (4, 3), np.int16)
    assert m.labels == {"output_0": ["none", "wave", "circle", "punch"]}
    lines = (folder / "recording.csv").read_text().splitlines()
    samples = np.array([line.split(",") for line in lines if line[0] != "#"], np.int16)
    told = [int(m(four)["output_0_label"][0]) for four in samples[: len(samples) // 4 * 4].reshape(-1, 4, 3)]
    told = [m.labels["output_0"][label] for label in told if label != -1]
    # As the example's C program prints.
    assert told[:5] == ["punch", "circle", "punch", "punch", "punch"] and len(told) == 17
    assert cranelite.load(models.sums()).labels == {}
    with pytest.raises(cranelite.CompileError) as e:
        cranelite.load(models.DIGITS, pipeline=folder / "gesture.toml")
    assert [d.code for d in e.value.diagnostics] == ["E0508"]


def test_the_camera_example_prints_what_its_readme_says():
    folder = EXAMPLES / "camera-classify"
    found = subprocess.run([sys.executable, folder / "sign.py"], capture_output=True, text=True, check=True).stdout
    assert found and textwrap.indent(found, "    ") in (folder / "README.md").read_text()


def opened(content):
    """A model in LiteRT's reference kernels, as a function of real numbers."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(model_content=content, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    (x,), outputs = interpreter.get_input_details(), interpreter.get_output_details()

    def run(real):
        scale, zero = x["quantization"]
        if scale:
            # Halves go away from zero, as in the operator QUANTIZE: here all are halves, since pixels are whole and their mean is not.
            real = real.astype(np.float32) / np.float32(scale)
            given = np.clip(np.trunc(real + np.copysign(np.float32(0.5), real)) + zero, -128, 127).astype(np.int8)
        else:
            given = real.astype(np.float32)
        interpreter.set_tensor(x["index"], given.reshape(x["shape"]))
        interpreter.invoke()
        y = outputs[0]
        scale, zero = y["quantization"]
        told = interpreter.get_tensor(y["index"])[0].astype(np.float32)
        return (told - zero) * np.float32(scale) if scale else told

    return run


def middle(image, side):
    """The middle square of 160 x 120 pixels as that of a model."""
    cv2 = pytest.importorskip("cv2")
    return cv2.resize(image[:, 20:140], (side, side), interpolation=cv2.INTER_LINEAR_EXACT).astype(np.float32)


def softmax(x):
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def frames(path):
    return np.fromfile(path, np.uint8).reshape(-1, 160 * 120 * (3 if path.suffix == ".nv12" else 4) // 2)


def test_signs_beside_opencv_and_litert():
    cv2 = pytest.importorskip("cv2")
    folder = EXAMPLES / "camera-classify"
    m = cranelite.load(folder / "sign.tflite", pipeline=folder / "sign.toml")
    model = opened((folder / "sign.tflite").read_bytes())
    all = frames(folder / "drive.nv12")
    assert len(all) == 4
    for frame in all:
        image = cv2.cvtColor(frame.reshape(180, 160), cv2.COLOR_YUV2RGB_NV12)
        expected = softmax(model((middle(image, 64) - 127.5) / 127.5))
        label, score = m(frame).values()
        assert label[0] == expected.argmax()
        np.testing.assert_allclose(score[0], expected.max(), atol=1e-3)


def hands(folder, toml, models_of, side, mean, std, dims):
    """What the pipeline says of each frame of the example; and points in the frame and scores, step by step."""
    cv2 = pytest.importorskip("cv2")
    joints, sign = (opened((folder / name).read_bytes()) for name in models_of)
    m = cranelite.load(folder / models_of[0], pipeline=folder / toml)
    all = frames(EXAMPLES / "hand-pose" / "hands.yuyv")
    assert len(all) == 3
    for frame in all:
        image = cv2.cvtColor(frame.reshape(120, 160, 2), cv2.COLOR_YUV2RGB_YUYV)
        points = joints((middle(image, side) - mean) / std).reshape(21, dims)[:, :2] / (side if dims == 3 else 1)
        points = points * np.float32(120) + np.float32([20, 0])
        away = points - points[0]
        yield m(frame), points, sign(away / np.abs(away).max())


def test_hands_beside_opencv_and_litert():
    folder = EXAMPLES / "hand-pose"
    for found, points, scores in hands(folder, "hand.toml", ("hand.tflite", "sign.tflite"), 64, 127.5, 127.5, 2):
        np.testing.assert_allclose(found["hand_points"], points, atol=1e-3)
        assert found["sign_label"][0] == scores.argmax()
        np.testing.assert_allclose(found["sign_score"][0], softmax(scores).max(), atol=1e-3)


def test_mediapipe_and_its_classifier(tmp_path):
    for name, to in ("mp_hand_landmark_lite", "hand.tflite"), ("handgesture_keypoint_classifier", "keypoint_classifier.tflite"):
        path = models.SHARED / "zoo" / f"{name}.zip"
        if not path.exists():
            pytest.skip("the suites are not there")
        (tmp_path / to).write_bytes(zipfile.ZipFile(path).read(f"{name}.tflite"))
    (tmp_path / "mediapipe.toml").write_bytes((EXAMPLES / "hand-pose" / "mediapipe.toml").read_bytes())
    for found, points, scores in hands(tmp_path, "mediapipe.toml", ("hand.tflite", "keypoint_classifier.tflite"), 224, 0, 255, 3):
        np.testing.assert_allclose(found["hand_points"][:, :2], points, atol=0.05)
        assert found["Identity_label"][0] == scores.argmax()
        np.testing.assert_allclose(found["Identity_score"][0], scores.max(), atol=1e-3)

#!/usr/bin/env python3
"""The same in Python: which traffic sign a camera sees, of a file of frames in NV12."""
import pathlib
import sys

import cranelite
import numpy as np

HERE = pathlib.Path(__file__).parent


def main():
    model = cranelite.load(HERE / "sign.tflite", pipeline=HERE / "sign.toml")
    (camera,), (labels,) = model.inputs, model.labels.values()
    video = np.fromfile(sys.argv[1] if len(sys.argv) == 2 else HERE / "drive.nv12", np.uint8)
    for frame in video.reshape(-1, *camera.shape):
        label, score = model(frame).values()
        print(f"{labels[label[0]]:8} {score[0]:.2f}")


if __name__ == "__main__":
    main()

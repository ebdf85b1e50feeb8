"""The face detector from the frame to the answer, as this example has it and as a Python program has it that uses OpenCV and LiteRT: what both find, how
long they take on one thread of this machine, in turn, and how much memory they have.

    compare.py blaze_face_short_range.tflite

Wants `faces` and `astronaut.ppm` beside it (README.md has the commands), and the packages opencv-python-headless, numpy and ai-edge-litert.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent
SIZE, THRESHOLD, IOU = 128, 0.5, 0.3
ROUNDS, ROUND_S = 12, 0.5


def anchors(np):
    """Middles of 896 places, from 0 to 1: two for each 8 x 8 pixels and six for each 16 x 16."""
    rows = []
    for stride, count in ((8, 2), (16, 6)):
        n = SIZE // stride
        y, x = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
        rows.append(np.repeat(np.stack([(x + 0.5) / n, (y + 0.5) / n], -1).reshape(-1, 2), count, 0))
    return np.concatenate(rows).astype(np.float32)


def overlaps(np, boxes, box):
    """Intersection over union of a box with others."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.prod(np.maximum(high - low, 0), 1)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], 1)
    return shared / (area + np.prod(box[2:] - box[:2]) - shared)


class Detector:
    def __init__(self, model):
        import cv2
        import numpy as np
        from ai_edge_litert.interpreter import Interpreter

        cv2.setNumThreads(1)
        self.cv2, self.np, self.anchors = cv2, np, anchors(np)
        self.interpreter = Interpreter(str(model), num_threads=1)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        by_size = sorted(self.interpreter.get_output_details(), key=lambda o: o["shape"][-1])
        self.scores, self.boxes = [o["index"] for o in by_size]

    def __call__(self, frame):
        """Rows of a score, a box and six points, in pixels of the frame."""
        cv2, np = self.cv2, self.np
        height, width = frame.shape[:2]
        side = max(height, width)
        left, top = (side - width) // 2, (side - height) // 2
        if height != width:
            frame = cv2.copyMakeBorder(frame, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT)
        image = cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        self.interpreter.set_tensor(self.input, ((image - 127.5) / 127.5)[None])
        self.interpreter.invoke()
        scores = 1 / (1 + np.exp(-self.interpreter.get_tensor(self.scores).reshape(-1).clip(-80, 80)))
        keep = scores >= THRESHOLD
        scores, rows, at = scores[keep], self.interpreter.get_tensor(self.boxes)[0][keep] / SIZE, self.anchors[keep]
        places = rows.reshape(-1, 8, 2).copy()
        places[:, 0] += at
        places[:, 2:] += at[:, None]
        middle, half = places[:, 0].copy(), places[:, 1] / 2
        places[:, 0], places[:, 1] = middle - half, middle + half
        found, order = [], np.argsort(-scores, kind="stable")
        while len(order):
            near = overlaps(np, places[order, :2].reshape(-1, 4), places[order[0], :2].reshape(4)) >= IOU
            near[0] = True
            weights = scores[order[near]]
            blended = (places[order[near]] * weights[:, None, None]).sum(0) / weights.sum()
            found.append([scores[order[0]], *(blended * side - (left, top)).reshape(-1)])
            order = order[~near]
        return np.array(found, np.float32).reshape(-1, 17)


def read(path):
    import numpy as np

    data = path.read_bytes()
    return np.frombuffer(data, np.uint8, offset=len(data) - 512 * 512 * 3).reshape(512, 512, 3)


def ours(path, *words):
    return subprocess.run([FOLDER / "faces", path, *words], check=True, capture_output=True, text=True).stdout


def peak_mb(process="self"):
    """The most memory that a process of Linux had, in MB."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{process}/status").read_text())[1]) / 1024


def main(model):
    path = FOLDER / "astronaut.ppm"
    if "--once" in sys.argv:
        Detector(model)(read(path))
        print(peak_mb())
        return
    import numpy as np

    frame, detect = read(path), Detector(model)
    theirs = detect(frame)
    for score, *places in theirs:
        print(f"Python: {score:.2f}, from ({places[0]:.0f}, {places[1]:.0f}) to ({places[2]:.0f}, {places[3]:.0f})")
    text = ours(path)
    print("one object: " + re.sub("face .: ", "", text.splitlines()[0]))
    numbers = [list(map(float, re.findall(r"-?[0-9.]+", part))) for part in re.split(r"face \d+: ", text)[1:]]
    if len(numbers) != len(theirs):
        sys.exit(f"{len(numbers)} faces beside {len(theirs)}")
    print(f"farthest apart: {np.abs(np.array(numbers)[:, 1:] - theirs[:, 1:]).max():.1f} pixels of 512, printed in whole ones")
    times = ([], [])
    for _ in range(ROUNDS):
        times[0].append(float(ours(path, "--time", str(ROUND_S * 1e3))))
        end, best = time.perf_counter() + ROUND_S, 1e9
        while time.perf_counter() < end:
            start = time.perf_counter()
            detect(frame)
            best = min(best, (time.perf_counter() - start) * 1e3)
        times[1].append(best)
    a, b = (float(np.median(t)) for t in times)
    print(f"a frame: one object {a:.3f} ms, OpenCV and LiteRT in Python {b:.3f} ms: {b / a:.2f} times (the best call of a round, median of {ROUNDS} rounds in turn)")
    running = subprocess.Popen([FOLDER / "faces", path, "--time", "500"], stdout=subprocess.PIPE)
    time.sleep(0.25)
    c = peak_mb(running.pid)
    running.communicate()
    once = subprocess.run([sys.executable, __file__, model, "--once"], check=True, capture_output=True, text=True)
    print(f"peak memory of the process: {c:.1f} MB beside {float(once.stdout):.0f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

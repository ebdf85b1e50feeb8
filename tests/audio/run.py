#!/usr/bin/env python3
"""Features of sound in a pipeline, beside those of the programs that define them, on made-up and spoken sound.

    pip install numpy flatbuffers pymicro-features tflite-micro ai-edge-litert tensorflow-cpu
    apt install espeak-ng
    python tests/audio/run.py [--cranelite PROGRAM] [--only CHECK,...] [--quick]

What is compared depends on what the Python and the machine have; what is missing is said, and is a failure where CRANELITE_REQUIRE_TOOLS is set:

    c-library   pymicro-features (PyPI), the micro frontend's C library, as microWakeWord has it: every feature the same integer
    tflm        tflite-micro (PyPI) and TFLM's audio preprocessor models in ../shared/zoo2: every feature the same
    tf-signal   TensorFlow's tf.signal in double precision: logarithms and cosines within 0.001, or within twice the error of its own floats
    wake-word   models of microWakeWord in ../shared/zoo, from sound to probabilities in one call, beside the C library's features given to the model
                step by step: by LiteRT where ai-edge-litert is there, else compiled; and examples/keyword/okay_nabu.toml, from sound to the word

Spoken sound is made by espeak-ng. NumPy and flatbuffers are needed in any case. CRANELITE_SHARED is the folder ../shared if it is elsewhere. With
`--quick` each check has one made-up sound and one that is spoken, both short.
"""

import argparse
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import wave
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("CRANELITE_SHARED", ROOT.parent / "shared"))
RATE = 16000
sys.path.insert(0, str(ROOT / "tests/random_graphs"))
from model import Model, Operator, Tensor

failures, left_out = [], []


def check(name, is_right, text):
    print(f"{'ok    ' if is_right else 'FAILED'} {name}: {text}", flush=True)
    if not is_right:
        failures.append(name)


def missing(name, what):
    left_out.append(f"{name}: {what}")
    print(f"{name} left out: there is no {what}", flush=True)


def made_up(seconds):
    """Sounds with every kind of trouble: silence, clicks, full volume, the lowest number, noise, tones that rise."""
    random = np.random.RandomState(1)
    n = RATE * seconds
    t = np.arange(n) / RATE
    sweep = 12000 * np.sin(2 * np.pi * (100 * t + 7000 / (2 * seconds) * t * t))
    click = np.zeros(n)
    click[:: RATE // 3] = 32767
    loud = np.where(np.arange(n) // 37 % 2, 32767, -32768)
    rough = random.randn(n) * np.exp(np.linspace(0, 9, n))
    late = np.where(t < seconds / 2, 0, sweep)
    lowest = np.where(np.arange(n) % 5000 < 900, -32768, 3)
    sounds = {"silence": np.zeros(n), "clicks": click, "square": loud, "noise": rough, "sweep": sweep, "late": late, "lowest": lowest,
              "faint": random.randint(-1, 2, n)}
    return {name: np.clip(x, -32768, 32767).astype(np.int16) for name, x in sounds.items()}


def said(folder, voice, speed, text):
    file = folder / "said.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", file, text], check=True)
    with wave.open(str(file)) as w:
        rate, x = w.getframerate(), np.frombuffer(w.readframes(w.getnframes()), np.int16).astype(float)
    return np.interp(np.arange(0, len(x), rate / RATE), np.arange(len(x)), x)


def spoken(folder):
    """Sentences of several voices, some over noise."""
    if not shutil.which("espeak-ng"):
        missing("spoken sound", "espeak-ng")
        return {}
    random = np.random.RandomState(2)
    sounds = {}
    for i, (voice, speed, text) in enumerate([("en-us", 150, "okay nabu, turn on the light"), ("en-gb+f3", 190, "hey jarvis, what time is it"),
                                              ("de", 130, "guten Morgen, liebe Leute"), ("fr+m4", 220, "bonjour tout le monde")]):
        x = said(folder, voice, speed, text)
        x += random.randn(len(x)) * (0, 30, 300, 2000)[i]
        sounds[f"{voice}, {speed}"] = np.clip(x, -32768, 32767).astype(np.int16)
    return sounds


def passes(element, shape, scale=None, zero_point=None):
    """A model that gives what it takes."""
    quantized = {} if scale is None else {"scales": (scale,), "zero_points": (zero_point,)}
    flat = (int(np.prod(shape)),)
    model = Model([Tensor(element, shape, **quantized), Tensor(element, flat, **quantized)],
                  [Operator("RESHAPE", [0], [1], ("ReshapeOptions", {"new_shape": list(flat)}))], [0], [1])
    return model.file()


class Program:
    def __init__(self, path, folder, is_quick):
        self.path, self.folder, self.is_quick = path, folder, is_quick

    def stream(self, model, pipeline, sound, samples, outputs=1):
        """All outputs of each call in a row, of a sound given call by call."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        (folder / "model.tflite").write_bytes(model)
        (folder / "pipeline.toml").write_text(pipeline)
        words = []
        for i in range(len(sound) // samples):
            np.save(folder / f"{i}.npy", sound[i * samples:(i + 1) * samples])
            words += ["--next-step"] * (i > 0) + ["--input", f"{i}.npy"]
        command = [self.path, "run", "model.tflite", "--pipeline", "pipeline.toml", *words, "--output-dir", "out"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"cranelite run failed:\n{done.stderr}\n{pipeline}")
        load = lambda i, k: np.load(folder / "out" / (f"s{i}.out{k}.npy" if i else f"out{k}.npy")).ravel()
        rows = np.stack([np.concatenate([load(i, k) for k in range(outputs)]) for i in range(len(sound) // samples)])
        shutil.rmtree(folder)
        return rows


def pipeline(samples, features, input="t0", more=""):
    return f"""[audio.mic]
rate = {RATE}
samples = {samples}
{more}
[input.{input}]
from = "mic"
features = {{ {features} }}
"""


def c_library(program, sounds):
    """The C library makes a row of the first 480 samples; a stream begins with silence before them. -32768 is -32767 in a pipeline."""
    from pymicro_features import MicroFrontend
    for name, sound in sounds.items():
        frontend, rows = MicroFrontend(), []
        data = np.maximum(np.concatenate([np.zeros(320, np.int16), sound]), -32767).tobytes()
        while len(data) >= 320:
            got = frontend.process_samples(data[:320])
            data = data[2 * got.samples_read:]
            if got.features:
                rows.append(got.features)
        # Features are multiples of 10 / 256 there.
        real = np.array(rows, np.float32)
        expected = np.round(real / 0.0390625).astype(np.int16)
        features = "kind = 'micro_frontend', step_ms = 10"
        one = program.stream(passes("i16", (1, 1, 40)), pipeline(160, features), sound, 160)
        check(f"c-library, {name}", np.array_equal(one, expected[:len(one)]),
              f"{one.size} features, {np.count_nonzero(one != expected[:len(one)])} differ, the largest is {one.max()}")
        some = sound[:RATE - RATE % 480]
        three = program.stream(passes("i16", (1, 3, 40)), pipeline(480, features), some, 480)
        check(f"c-library, {name}, three rows a call", np.array_equal(three.reshape(-1, 40), expected[:3 * len(three)]), f"{three.size} features")
        floats = program.stream(passes("f32", (1, 40)), pipeline(160, features), some, 160)
        check(f"c-library, {name}, floats", np.array_equal(floats, real[:len(floats)]), f"{floats.size} features")
        # As microWakeWord's device code has it between feature and input.
        bytes = program.stream(passes("i8", (1, 1, 40), 0.101960786, -128), pipeline(160, features), some, 160)
        formula = np.clip((expected[:len(bytes)].astype(int) * 256 + 333) // 666 - 128, -128, 127)
        check(f"c-library, {name}, bytes", np.array_equal(bytes, formula), f"{bytes.size} features")
        # The newest five rows, silence before the first one; from floats, of two channels.
        stereo = np.stack([some, some], 1).ravel().astype(np.float32) / 32768
        newest = program.stream(passes("i8", (1, 5, 40, 1), 0.101960786, -128), pipeline(320, features, more="channels = 2\nformat = 'f32'"),
                                stereo, 640)
        rows = np.concatenate([np.full((3, 40), -128), formula])
        windows = np.stack([rows[i:i + 5].ravel() for i in range(0, 2 * len(newest), 2)])
        check(f"c-library, {name}, the newest rows", np.array_equal(newest, windows), f"{newest.size} features")


def zoo(name, folder):
    """A model of the zoos in ../shared, if that is there."""
    for place in ("zoo", "zoo2"):
        packed, plain = SHARED / place / f"{name}.zip", SHARED / place / f"{name}.tflite"
        if plain.exists():
            return plain.read_bytes()
        if packed.exists():
            with zipfile.ZipFile(packed) as z:
                model = [n for n in z.namelist() if n.endswith(".tflite")]
                if model:
                    return z.read(model[0])
    return None


def tflm(program, sounds):
    """TFLM's own front end is a model: a frame of 480 samples, and 40 features, whose bands' weights are cut off."""
    from tflite_micro import runtime
    models = {kind: zoo(f"tflm_audio_preprocessor_{kind}", program.folder) for kind in ("int8", "float")}
    if None in models.values():
        return missing("tflm", "model of TFLM's audio preprocessor in ../shared")
    for name, sound in sounds.items():
        rows = {}
        framed = np.maximum(np.concatenate([np.zeros(160, np.int16), sound]), -32767)
        for kind, model in models.items():
            interpreter, rows[kind] = runtime.Interpreter.from_bytes(model), []
            for first in range(0, len(framed) - 479, 320):
                interpreter.set_input(framed[None, first:first + 480], 0)
                interpreter.invoke()
                rows[kind].append(interpreter.get_output(0).copy())
            rows[kind] = np.stack(rows[kind])
        features = "kind = 'micro_frontend', tables = 'preprocessor'"
        bytes = program.stream(passes("i8", (1, 40), 0.101715684, -128), pipeline(320, features), sound, 320)
        check(f"tflm, {name}, bytes", np.array_equal(bytes, rows["int8"][:len(bytes)]), f"{bytes.size} features")
        numbers = program.stream(passes("i16", (1, 40)), pipeline(320, features), sound, 320)
        # It divides by 25.6, which as a float is not the inverse of our factor.
        floats = numbers.astype(np.float32) / np.float32(25.6)
        check(f"tflm, {name}, floats", np.array_equal(floats, rows["float"][:len(floats)]), f"{floats.size} features")


def tf_signal(program, sounds):
    import tensorflow as tf
    for name, sound in sounds.items():
        for window, step, mels, lower, upper, power, floor in [(40, 20, 40, 20, 4000, False, 1e-6), (25, 10, 64, 125, 7500, False, 1e-3),
                                                               (32, 16, 20, 0, 8000, True, 1e-2)]:
            size, hop = window * 16, step * 16
            # In double precision, and in floats, which beside a loud tone are wrong by up to 0.02 in bands that are silent.
            wide, narrow = {}, {}
            for found, element in ((wide, tf.float64), (narrow, tf.float32)):
                x = tf.constant(np.concatenate([np.zeros(size - hop), sound]) / 32768, element)
                spectrum = tf.abs(tf.signal.stft(x, size, hop))
                weights = tf.signal.linear_to_mel_weight_matrix(mels, spectrum.shape[-1], RATE, lower, upper, element)
                log_mel = tf.math.log(tf.tensordot(spectrum ** 2 if power else spectrum, weights, 1) + tf.cast(floor, element))
                mfcc = tf.signal.mfccs_from_log_mel_spectrograms(log_mel)[..., :10]
                found |= {"log_mel": log_mel.numpy(), "mfcc": mfcc.numpy()}
            common = f"window_ms = {window}, step_ms = {step}, mels = {mels}, lower_hz = {lower}, upper_hz = {upper}, power = {str(power).lower()}, floor = {floor}"
            for kind, count in (("log_mel", mels), ("mfcc", 10)):
                got = program.stream(passes("f32", (1, 2, count)), pipeline(2 * hop, f"kind = '{kind}', {common}"), sound, 2 * hop)
                expected = wide[kind][:2 * len(got)].reshape(got.shape)
                error, own = np.abs(got - expected).max(), np.abs(wide[kind] - narrow[kind]).max()
                check(f"tf-signal, {name}, {kind} of {mels}", error < max(1e-3, 2 * own),
                      f"{got.size} features, error {error:.2g}, that of TensorFlow's floats {own:.2g}")
        features = "kind = 'log_mel', window_ms = 32, step_ms = 16, mels = 8, lower_hz = 0, upper_hz = 8000"
        newest = program.stream(passes("f32", (1, 4, 8)), pipeline(512, features), sound[:5120], 512)
        each = program.stream(passes("f32", (1, 2, 8)), pipeline(512, features), sound[:5120], 512).reshape(-1, 8)
        each = np.concatenate([np.full((2, 8), np.log(np.float32(1e-6))), each])
        windows = np.stack([each[2 * i:2 * i + 4].ravel() for i in range(len(newest))])
        check(f"tf-signal, {name}, the newest rows", np.allclose(newest, windows, atol=1e-5), f"{newest.size} features")


def rows_of(sound):
    """The C library's features of a stream that begins with silence, as microWakeWord's device code gives them to a model."""
    from pymicro_features import MicroFrontend
    frontend, features = MicroFrontend(), []
    data = np.concatenate([np.zeros(320, np.int16), np.maximum(sound, -32767)]).tobytes()
    while len(data) >= 320:
        read = frontend.process_samples(data[:320])
        data = data[2 * read.samples_read:]
        features += [read.features] if read.features else []
    f = np.round(np.array(features) / 0.0390625).astype(int)
    return np.clip((f * 256 + 333) // 666 - 128, -128, 127).astype(np.int8)


def step_by_step(program, model, inputs):
    """A model's answers to inputs one after the other, by LiteRT or compiled."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        folder = pathlib.Path(tempfile.mkdtemp(dir=program.folder))
        (folder / "model.tflite").write_bytes(model)
        words = []
        for i, x in enumerate(inputs):
            np.save(folder / f"{i}.npy", x)
            words += ["--next-step"] * (i > 0) + ["--input", f"{i}.npy"]
        subprocess.run([program.path, "run", "model.tflite", *words, "--output-dir", "out"], cwd=folder, check=True)
        outputs = [np.load(folder / "out" / (f"s{i}.out0.npy" if i else "out0.npy")).ravel() for i in range(len(inputs))]
        shutil.rmtree(folder)
        return np.stack(outputs)
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    place, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    outputs = []
    for x in inputs:
        interpreter.set_tensor(place, x)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(result).ravel().copy())
    return np.stack(outputs)


def wake_word(program, sounds):
    """From sound to probability in one call: the same as the model on the C library's features."""
    words = [("mww_v2_okay_nabu", 3), ("mww_v1_alexa", 1), ("mww_v2_hey_jarvis", 3), ("mww_v2_vad", 3)]
    for word, rows in words[:1] if program.is_quick else words:
        model = zoo(word, program.folder)
        if model is None:
            missing("wake-word", f"model {word} in ../shared")
            continue
        for name, sound in sounds.items():
            samples = 160 * rows
            whole = pipeline(samples, "kind = 'micro_frontend', step_ms = 10", input="input_audio")
            got = program.stream(model, whole, sound, samples)
            features = rows_of(sound)[:len(got) * rows].reshape(-1, 1, rows, 40)
            expected = step_by_step(program, model, features)
            check(f"wake-word, {word}, {name}", np.array_equal(got, expected), f"{len(got)} calls, the highest probability is {got.max() / 256:.3f}")
    model = zoo("mww_v2_okay_nabu", program.folder)
    if model is not None and shutil.which("espeak-ng"):
        okay_nabu(program, model)


def okay_nabu(program, model):
    """The committed TOML: when it tells the word, beside the means of LiteRT's probabilities as ESPHome takes them."""
    toml = (ROOT / "examples/keyword/okay_nabu.toml").read_text()
    random = np.random.RandomState(3)
    told = {True: 0, False: 0}
    spoken = [(True, "okay nabu"), (False, "what a nice day it is today, is it not"), (True, "okay nabu"), (False, "okay then, see you tomorrow")]
    voices = [("en-us", 150), ("en-gb", 160), ("en-us+f3", 150), ("en-us+m3", 170)]
    for (has_word, text), (voice, speed) in zip(spoken, voices):
        x = said(program.folder, voice, speed, text)
        x = np.concatenate([np.zeros(RATE), x, np.zeros(RATE)]) + random.randn(len(x) + 2 * RATE) * 20
        sound = np.clip(x, -32768, 32767).astype(np.int16)
        got = program.stream(model, toml, sound, 480, outputs=2)
        features = rows_of(sound)[:len(got) * 3].reshape(-1, 1, 3, 40)
        probabilities = step_by_step(program, model, features).ravel() / 256
        silence, expected = 0, []
        for i in range(len(got)):
            mean = np.concatenate([np.zeros(4), probabilities])[i:i + 5].mean()
            is_told = mean >= 0.97 and silence == 0
            silence = 33 if is_told else max(silence - 1, 0)
            expected.append((0 if is_told else -1, mean))
        check(f"okay_nabu.toml, {text!r}, {voice}", np.allclose(got, expected, atol=1e-6),
              f"{len(got)} calls, told {np.count_nonzero(got[:, 0] == 0)} times, the highest mean is {got[:, 1].max():.3f}")
        told[has_word] += np.count_nonzero(got[:, 0] == 0)
    check("okay_nabu.toml, all", told == {True: 2, False: 0}, f"told {told[True]} of 2 words, and {told[False]} that were not said")


CHECKS = {"c-library": (c_library, "pymicro_features"), "tflm": (tflm, "tflite_micro"), "tf-signal": (tf_signal, "tensorflow"),
          "wake-word": (wake_word, "pymicro_features")}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--cranelite", default=str(ROOT / "target/release/cranelite"))
    arguments.add_argument("--only", default=",".join(CHECKS))
    arguments.add_argument("--quick", action="store_true")
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = Program(str(pathlib.Path(arguments.cranelite).resolve()), pathlib.Path(folder), arguments.quick)
        voices, others = spoken(program.folder), made_up(1 if arguments.quick else 3)
        if arguments.quick:
            voices, others = ({n: s[n][:RATE] for n in list(s)[k:k + 1]} for s, k in ((voices, 0), (others, 4)))
        for name in arguments.only.split(","):
            run, package = CHECKS[name]
            if importlib.util.find_spec(package) is None:
                missing(name, f"package {package} in this Python")
                continue
            run(program, voices if name == "wake-word" else {**others, **voices})
    print(f"{len(failures)} failures" if failures else "all right")
    if left_out and os.environ.get("CRANELITE_REQUIRE_TOOLS"):
        print("left out: " + "; ".join(left_out))
        return 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

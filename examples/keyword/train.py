#!/usr/bin/env python3
"""Train the model of this example and write keyword.tflite and recording.wav.

    pip install tensorflow-cpu
    apt install espeak-ng
    python train.py

The data are made here: espeak-ng says the three words and many others in the voices and with the speeds and pitches of chance, in rooms, with
noise of several kinds, louder or softer. The features are those of the pipeline itself: a model that gives what it takes is compiled with the same
`[audio.mic]` and `[input.sound]`, and called from here. A small CNN along time tells the words by the last 64 rows of features; the converter
quantises it to int8. The result depends on the versions of TensorFlow and espeak-ng, so both files are committed; running this again gives others of
about the same accuracy.

    python train.py --test

says how well the program `./keyword` does, on voices, words and sounds that were not trained on: 200 recordings of the words, 200 of others that sound like
them, and an hour of other speech and noise.
"""
import argparse
import ctypes
import os
import pathlib
import struct
import subprocess
import tempfile
import wave

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np

HERE = pathlib.Path(__file__).parent
LABELS = ["none", "computer", "good morning", "good night"]
RATE, CALL, STEP = 16000, 1280, 320
ROWS, CHANNELS = 64, 40

ACCENTS = ["en-us", "en-us", "en-gb", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc"]
TRAINED = ("m1 m3 m4 m5 m7 m8 f1 f3 f5 Alex Alicia Andrea Annie Denis Diogo Gene Gene2 Henrique Hugo Lee Marco Mario Mike Tweaky adam anika antonio "
           "aunty benjamin boris caleb david ed edward edward2 grandma grandpa gustave iven iven2 iven3 iven4 john kaukovalta klatt klatt2 klatt3 "
           "marcelo max miguel norbert paul pedro quincy rob robert shelby steph2 steph3 travis victor zac").split()
UNTRAINED = "m2 m6 f2 f4 Andy Jacky Michael belinda linda michel pablo sandro steph klatt4 Nguyen".split()
SIMILAR = ("commuter|compute|computing|come to her|compare|complete|compete|commute|community|tutor|router|competitor|consumer|newcomer|pewter|"
           "good|morning|night|good day|good evening|good bye|good afternoon|goodness|good luck|good idea|good nature|good food|good money|good manners|"
           "good neighbour|good name|the morning|this morning|every morning|warning|learning|burning|would mourn|could warn|mourning dove|tonight|"
           "midnight|the night|last night|night train|could I|would not|could need|hood|footnote|wouldn't it|put in|food line|goodwill").split("|")
WORDS = ("the of and to in is you that it he was for as with his they at be this have from or one had by word but not what all were we when your can said "
         "there use an each which she do how their if will up other about out many then them these so some her would make like him into time has look two "
         "more write go see number no way could people my than first water been call who oil its now find long down day did get come made may part over new "
         "sound take only little work know place year live me back give most very after thing our just name good sentence man think say great where help "
         "through much before line right too mean old any same tell boy follow came want show also around form three small set put end does another well "
         "large must big even such because turn here why ask went men read need land different home us move try kind hand picture again change off play "
         "spell air away animal house point page letter mother answer found study still learn should world high every near add food between own below "
         "country plant last school father keep tree never start city earth eye light thought head under story saw left few while along might close").split()
# In recording.wav.
SAID = ["computer", "what time is it", "good morning", "the commuter", "good night", "good evening", "good morning", "last night", "computer"]
CONSONANTS, VOWELS = "b d f g h j k l m n p r s t v w z ch sh th st pl br tr".split(), "a e i o u ee oo ai ow er ar".split()


def spoken(random, text, variants):
    """What espeak-ng says, without the silence around it, as floats at 16 kHz."""
    voice = f"{random.choice(ACCENTS)}+{random.choice(variants)}"
    command = ["espeak-ng", "-v", voice, "-s", str(random.integers(130, 215)), "-p", str(random.integers(20, 80)), "--stdout", text]
    x = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout[44:], np.int16) / 32768
    # From 22,050 Hz, by leaving out higher frequencies.
    count = len(x) * RATE // 22050
    x = np.fft.irfft(np.fft.rfft(x)[:count // 2 + 1], count) * count / len(x)
    loud = np.flatnonzero(np.abs(x) > 0.03 * np.abs(x).max())
    return x[loud[0]:loud[-1] + 1]


def other(random, is_test):
    """Words that are none of the three."""
    kind = random.random()
    if kind < 0.35:
        return str(random.choice(SIMILAR))
    # Of every fourth word the test has its own.
    words = [w for i, w in enumerate(WORDS) if (i % 4 == 0) == is_test]
    invented = ["".join(random.choice(CONSONANTS) + random.choice(VOWELS) for _ in range(random.integers(1, 4))) for _ in range(6)]
    words = random.choice(words if kind < 0.75 else invented, random.integers(1, 7))
    text = " ".join(words)
    return text if "good" not in text else "some more words"


def room(random, x):
    """With the echoes of a room, and the frequency response of some microphone."""
    length = random.uniform(0.05, 0.4)
    t = np.arange(int(length * RATE)) / RATE
    echo = random.normal(size=len(t)) * np.exp(-6.9 * t / length)
    echo *= random.uniform(0, 0.8) / np.sqrt((echo ** 2).sum())
    echo[0] += 1
    # A power of two is fast.
    count = 1 << (len(x) + len(echo) - 1).bit_length()
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    tilt = (np.maximum(hertz, 100) / 1000) ** random.uniform(-0.4, 0.4)
    return np.fft.irfft(np.fft.rfft(x, count) * np.fft.rfft(echo, count) * tilt, count)[:len(x)]


def noise(random, count):
    """Of no loudness in particular: hiss or rumble, which may swell, with hum, knocks or notes."""
    hertz = np.fft.rfftfreq(1 << count.bit_length(), 1 / RATE)
    x = random.normal(size=len(hertz)) + 1j * random.normal(size=len(hertz))
    x = np.fft.irfft(x * np.maximum(hertz, 30) ** -random.uniform(0, 1.2))[:count]
    x /= x.std()
    t = np.arange(count) / RATE
    if random.random() < 0.3:
        x *= 1 + 0.8 * np.sin(2 * np.pi * random.uniform(0.1, 2) * t + random.uniform(0, 6))
    if random.random() < 0.2:
        x += random.uniform(0.3, 1) * sum(np.sin(2 * np.pi * random.choice([50, 60]) * k * t) / k for k in range(1, 6))
    if random.random() < 0.2:
        for _ in range(count // RATE):
            at, length = random.integers(count), random.integers(300, 4000)
            knock = random.normal(size=length) * np.exp(-np.arange(length) / length * 5) * random.uniform(2, 12)
            x[at:at + length] += knock[:count - at]
    if random.random() < 0.2:
        length = int(RATE * random.uniform(0.15, 0.6))
        for at in range(0, count - length, length):
            note = 110 * 2 ** (random.integers(0, 36) / 12)
            x[at:at + length] += 1.5 * sum(np.sin(2 * np.pi * note * k * t[:length]) / k for k in range(1, 8)) * np.exp(-t[:length] * 4)
    return x / x.std()


def recording(random, texts, variants, quiet=(0.15, 1.5)):
    """Samples in which these texts are said, and when each of them begins and ends, in samples."""
    parts, spans, at = [], [], 0
    for text in texts:
        pause = int(RATE * random.uniform(*quiet))
        x = spoken(random, text, variants)
        x *= 10 ** random.uniform(-0.3, 0) * 0.1 / x.std()
        parts += [np.zeros(pause), x]
        spans.append((at + pause, at + pause + len(x)))
        at += pause + len(x)
    parts.append(np.zeros(int(RATE * 0.8)))
    x = room(random, np.concatenate(parts))
    x += noise(random, len(x)) * 0.1 * 10 ** -(random.uniform(8, 40) / 20)
    # As loud as the microphone and its distance make it.
    x *= 10 ** random.uniform(-1.3, 0.3)
    return np.clip(np.round(x * 32768), -32768, 32767).astype(np.int16), spans


class Features:
    """The pipeline's own features: [rows, 40], as real numbers."""

    def __init__(self, tf, folder):
        x = tf.keras.Input((CALL // STEP, 1, CHANNELS), batch_size=1, name="sound")
        same = tf.keras.Model(x, tf.keras.layers.Reshape((-1,))(x))
        (folder / "front.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(same).convert())
        (folder / "front.toml").write_text((HERE / "keyword.toml").read_text().split("[output.")[0])
        subprocess.run(["cranelite", "compile", "front.tflite", "--pipeline", "front.toml", "-o", ".", "--cpu", "native"], cwd=folder, check=True)
        subprocess.run(["cc", "-shared", "front.o", "-o", "front.so"], cwd=folder, check=True)
        header = (folder / "front.h").read_text().split()
        size = lambda name: int(header[header.index(f"FRONT_{name}") + 1].strip("()uUlL"))
        self.library = ctypes.CDLL(str(folder / "front.so"))
        # Both must begin at multiples of 16.
        self.arena, self.state = [np.zeros(size(f"{n}_BYTES") // 16 + 5, "V16") for n in ("ARENA", "STATE")]

    @staticmethod
    def aligned(memory):
        return ctypes.c_void_p((memory.ctypes.data + 63) // 64 * 64)

    def __call__(self, samples):
        arena, state = self.aligned(self.arena), self.aligned(self.state)
        self.library.front_reset(state)
        calls = np.ascontiguousarray(samples[:len(samples) // CALL * CALL]).reshape(-1, CALL)
        rows = np.zeros((len(calls), CALL // STEP, CHANNELS), np.float32)
        for call, row in zip(calls, rows):
            given, made = ctypes.c_void_p(call.ctypes.data), ctypes.c_void_p(row.ctypes.data)
            if self.library.front_invoke(ctypes.byref(given), ctypes.byref(made), arena, state):
                raise SystemExit("front_invoke failed")
        return rows.reshape(-1, CHANNELS)


def windows(seed, features, streams):
    """Windows that end a little after a word, and of all that is none: rows of features, where each begins in them, and labels."""
    rows, first, y = [np.zeros((ROWS, CHANNELS), np.float16)], [], []
    count = ROWS
    for i in streams:
        random = np.random.default_rng([seed, i])
        texts = [LABELS[random.integers(1, 4)] if random.random() < 0.5 else other(random, False) for _ in range(random.integers(8, 14))]
        samples, spans = recording(random, texts, TRAINED)
        f = features(samples).astype(np.float16)
        # A window may reach to what was before the stream: silence, for whose sake all streams are apart.
        label = np.zeros(len(f), int)
        for text, (_, end) in zip(texts, spans):
            if text in LABELS:
                # A window that ends with row k knows the samples up to 320 (k + 1).
                last = end // STEP
                label[max(last - 12, 0):last + 30] = -1
                label[last - 1:last + 11] = LABELS.index(text)
        for text, (begin, end) in zip(texts, spans):
            if text not in LABELS:
                # The next word may be near.
                near = label[begin // STEP:end // STEP]
                near[near == -1] = 0
        keep = label >= 0
        keep &= (label > 0) | (random.random(len(label)) < 0.25)
        at = np.flatnonzero(keep)
        rows += [f, np.zeros((ROWS, CHANNELS), np.float16)]
        first += list(count + at - ROWS + 1)
        y += list(label[at])
        count += len(f) + ROWS
        if i % 50 == 49:
            print(f"{i + 1} streams, {len(y)} windows", flush=True)
    return np.concatenate(rows), np.array(first), np.array(y)


def network(tf):
    layers = tf.keras.layers
    def convolution(channels, size, stride):
        return [layers.Conv2D(channels, (size, 1), strides=(stride, 1), padding="same", use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    def separable(channels, stride):
        return [layers.DepthwiseConv2D((7, 1), strides=(stride, stride), padding="same", use_bias=False), layers.BatchNormalization(),
                *convolution(channels, 1, 1)]
    return tf.keras.Sequential([
        layers.Input((ROWS, 1, CHANNELS), batch_size=1, name="sound"),
        *convolution(48, 3, 2), *separable(64, 2), *separable(64, 1), *separable(64, 1),
        layers.Dropout(0.3), layers.Flatten(), layers.Dense(len(LABELS)), layers.Softmax(name="word"),
    ])


def train(streams, epochs):
    import tensorflow as tf

    tf.keras.utils.set_random_seed(5)
    with tempfile.TemporaryDirectory() as folder:
        features = Features(tf, pathlib.Path(folder))
        rows, first, y = windows(5, features, range(streams))
        test = windows(6, features, range(max(streams // 20, 1)))
    print("windows of each label:", np.bincount(y), flush=True)

    def changed(x, label):
        """Louder or softer, another response, noise, and some channels lost: so that voices are not learnt by heart."""
        normal = lambda *shape: tf.random.normal((tf.shape(x)[0], *shape))
        x += normal(1, 1, 1) + normal(1, 1, 1) * tf.linspace(-1.0, 1.0, CHANNELS) + 0.7 * normal(ROWS, 1, CHANNELS)
        lost = tf.random.uniform((tf.shape(x)[0], 1, 1, 1), -CHANNELS, CHANNELS) - tf.range(CHANNELS, dtype=tf.float32)
        return tf.maximum(tf.where(tf.abs(lost) < 2.5, 0.0, x), 0.0), label

    def data(rows, first, y):
        rows = tf.constant(rows)
        cut = lambda at, label: (tf.cast(tf.gather(rows, at[:, None] + tf.range(ROWS)[None])[:, :, None], tf.float32), label)
        return tf.data.Dataset.from_tensor_slices((first.astype(np.int32), y)).shuffle(len(y), seed=5).batch(128).map(cut).prefetch(2)

    model = network(tf)
    # The fixed batch of 1 is for the converter; training uses the same weights through a flexible one.
    sound = tf.keras.Input((ROWS, 1, CHANNELS))
    out = sound
    for layer in model.layers:
        out = layer(out)
    trainer = tf.keras.Model(sound, out)
    rate = tf.keras.optimizers.schedules.CosineDecay(2e-3, epochs * (len(y) // 128))
    trainer.compile(tf.keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    trainer.fit(data(rows, first, y).map(changed), epochs=epochs, verbose=2, validation_data=data(*test))

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    some = np.random.default_rng(7).choice(len(y), 500)
    converter.representative_dataset = lambda: ([rows[at:at + ROWS][None, :, None].astype(np.float32)] for at in first[some])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (HERE / "keyword.tflite").write_bytes(converter.convert())
    write_mu_law(HERE / "recording.wav", recording(np.random.default_rng(11), SAID, UNTRAINED, (0.3, 0.7))[0])


def write_mu_law(path, samples):
    """ITU-T G.711: half as many bytes."""
    x = np.minimum(np.abs(samples.astype(int)), 32635) + 132
    exponent = np.log2(x).astype(int) - 7
    data = (~(np.where(samples < 0, 128, 0) | exponent << 4 | x >> exponent + 3 & 15) & 255).astype(np.uint8).tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 7, 1, RATE, RATE, 1, 8, b"data", len(data))
    path.write_bytes(head + data)


def write(path, samples):
    with wave.open(str(path), "wb") as w:
        w.setnchannels(1), w.setsampwidth(2), w.setframerate(RATE)
        w.writeframes(samples.astype("<i2").tobytes())


def heard(samples):
    """What the program tells: (seconds, word) each."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        write(file.name, samples)
        lines = subprocess.run([HERE / "keyword", file.name], check=True, capture_output=True, text=True).stdout.splitlines()
    words = [line.split() for line in lines]
    return [(float(w[0]), " ".join(w[2:-1])) for w in words]


def test_words(count):
    """Each between two others."""
    random = np.random.default_rng(8)
    right = missed = wrong = false = 0
    for i in range(count):
        word = LABELS[1 + i % 3]
        samples, (_, (_, end), _) = recording(random, [other(random, True), word, other(random, True)], UNTRAINED, (0.3, 1.2))
        told = heard(samples)
        own = [w for t, w in told if -0.3 <= t - end / RATE <= 0.6]
        right += own == [word]
        missed += not own
        wrong += own not in ([], [word])
        false += len(told) - len(own)
        if [w for _, w in told] != [word]:
            print(f"  {word!r} until {end / RATE:.1f} s: {told}")
    print(f"{count} words: {right} right, {missed} missed, {wrong} wrong; {false} false alarms in what was said before and after them", flush=True)


def test_similar(count):
    random = np.random.default_rng(9)
    false = 0
    for i in range(count):
        told = heard(recording(random, [SIMILAR[i % len(SIMILAR)]], UNTRAINED, (1.0, 1.2))[0])
        false += bool(told)
        if told:
            print(f"  {SIMILAR[i % len(SIMILAR)]!r}: {told}")
    print(f"{count} that sound like them: {false} false alarms", flush=True)


def test_rest(hours):
    random = np.random.default_rng(10)
    seconds = false = 0
    while seconds < hours * 3600:
        if random.random() < 0.75:
            samples, _ = recording(random, [other(random, True) for _ in range(20)], UNTRAINED, (0.1, 1.0))
        else:
            samples = np.clip(noise(random, 30 * RATE) * 10 ** random.uniform(1.5, 3.8), -32768, 32767).astype(np.int16)
        seconds += len(samples) / RATE
        false += len(heard(samples))
    print(f"{seconds / 3600:.2f} hours of other speech and noise: {false} false alarms", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--streams", type=int, default=320)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    if not args.test:
        return train(args.streams, args.epochs)
    test_words(200)
    test_similar(200)
    test_rest(1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A network pruned with the TensorFlow Model Optimization toolkit, from training to machine code.

    tests/sparse/toolkit.py [--cranelite PROGRAM] [--cpu LEVEL] [--keep FOLDER] [--rounds N] [--quick]

needs `pip install tensorflow-cpu tf-keras tensorflow-model-optimization scikit-learn` (the toolkit wants the Keras of tf-keras, of TensorFlow's
version). A small network learns scikit-learn's digits; then it is trained on, pruned to 75 % by PolynomialDecay, to 2:4, in blocks of 1x4,
and with its weights clustered to 16 values. Each is stripped, converted as floats and as int8, and both again with
Optimize.EXPERIMENTAL_SPARSITY, which writes sparse tensors with block maps. For every file: our answers beside the reference kernels', equal
answers from the sparse and the dense file of the same weights, how many digits are read rightly, sizes, and times beside the network that
was not pruned. `--quick` trains for one epoch and times nothing. Exit status 1 if an answer is wrong.
"""

import argparse
import os
import pathlib
import sys
import tempfile
import warnings

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
warnings.filterwarnings("ignore")
try:
    import sklearn.datasets
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
except ImportError as e:
    print(f"skipped: {e}: pip install tensorflow-cpu tf-keras tensorflow-model-optimization scikit-learn")
    sys.exit(0)

import numpy

import tflite
from answers import difference, reference
from build import Failed, Library, interleaved

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPARED = 32  # images whose answers are
SPARSITY = tfmot.sparsity.keras


def digits():
    """(images, labels) to learn and to test by"""
    data = sklearn.datasets.load_digits()
    images = (data.images[..., None] / 16).astype("f4")
    return (images[:1400], data.target[:1400]), (images[1400:], data.target[1400:])


def network():
    layers = tf.keras.layers
    return tf.keras.Sequential([
        layers.Input((8, 8, 1), batch_size=1),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2D(256, 1, activation="relu"),
        layers.Conv2D(256, 1, activation="relu"),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(10),
    ])


def train(model, data, epochs, callbacks=()):
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*data, batch_size=32, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def batched(model):
    """The same network for training; that of one image is converted."""
    copy = tf.keras.Sequential([tf.keras.layers.Input((8, 8, 1)), *[type(l).from_config(l.get_config()) for l in model.layers]])
    copy.set_weights(model.get_weights())
    return copy


def unbatched(model):
    single = network()
    single.set_weights(model.get_weights())
    return single


def variants(data, epochs):
    """(name, trained network)"""
    base = train(batched(network()), data, epochs)
    yield "not pruned", unbatched(base)
    steps = -(-len(data[0]) // 32) * epochs
    schedule = SPARSITY.PolynomialDecay(initial_sparsity=0.3, final_sparsity=0.75, begin_step=0, end_step=max(1, steps * 2 // 3), frequency=5)
    constant = SPARSITY.ConstantSparsity(0.5, begin_step=0, frequency=5)
    pruning = {"75 %": {"pruning_schedule": schedule}, "2:4": {"pruning_schedule": constant, "sparsity_m_by_n": (2, 4)},
               "75 % in 1x4": {"pruning_schedule": schedule, "block_size": (4, 1)}}
    for name, how in pruning.items():
        # The first layer and the last stay dense, as is usual. Blocks are of matrices only, and of four inputs, which TensorFlow Lite has last.
        def wrapped(layer):
            matrix = isinstance(layer, tf.keras.layers.Dense) and layer.units != 10
            product = matrix or (isinstance(layer, tf.keras.layers.Conv2D) and layer.filters != 32 and name != "75 % in 1x4")
            return SPARSITY.prune_low_magnitude(layer, **how) if product else layer
        pruned = tf.keras.models.clone_model(base, clone_function=lambda layer: wrapped(type(layer).from_config(layer.get_config())))
        start = dict((l.name, l.get_weights()) for l in base.layers)
        for layer in pruned.layers:
            inner = getattr(layer, "layer", layer)
            if start.get(inner.name):
                inner.set_weights(start[inner.name])
        train(pruned, data, epochs, [SPARSITY.UpdatePruningStep()])
        yield name, unbatched(SPARSITY.strip_pruning(pruned))
    clusters = {"number_of_clusters": 16, "cluster_centroids_init": tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS}
    clustered = tfmot.clustering.keras.cluster_weights(base, **clusters)
    train(clustered, data, max(1, epochs // 2))
    yield "16 values", unbatched(tfmot.clustering.keras.strip_clustering(clustered))


def converted(model, images, int8, sparse):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    optimizations = [tf.lite.Optimize.DEFAULT] if int8 else []
    if int8:
        converter.representative_dataset = lambda: ([image[None]] for image in images[:100])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    converter.optimizations = optimizations + ([tf.lite.Optimize.EXPERIMENTAL_SPARSITY] if sparse else [])
    return converter.convert()


def inputs_of(file, images):
    detail = tf.lite.Interpreter(model_content=file).get_input_details()[0]
    scale, zero = detail["quantization"]
    if scale == 0:
        return [image[None] for image in images]
    return [numpy.clip(numpy.rint(image[None] / scale) + zero, -128, 127).astype("i1") for image in images]


def sparse_tensors(file):
    return sum("sparsity" in t for graph in tflite.File(file).root["subgraphs"] for t in graph["tensors"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cranelite", default=ROOT / "target/release/cranelite", type=pathlib.Path)
    parser.add_argument("--cpu", default="native")
    parser.add_argument("--keep", type=pathlib.Path, help="where the .tflite files are left")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    tf.keras.utils.set_random_seed(1)
    learned, tested = digits()
    images, labels = tested[0], tested[1]
    if options.quick:
        images, labels = images[:COMPARED], labels[:COMPARED]
    failures, dense = [], {}
    print(f"{'network':12} {'file':13} {'bytes':>8} {'sparse tensors':>14} {'zeros':>7} {'constants':>9} {'digits right':>12} {'us':>8} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, model in variants(learned, 1 if options.quick else 12):
            for int8 in (False, True):
                first = None
                for sparse in (False, True):
                    kind = f"{'int8' if int8 else 'f32'}{' sparse' if sparse else ''}"
                    file = converted(model, learned[0], int8, sparse)
                    if options.keep:
                        options.keep.mkdir(parents=True, exist_ok=True)
                        (options.keep / f"{name} {kind}.tflite".replace(" ", "_").replace("%", "").replace(":", "of")).write_bytes(file)
                    try:
                        # Of its own: a library of the same path would be the one that is loaded already.
                        library = Library(options.cranelite, file, folder / f"{name} {kind}", options.cpu)
                    except Failed as e:
                        failures.append(f"{name} {kind}: {e}")
                        print(f"FAILED {failures[-1]}")
                        continue
                    ours = []
                    for i, x in enumerate(inputs_of(file, images)):
                        library.feed([x])
                        if i == 0:
                            _, shape = reference(file, [x])
                        ours.append(library.answers(shape)[0])
                        if i < COMPARED:
                            wrong = difference([ours[-1]], reference(file, [x])[1], 2e-5)
                            if wrong:
                                failures.append(f"{name} {kind}, image {i}: {wrong}")
                    if sparse and not all((a == b).all() for a, b in zip(ours, first)):
                        failures.append(f"{name} {kind}: other answers than from dense tensors")
                    first = first or ours
                    right = numpy.mean([a.argmax() == l for a, l in zip(ours, labels)])
                    if not sparse:
                        held = tflite.File(file).weights()
                        zeros = f"{100 * sum((e == 0).sum() for _, e in held) / sum(e.size for _, e in held):5.1f} %"
                    line = f"{name:12} {kind:13} {len(file):8} {sparse_tensors(file):14} {zeros:>7}"
                    line += f" {library.report['const_bytes']:9} {100 * right:10.1f} %"
                    if not options.quick:
                        before = dense.setdefault(kind, library)
                        times = interleaved([before.seconds, library.seconds], options.rounds)
                        line += f" {1e6 * times[1]:8.2f} {times[0] / times[1]:6.2f}"
                    print(line, flush=True)
    for failure in failures:
        print(f"FAILED: {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

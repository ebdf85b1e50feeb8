"""Sparse constants as the .tflite format has them: any order of dimensions, any blocks, each level dense or lists of indices; written from the description in
the schema, and from what LiteRT's verifier takes (tensorflow/lite/core/tools/verifier.cc)."""

import dataclasses

import numpy


@dataclasses.dataclass
class Case:
    name: str
    dense: numpy.ndarray
    # What is stored of it, and the fields of SparsityParameters.
    numbers: numpy.ndarray
    metadata: dict


def encode(x, order, blocks=(), sizes=(), sparse=(), width="Int32Vector"):
    """(numbers, SparsityParameters): `blocks` are the dimensions that have blocks of `sizes`, `order` is the traversal order of dimensions and then of blocks,
    `sparse` has the levels that are lists."""
    rank = x.ndim
    # One axis for each dimension and block, in the order in which they are stored.
    expanded, place = [], []
    for d in range(rank):
        size = sizes[blocks.index(d)] if d in blocks else None
        place.append((d, len(expanded)))
        expanded.append(x.shape[d] // (size or 1))
        if size:
            place.append((rank + blocks.index(d), len(expanded)))
            expanded.append(size)
    axis_of = dict(place)
    stored = x.reshape(expanded).transpose([axis_of[d] for d in order])
    nodes, levels = [()], []
    for level, size in enumerate(stored.shape):
        lives = lambda at: level not in sparse or numpy.any(stored[at] != 0)
        children = [[at + (i,) for i in range(size) if lives(at + (i,))] for at in nodes]
        if level in sparse:
            segments = numpy.cumsum([0] + [len(c) for c in children])
            indices = numpy.array([at[-1] for c in children for at in c])
            vector = width if len(indices) < 256 else "Int32Vector"
            levels.append({"format": "SPARSE_CSR", "array_segments": (vector, {"values": segments}), "array_indices": (vector, {"values": indices})})
        else:
            levels.append({"format": "DENSE", "dense_size": size})
        nodes = [at for c in children for at in c]
    numbers = numpy.array([stored[at] for at in nodes], x.dtype)
    metadata = {"traversal_order": list(order), "dim_metadata": levels}
    if blocks:
        metadata["block_map"] = list(blocks)
    return numbers, metadata


def some(random, kind, shape, share):
    x = random.randint(1, 100, shape) * random.choice([-1, 1], shape)
    return numpy.where(random.rand(*shape) < share, x, 0).astype(kind)


def case(random, kind):
    """One at random that LiteRT takes as the format means it: blocks of ascending dimensions, whose levels are dense and behind each other in that order, or
    in the other where there are two of them."""
    rank = random.randint(1, 5)
    blocks = sorted(random.choice(rank, random.randint(0, min(rank, 2) + 1), replace=False).tolist())
    sizes = [int(random.randint(1, 4)) for _ in blocks]
    shape = [int(random.randint(1, 5)) for _ in range(rank)]
    for d, size in zip(blocks, sizes):
        shape[d] *= size
    order = [int(d) for d in random.permutation(rank)] + [rank + int(b) for b in random.permutation(len(blocks))]
    sparse = [level for level in range(rank) if random.rand() < 0.6]
    width = str(random.choice(["Int32Vector", "Uint16Vector", "Uint8Vector"]))
    x = some(random, kind, shape, random.choice([0, 0.1, 0.5, 1]))
    # An empty buffer is no constant.
    x.ravel()[random.randint(x.size)] = 7
    numbers, metadata = encode(x, order, blocks, sizes, sparse, width)
    return Case(f"{numpy.dtype(kind)} {shape}, order {order}, blocks {blocks} of {sizes}, sparse {sparse}, {width}", x, numbers, metadata)


def rows(random, count, width, block, kind=numpy.float32):
    """A matrix whose rows are lists of single numbers, or of blocks."""
    x = (random.rand(count, width // block, 1) < 0.4) * random.randint(-99, 99, (count, width // block, block))
    x = x.reshape(count, width).astype(kind)
    x[0, 0] = 3
    numbers, metadata = encode(x, [0, 1] + [2] * (block > 1), [1] if block > 1 else [], [block] if block > 1 else [], [1])
    return Case(f"{count} x {width}, blocks of {block}", x, numbers, metadata)

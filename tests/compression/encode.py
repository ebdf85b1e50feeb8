"""Encodes constants as TensorFlow Lite Micro's DECODE operator and its older compression have them; written from the format, which is at the kernels
(tensorflow/lite/micro/kernels/decode_state_*.cc, tensorflow/lite/micro/compression/metadata.fbs)."""

import heapq
import struct

import numpy

LUT, HUFFMAN, PRUNED = 0, 1, 2
NO_AXIS = 15


def packed(numbers, bits):
    """Numbers of so many bits each, from the highest bit of each byte on."""
    return numpy.packbits(((numpy.asarray(numbers).reshape(-1, 1) >> numpy.arange(bits)[::-1]) & 1).astype(bool).ravel()).tobytes()


def header(kind, own=b"", version=1, own_version=1):
    return bytes([kind, version, 0, 0, own_version]) + own.ljust(11, b"\0")


def palettes(x, axis=None):
    """Indices and tables of values: one, or one for each index of an axis."""
    if axis is None:
        values, indices = numpy.unique(x, return_inverse=True)
        return indices.reshape(x.shape), [values]
    parts = [numpy.unique(part, return_inverse=True) for part in numpy.moveaxis(x, axis, 0)]
    shape = numpy.moveaxis(x, axis, 0).shape[1:]
    return numpy.moveaxis(numpy.stack([i.reshape(shape) for _, i in parts]), 0, axis), [values for values, _ in parts]


def tables_of(tables):
    """All tables, as long as the longest, and how long that is."""
    stride = max(len(t) for t in tables)
    return b"".join(numpy.pad(t, (0, stride - len(t))).tobytes() for t in tables), stride


def lut(x, bits=None, axis=None, header_axis=None):
    """(stream, ancillary data) of a palette, as tools before the axis in the header wrote it if `header_axis` is 0."""
    indices, tables = palettes(x, axis)
    values, stride = tables_of(tables)
    bits = bits or max(1, int(indices.max(initial=0)).bit_length())
    if header_axis is None:
        header_axis = NO_AXIS if axis is None else axis
    return packed(indices, bits), header(LUT, bytes([header_axis << 4 | bits, stride])) + values


def pruned(x, zero_points):
    """(stream, ancillary data) of what is not the zero point; `zero_points` is as x, or one."""
    marks = (x != zero_points).ravel()
    return numpy.packbits(marks).tobytes(), header(PRUNED) + x.ravel()[marks].tobytes()


def code_of(x):
    """A Huffman code of at most 15 bits: symbol to (length, bits)."""
    values, counts = numpy.unique(x, return_counts=True)
    while True:
        heap = [(int(n), i, [int(v)]) for i, (v, n) in enumerate(zip(values, counts))]
        lengths = {int(v): 0 for v in values}
        heapq.heapify(heap)
        while 1 < len(heap):
            (n, i, a), (m, _, b) = heapq.heappop(heap), heapq.heappop(heap)
            for v in a + b:
                lengths[v] += 1
            heapq.heappush(heap, (n + m, i, a + b))
        if max(lengths.values()) <= 15:
            break
        counts = counts // 2 + 1
    code, at, before = {}, 0, 0
    for v, length in sorted(lengths.items(), key=lambda item: (item[1], item[0])):
        at <<= length - before
        code[v] = length, at
        at, before = at + 1, length
    return code


def huffman(x, first_bits=None, is_wide=True):
    """(stream, ancillary data) of a Huffman code, whose tables are looked up with `first_bits` bits at first and as many as needed behind."""
    code = code_of(x)
    longest = max(1, max(length for length, _ in code.values()))
    first_bits = first_bits or min(longest, 5)
    value_bits, entry = (27, "<I") if is_wide else (11, "<H")
    mask = 0xFFFF if x.dtype == numpy.int16 else 0xFF
    words = []

    def table(codes, bits):
        """Appends the table of codes that are left: {(length, bits): symbol}."""
        first = len(words)
        words.extend([0] * (1 << bits))
        for index in range(1 << bits):
            short = [(l, s) for (l, c), s in codes.items() if l <= bits and index >> (bits - l) == c]
            if short:
                length, symbol = short[0]
                words[first + index] = 1 << (value_bits + 4) | length << value_bits | symbol & mask
                continue
            rest = {(l - bits, c & ((1 << (l - bits)) - 1)): s for (l, c), s in codes.items() if bits < l and c >> (l - bits) == index}
            if rest:
                more = min(max(l for l, _ in rest), 3)
                offset = len(words) - (first + index)
                words[first + index] = (more - 1) << value_bits | offset
                assert offset < 1 << value_bits
                table(rest, more)

    table({lengthcode: s for s, lengthcode in code.items()}, first_bits)
    bits = "".join(f"{code[int(v)][1]:0{code[int(v)][0]}b}" if code[int(v)][0] else "" for v in x.ravel())
    bits += "0" * (-len(bits) % 32)
    stream = int(bits or "0", 2).to_bytes(max(len(bits) // 8, 4), "big")
    own = bytes([(first_bits - 1) << 4 | is_wide])
    return stream, header(HUFFMAN, own) + b"".join(struct.pack(entry, w) for w in words)

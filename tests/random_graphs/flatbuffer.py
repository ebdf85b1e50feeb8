"""Writes flatbuffers from dictionaries, by the schema in schema/tflite.fbs: a table is a dictionary of its fields, an enum is a name or a
number, a union a pair of a table's name and a dictionary. What is left out is not written."""

import pathlib
import re

import flatbuffers
import numpy

SCALARS = {"bool": "Bool", "byte": "Int8", "ubyte": "Uint8", "short": "Int16", "ushort": "Uint16", "int": "Int32", "int32": "Int32", "uint": "Uint32",
           "long": "Int64", "ulong": "Uint64", "float": "Float32"}
SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "schema/tflite.fbs"


class Schema:
    def __init__(self, text=SCHEMA.read_text()):
        self.tables, self.enums, self.unions = {}, {}, {}
        text = re.sub(r"//[^\n]*", "", text)
        for kind, name, base, body in re.findall(r"(table|enum|union) (\w+)\s*(?::\s*(\w+))?\s*\{(.*?)\}", text, re.S):
            if kind == "table":
                self.tables[name] = re.findall(r"(\w+)\s*:\s*([\[\]\w]+)([^;]*);", body)
            elif kind == "union":
                self.unions[name] = re.findall(r"\w+", body)
            else:
                self.enums[name] = base, {n: int(v) for n, v in re.findall(r"(\w+)\s*=\s*(-?\d+)", body)}

    def number(self, enum, name):
        return self.enums[enum][1][name]

    def write(self, root, values):
        """The file of a table `root` with everything that hangs on it."""
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.table(builder, root, values), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def table(self, builder, name, values):
        unknown = set(values) - {field for field, _, _ in self.tables[name]}
        assert not unknown, f"{name} has no {unknown}"
        slots, slot = [], 0
        for field, kind, details in self.tables[name]:
            value = values.get(field)
            if kind in self.unions:
                if value is not None:
                    slots.append((slot, "Uint8", self.unions[kind].index(value[0]) + 1))
                    slots.append((slot + 1, None, self.table(builder, *value)))
                slot += 1
            elif value is not None:
                slots.append((slot, *self.value(builder, kind, value, details)))
            slot += 1
        builder.StartObject(slot)
        for at, scalar, value in slots:
            if scalar is None:
                builder.PrependUOffsetTRelativeSlot(at, value, 0)
            else:
                getattr(builder, f"Prepend{scalar}Slot")(at, value, None)
        return builder.EndObject()

    def value(self, builder, kind, value, details):
        """(scalar type or None for an offset, value)"""
        if kind in self.enums:
            base, names = self.enums[kind]
            return SCALARS[base], names.get(value, value)
        if kind in SCALARS:
            return SCALARS[kind], value
        if kind == "string":
            return None, builder.CreateString(value)
        if kind in self.tables:
            return None, self.table(builder, kind, value)
        element = kind.strip("[]")
        if element in SCALARS:
            array = numpy.asarray(value, f"<{numpy.dtype(getattr(numpy, SCALARS[element].lower().replace('bool', 'bool_'))).str[1:]}")
            align = re.search(r"force_align: (\d+)", details)
            builder.StartVector(array.itemsize, array.size, int(align[1]) if align else array.itemsize)
            builder.head -= array.nbytes
            builder.Bytes[builder.head:builder.head + array.nbytes] = array.tobytes()
            return None, builder.EndVector()
        offsets = [self.value(builder, element, v, "")[1] for v in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return None, builder.EndVector()

"""What is wrong with a model, as objects."""

import dataclasses
import json
from typing import Optional, Tuple


@dataclasses.dataclass(frozen=True)
class Place:
    """Where in a model; what is None is not said."""

    subgraph: Optional[int] = None
    operator: Optional[int] = None
    operator_name: Optional[str] = None
    detail: Optional[str] = None

    def __str__(self):
        parts = []
        if self.subgraph is not None:
            parts.append(f"subgraph {self.subgraph}")
        if self.operator is not None:
            parts.append(f"operator {self.operator} {self.operator_name}")
        if self.detail is not None:
            parts.append(self.detail)
        return ", ".join(parts)


@dataclasses.dataclass(frozen=True)
class Diagnostic:
    """One kind of problem of a model, and every place that has it.

    Attributes:
        code: such as "E0203"; `cranelite explain E0203` tells more.
        message: what is wrong.
        expected, found: where that says more, otherwise None.
        help: what to do, or None.
        file: the model's path, or None.
        place: the first place.
        more: the other places.
    """

    code: str
    message: str
    expected: Optional[str]
    found: Optional[str]
    help: Optional[str]
    file: Optional[str]
    place: Place
    more: Tuple[Place, ...]

    @property
    def count(self):
        """How many places have the problem."""
        return 1 + len(self.more)

    def __str__(self):
        place = f" ({self.place})" if str(self.place) else ""
        return f"{self.code}: {self.message}{place}"


class CompileError(ValueError):
    """A model cannot be compiled as it was asked for. The text is what the command line says.

    Attributes:
        diagnostics: a list of Diagnostic, every problem of the model.
    """

    def __init__(self, message, diagnostics=()):
        super().__init__(message)
        self.diagnostics = list(diagnostics)


def diagnostics(text):
    """The diagnostics in a JSON text of the compiler."""

    def place(d):
        return Place(d["subgraph"], d["operator"], d["operator_name"], d["detail"])

    def one(d):
        same = {key: d[key] for key in ("code", "message", "expected", "found", "help", "file")}
        return Diagnostic(place=place(d), more=tuple(map(place, d["more"])), **same)

    return [one(d) for d in json.loads(text)["diagnostics"]]


def from_failure(text, rendered, usage):
    """The exception for a failure of the compiler: its JSON, its text, and what is wrong with an option's value, or None."""
    if usage is not None:
        return ValueError(usage)
    found = diagnostics(text)
    if found and all(d.code == "E0502" for d in found):
        return OSError("\n".join(d.message for d in found))
    return CompileError(rendered.rstrip("\n"), found)

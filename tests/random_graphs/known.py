"""Differences from the reference that are meant, each with its reason. Anything else is a failure."""

import dataclasses
import re


@dataclasses.dataclass
class Known:
    reason: str
    # Found in what went wrong: a refusal's message or a difference's description.
    message: str
    # Of the operators; all of them must be in the model.
    operators: tuple = ()

    def explains(self, message, operators):
        return re.search(self.message, message) and set(self.operators) <= set(operators)


KNOWN = [
    Known("the reference shifts int32 by 31 and more, which means nothing", r"E0206: the quotient of input and output scales is out of range"),
    Known("the reference's multiplier of LOGISTIC does not fit 32 bits", r"E0206: the scale of the input is too large", ("LOGISTIC",)),
    Known("the reference's multiplier of TANH does not fit 32 bits", r"E0206: the scale of the input is too large", ("TANH",)),
]


def reason(message, operators):
    """Why this is meant, or None."""
    return next((k.reason for k in KNOWN if k.explains(message, operators)), None)

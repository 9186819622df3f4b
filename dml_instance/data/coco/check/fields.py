"""Single values of a COCO file as the numbers and texts that they stand for."""

import math
from collections.abc import Sequence
from typing import Any


def are_numbers(values: Sequence) -> bool:
    """Whether all are ints or floats, finite, and no bools; True of none."""
    try:
        # A sum is finite where all are: quicker than to ask each.
        return set(map(type, values)) <= {int, float} and math.isfinite(math.fsum(values))
    except (OverflowError, ValueError):  # of an int beyond the floats, and of inf - inf
        return False


def whole(value: Any) -> int | None:
    """The int that is meant by 128, 128.0, "128" or "128.0"; None for anything else."""
    if type(value) is int:  # nearly always
        return value
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return int(value) if are_numbers([value]) and value == int(value) else None


def is_text(value: Any) -> bool:
    """Whether it is a text, not empty, that can be printed and written into a file."""
    # JSON can hold halves of characters, which UTF-8 cannot.
    return isinstance(value, str) and value.encode(errors="replace").decode() == value != ""


def shown(value: Any) -> str:
    """A value for a message, cut to 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

"""Ids of a COCO file: which are one id, and numbers for those that are none."""

import re
from collections.abc import Sequence
from typing import Any

from .fields import whole
from .findings import Findings

# pycocotools keeps ids as float64, which hold whole numbers below this.
_BOUND = 2**53

_WHOLE = re.compile(r"(0|-?[1-9][0-9]{0,14})(\.0+)?")


def identity(value: Any) -> int | str | None:
    """What an id stands for: 7 for 7, 7.0, "7" and "7.0", the text for other text.

    "007" stays text: beside 7 it may be another id. None for what is no id.
    """
    if type(value) is int:  # nearly always
        return value
    if isinstance(value, str):
        text = value.strip()
        digits = _WHOLE.fullmatch(text)
        return int(digits[1]) if digits else text or None
    return whole(value)


def number_entries(
    entries: dict[int | str, dict], what: str, findings: Findings
) -> dict[int | str, int]:
    """Make the ``id`` of each entry a number.

    Args:
        entries: by ``identity`` of their ids, in the order of new numbers.
        what: the ids are of, for the findings.
        findings: gets what was repaired.

    Returns:
        The numbers by ``identity``: themselves where all are numbers that pycocotools can hold,
        else 1, 2, 3 ...
    """
    are_fit = all(isinstance(i, int) and abs(i) < _BOUND for i in entries)
    numbers = {i: i if are_fit else place for place, i in enumerate(entries, start=1)}
    for identifier, entry in entries.items():
        repair = f"ids of {what} {'read as numbers' if are_fit else 'numbered anew'}"
        set_number(entry, "id", numbers[identifier], repair, findings)
    return numbers


def set_number(entry: dict, key: str, number: int, repair: str, findings: Findings) -> None:
    """Set a field; where that was not this very number, it is a repair."""
    if type(entry.get(key)) is not int or entry[key] != number:
        entry[key] = number
        findings.repair(repair)


def number_annotations(annotations: Sequence[dict], findings: Findings) -> None:
    """Number annotations 1, 2, 3 ... unless pycocotools can tell them apart by their ids as they
    are: numbers from 1 on, as 0 is its mark for "not found"."""
    ids = [annotation.get("id") for annotation in annotations]
    are_fit = (
        set(map(type, ids)) <= {int}
        and len(set(ids)) == len(ids)
        and all(0 < i < _BOUND for i in ids)
    )
    if not are_fit:
        for number, annotation in enumerate(annotations, start=1):
            annotation["id"] = number
        findings.repair("ids of annotations numbered anew", len(annotations))

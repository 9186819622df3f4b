"""A JSON file, parsed once, for whoever wants it."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class JsonFile:
    """A JSON file that was parsed.

    Attributes:
        path: of the file.
        content: that it holds.
        is_plain: it is in UTF-8 without a mark, which all programs read.
    """

    path: str
    content: Any
    is_plain: bool


def parsed(path: str) -> JsonFile:
    """Parse a file in UTF-8, 16 or 32.

    Raises:
        OSError: for one that cannot be read.
        ValueError: for what is no JSON, or is nested too deep.
    """
    with open(path, "rb") as file:
        text = file.read()
    try:
        return JsonFile(path, json.loads(text), json.detect_encoding(text) == "utf-8")
    except RecursionError as error:
        raise ValueError(error) from error

"""A table of objects."""

import csv
import io
from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np

from ....files import GrowingFile
from ....keys.classes import Classes
from .form import ResultForm, ResultImage
from .found import FoundObject

COLUMNS = (
    "image",
    "label",
    "class",
    "score",
    "area",
    "center_row",
    "center_column",
    "left",
    "top",
    "width",
    "height",
)


class Table(ResultForm):
    """``objects.csv``: a line for each object, see COLUMNS.

    Lengths are in pixels, the area is that of the whole mask, classes stand by name.
    """

    target = "objects.csv"

    def adding(
        self, image: ResultImage, objects: Sequence[FoundObject]
    ) -> AbstractContextManager[None]:
        self.file = self.file or GrowingFile(self.path, _lines([COLUMNS]))
        rows = (object_row(image, found, self.classes) for found in objects)
        return self.file.adding(_lines(map(_as_text, rows)))

    def images_there(self) -> set[str]:
        with open(self.path, encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if tuple(rows.fieldnames or ()) != COLUMNS:
                raise ValueError(f"{self.path} is no table of objects of this program")
            return {row["image"] for row in rows}


def object_row(image: ResultImage, found: FoundObject, classes: Classes) -> dict:
    """What the table says of an object, by column; lengths in pixels are floats."""
    mask, (top, left) = found.mask, found.corner
    row, column = (
        float(np.average(np.arange(first, first + side), weights=mask.sum(axis=axis)))
        for axis, first, side in ((1, top, mask.shape[0]), (0, left, mask.shape[1]))
    )
    lengths = (row, column, *map(float, (left, top, *mask.shape[::-1])))
    name = classes.names[found.class_index]
    facts = (image.file_name, found.label, name, found.score, int(mask.sum()), *lengths)
    return dict(zip(COLUMNS, facts, strict=True))


def _as_text(row: dict) -> list:
    digits = {name: 1 for name, value in row.items() if isinstance(value, float)}
    digits["score"] = 4
    return [f"{v:.{digits[name]}f}" if name in digits else v for name, v in row.items()]


def _lines(rows) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue()

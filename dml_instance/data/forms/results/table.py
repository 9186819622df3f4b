"""A table of objects."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from ....files import GrowingFile
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

    def add(self, image: ResultImage, objects: Sequence[FoundObject]) -> None:
        self.file = self.file or GrowingFile(self.path, _lines([COLUMNS]))
        self.file.add(_lines(self._row(image, found) for found in objects))

    def images_there(self) -> set[str]:
        with open(self.path, encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if tuple(rows.fieldnames or ()) != COLUMNS:
                raise ValueError(f"{self.path} is no table of objects of this program")
            return {row["image"] for row in rows}

    def _row(self, image: ResultImage, found: FoundObject) -> tuple:
        mask, (top, left) = found.mask, found.corner
        row, column = (
            np.average(np.arange(first, first + side), weights=mask.sum(axis=axis))
            for axis, first, side in ((1, top, mask.shape[0]), (0, left, mask.shape[1]))
        )
        lengths = (row, column, left, top, *mask.shape[::-1])
        name, score = self.classes.names[found.class_index], f"{found.score:.4f}"
        facts = (image.file_name, found.label, name, score, int(mask.sum()))
        return (*facts, *(f"{length:.1f}" for length in lengths))


def _lines(rows) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue()

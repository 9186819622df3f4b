"""A table that says of which class the numbers of label images are."""

import codecs
import csv
import os
from dataclasses import dataclass

from ....errors import FileError
from ...input_files import InputFile
from .exports import understood


def _encoding(file: str) -> str:
    """UTF-16 where a mark at the begin says so, as tables saved by Excel; else UTF-8."""
    with open(file, "rb") as stream:
        is_wide = stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return "utf-16" if is_wide else "utf-8-sig"


def _whole(text: str) -> int:
    """A whole number, also where it is written "1.0"; ValueError for others."""
    if text.strip().isdecimal():
        return int(text)
    number = float(text)
    if not number.is_integer():
        raise ValueError(f"label {text} is no whole number")
    return int(number)


@dataclass(frozen=True)
class ClassTable:
    """Numbers to classes, for all images or for each.

    A CSV file with a head: ``label`` and ``class``, and ``image``, the name of its file with or
    without folders and ending, where numbers mean something else in each image. Other columns are
    let alone; tabs and semicolons separate as well as commas. In UTF-8, or UTF-16 with a mark.

    Attributes:
        file: that it was read from.
        classes: of (image, number); of all images the first is empty.
    """

    file: str
    classes: dict[tuple[str, int], str]

    @classmethod
    def read(cls, file: str) -> "ClassTable":
        """Read a table; FileError for one that lacks a column or contradicts itself."""
        classes: dict[tuple[str, int], str] = {}
        form = "a table of label and class"
        with understood(file, form), open(file, encoding=_encoding(file), newline="") as stream:
            head = stream.readline()
            separator = max(",;\t", key=head.count)
            columns = [name.strip().strip('"').lower() for name in head.split(separator)]
            rows = list(csv.DictReader(stream, columns, delimiter=separator))
        for line, row in enumerate(rows, start=2):
            with understood(f"{file}, line {line},", form):
                image = os.path.splitext((row.get("image") or "").replace("\\", "/"))[0]
                number, class_name = _whole(row["label"] or ""), (row["class"] or "").strip()
                if classes.setdefault((image, number), class_name) != class_name:
                    raise ValueError(f"label {number} is of two classes")
                if not class_name:
                    raise ValueError(f"label {number} is of no class")
        return cls(file, classes)

    def class_of(self, image: InputFile, number: int, file: str) -> str:
        """The class of a number.

        Args:
            image: that it is in.
            number: of the object.
            file: label image, for the message.

        Raises:
            FileError: for a number that is not in the table.
        """
        stem = os.path.splitext(image.relative)[0]
        for name in (stem, os.path.basename(stem), ""):
            if (name, number) in self.classes:
                return self.classes[name, number]
        raise FileError(
            f"{file} has a label {number}, which {self.file} does not name: add a line for it"
        )

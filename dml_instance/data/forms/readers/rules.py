"""What a user says about the annotations that are to be read."""

import os
from dataclasses import dataclass

from ....images import PLAIN, ReadingRules

# Of objects without a class, of which a user says nothing.
DEFAULT_CLASS = "object"


@dataclass(frozen=True)
class SourceRules:
    """Where annotations and images lie, and how they are read.

    Attributes:
        labels: folder or file of the annotations.
        images: folder of the images, or one image; None: where the annotations say, or beside them.
        class_names: one: of objects of which the annotations name no class. Several: those of label
            files of one class each, whose name ends in it.
        class_table: CSV file with the class of each number, see ``ClassTable``; None: none.
        class_key: the attribute of VIA that holds the class; None: the only one there is.
        number_pieces: each piece of a number of a label image is an object.
        may_lack_labels: images without a label image are passed over; else they are refused.
        keep_boxes: boxes count as masks, for objects that are rectangles.
        reading: of images and label images.
    """

    labels: str
    images: str | None = None
    class_names: tuple[str, ...] = (DEFAULT_CLASS,)
    class_table: str | None = None
    class_key: str | None = None
    number_pieces: bool = False
    may_lack_labels: bool = False
    keep_boxes: bool = False
    reading: ReadingRules = PLAIN

    def __post_init__(self):
        for path in (self.labels, self.images, self.class_table):
            if path is not None and not os.path.exists(path):
                raise FileNotFoundError(f"{path} does not exist")
        if not self.class_names or not all(name.strip() for name in self.class_names):
            raise ValueError("a class has a name: give --class-name one that is not empty")

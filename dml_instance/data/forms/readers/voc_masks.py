"""Masks as Pascal VOC has them, and the programs that write its form.

``SegmentationObject`` numbers the objects of an image, ``SegmentationClass`` says what they are.
Both are palette images, or, of CVAT and datumaro, in colours; 255, or its colour in VOC's palette,
is a border that is neither object nor background. The names of the classes stand in
``class_names.txt`` (labelme2voc) or ``labelmap.txt`` (CVAT), or are VOC's.
"""

import os
from collections.abc import Iterator

import numpy as np
from detectron2.data.datasets.pascal_voc import CLASS_NAMES
from PIL import Image

from ....rle import encoded, encoded_part
from ...images import (
    IMAGE_ENDINGS,
    ImageHeader,
    image_header,
    image_size,
    read_image,
    read_labels,
)
from ..annotated import AnnotatedImage, AnnotatedObject, FormError
from .class_table import ClassTable
from .exports import ImageFolder, files_below, understood
from .label_images import numbered
from .rules import SourceRules

FORM = "VOC masks"
_OBJECTS, _CLASSES = "SegmentationObject", "SegmentationClass"
_PLACES = ("", "VOCdevkit/VOC2012", "VOC2012")
# The border as a number, and as a colour.
_VOID, _VOID_COLOUR = 255, (224, 224, 192)


def voc_folder(path: str) -> str | None:
    """The folder that holds the masks of objects, of a path or of where VOC's archive unpacks."""
    places = (os.path.join(path, place) for place in _PLACES)
    return next((p for p in places if os.path.isdir(os.path.join(p, _OBJECTS))), None)


def read_voc_masks(rules: SourceRules) -> Iterator[AnnotatedImage]:
    """The images, their borders as crowds; FormError and ImageFileError for what is wrong with a
    file."""
    folder = voc_folder(rules.labels)
    if folder is None:
        raise FormError(f"{rules.labels} has no folder {_OBJECTS}: give the one that holds it")
    names = _class_names(folder, rules)
    images = ImageFolder(rules.images, [os.path.join(folder, "JPEGImages")])
    masks = os.path.join(folder, _OBJECTS)
    for file in files_below(masks, ".png"):
        name = os.path.splitext(os.path.relpath(file, masks))[0]
        image = images.find([name + ending for ending in (".jpg", *IMAGE_ENDINGS)], file)
        of_class = os.path.join(folder, _CLASSES, f"{name}.png")
        if not os.path.isfile(of_class):
            raise FormError(f"{of_class} is missing: it says what the objects of {file} are")
        yield _annotated(image, file, of_class, names, image_header(image, rules.reading))


def _class_names(folder: str, rules: SourceRules) -> dict[int, str]:
    """Names by number, and by colour where a file gives colours, without the background."""
    if rules.class_table is not None:
        table = ClassTable.read(rules.class_table)
        return {number: name for (_, number), name in table.classes.items()}
    for file in ("class_names.txt", "labelmap.txt"):
        path = os.path.join(folder, file)
        if not os.path.isfile(path):
            continue
        with understood(path, FORM), open(path, encoding="utf-8-sig") as stream:
            lines = [line.strip() for line in stream if line.strip() and line[0] != "#"]
            names = {}
            for number, line in enumerate(lines):
                name, *colour = line.split(":")
                names[number] = name
                if colour and colour[0]:
                    names[_packed(np.array(colour[0].split(","), dtype=int))] = name
        background = names.pop(0)
        return {number: name for number, name in names.items() if name != background}
    return dict(enumerate(CLASS_NAMES, start=1))


def _packed(colours: np.ndarray) -> np.ndarray | int:
    """(..., 3) red, green and blue as one number beyond those of palettes; black is 0."""
    packed = colours.astype(np.int64) @ (1 << 16, 1 << 8, 1)
    return np.where(packed == 0, 0, packed + (1 << 24)) if packed.ndim else int(packed) + (1 << 24)


def _numbers(file: str) -> np.ndarray:
    """(H, W) numbers of a mask file; of one in colours ``_packed``, borders as 255."""
    image_size(file)  # says what is wrong with a file that is no image
    with Image.open(file) as image:
        is_colour = image.mode in ("RGB", "RGBA")
    if not is_colour:
        return read_labels(file)
    numbers = _packed(read_image(file))
    return np.where(numbers == _packed(np.array(_VOID_COLOUR)), _VOID, numbers)


def _annotated(
    image: str,
    object_file: str,
    class_file: str,
    names: dict[int, str],
    header: ImageHeader,
) -> AnnotatedImage:
    size = header.size
    objects, classes = _numbers(object_file), _numbers(class_file)
    for file, numbers in ((object_file, objects), (class_file, classes)):
        if numbers.shape != size:
            raise FormError(
                f"{image} is {size}, but {file} is {numbers.shape} (height, width): give the masks "
                "that were drawn on it"
            )
    annotated, void = [], objects == _VOID
    for number, window in numbered(np.where(void, 0, objects)):
        mask = objects[window] == number
        values, counts = np.unique(classes[window][mask], return_counts=True)
        of_object = values[counts.argmax()]
        if of_object in (0, _VOID):
            # Something is there, but nobody says what.
            void[window] |= mask
        elif int(of_object) not in names:
            raise FormError(
                f"{class_file} has a class {of_object}, which has no name: give its name in a "
                "table with --classes"
            )
        else:
            corner = (window[0].start, window[1].start)
            rle = encoded_part(mask, corner, size)
            annotated.append(AnnotatedObject(rle, names[int(of_object)]))
    if void.any():
        class_name = annotated[0].class_name if annotated else next(iter(names.values()))
        annotated.append(AnnotatedObject(encoded(void), class_name, is_crowd=True))
    return AnnotatedImage(image, size, tuple(annotated), may_lie_turned=header.hides_turn)

"""Label images: 0 is background, and each object has a number, or a file of its own.

That is how Fiji, CellProfiler, ilastik, napari, Cellpose and StarDist keep annotated objects, and,
with a file for each object, DSB2018.
"""

import math
from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from ....errors import FileError
from ....images import image_header, read_labels
from ....rle import encoded_part
from ...annotated import AnnotatedImage, AnnotatedObject
from .class_table import ClassTable
from .pairing import LabelFile, LabelledImage, labelled_images
from .rules import SourceRules
from .smooth_masks import hardened, is_smooth

FORM = "label images"
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=int)
# A piece smaller than this share of its number is a speck. Pieces whose boxes fill less than the
# other share of the box round all of them are far apart.
_SPECK, _SPREAD = 0.02, 0.25
# An object that covers more of its image, and reaches all borders, may be the background.
_MOST = 0.5

EMPTY = "mask file without a pixel"

# Kinds of doubts.
NO_BACKGROUND, SMOOTH, IN_PIECES = "no background", "smooth", "in pieces"
INVERTED = "inverted"

Window = tuple[slice, slice]


def read_label_images(rules: SourceRules) -> Iterator[AnnotatedImage]:
    """The images; FileError for what is wrong with a file."""
    pairs = labelled_images(
        rules.images, rules.labels, rules.class_names, may_lack_labels=rules.may_lack_labels
    )
    table = None if rules.class_table is None else ClassTable.read(rules.class_table)
    if (
        table is None
        and len(rules.class_names) > 1
        and any(part.class_name is None for pair in pairs for part in pair.labels)
    ):
        raise FileError(
            f"the files of {rules.labels} do not end in {', '.join(rules.class_names)}: give one "
            "name with --class-name, or a table of numbers and classes with --classes"
        )
    for pair in pairs:
        yield _annotated(pair, table, rules)


def _annotated(pair: LabelledImage, table: ClassTable | None, rules: SourceRules) -> AnnotatedImage:
    header = image_header(pair.image.path, rules.reading)
    objects, doubts, empty = [], {}, 0
    for part in pair.labels:
        labels = _labels_of(part, pair.image.path, header.size, rules, doubts)
        empty += part.is_one_object and not labels.any()
        numbers = list(numbered(labels))
        for number, window in numbers:
            class_name = part.class_name or (
                table.class_of(pair.image, number, part.file) if table else rules.class_names[0]
            )
            mask = labels[window] == number
            pieces = _pieces(mask) if rules.number_pieces else [(mask, (0, 0))]
            is_alone = rules.number_pieces or part.is_one_object or len(numbers) == 1
            for piece, (row, column) in pieces:
                if is_alone and INVERTED not in doubts:
                    doubts |= _inverted(piece, part.file, header.size)
                corner = (window[0].start + row, window[1].start + column)
                rle = encoded_part(piece, corner, header.size)
                objects.append(AnnotatedObject(rle, class_name))
            if not (IN_PIECES in doubts or rules.number_pieces or part.is_one_object):
                doubts |= _in_pieces(mask, number, part.file, is_only_one=len(numbers) == 1)
        if NO_BACKGROUND not in doubts and not part.is_one_object:
            doubts |= _no_background(labels, part.file)
    return AnnotatedImage(
        pair.image.path,
        header.size,
        tuple(objects),
        left_out={EMPTY: empty} if empty else {},
        doubts=doubts,
        may_lie_turned=header.hides_turn,
    )


def _labels_of(
    part: LabelFile,
    image: str,
    size: tuple[int, int],
    rules: SourceRules,
    doubts: dict[str, str],
) -> np.ndarray:
    """(H, W) numbers of a label file, not negative; of a mask of one object one beside 0.

    What was done to get them is added to ``doubts``.
    """
    labels = read_labels(part.file, rules.reading)
    if labels.shape != size:
        raise FileError(
            f"{image} is {size}, but {part.file} is {labels.shape} (height, width): give the label "
            "image that was drawn on it"
        )
    if labels.min() < 0:
        raise FileError(
            f"{part.file} has a label {labels.min()}: make what is no object 0, and give each "
            "object a number above"
        )
    if is_smooth(labels):
        if not (part.is_one_object or rules.number_pieces):
            raise FileError(
                f"{part.file} has smooth edges, as masks that were blurred, resized or saved as "
                "JPEG: its numbers are no objects. --number-pieces takes what is at least half of "
                "the largest number, each piece an object; or give label images"
            )
        doubts[SMOOTH] = (
            f"{part.file} has smooth edges: what is at least half of its largest number was taken"
        )
        labels = hardened(labels)
    if part.is_one_object and ((labels != 0) & (labels != labels.max())).any():
        raise FileError(
            f"{part.file} has several numbers, but is the mask of one object by its name: where it "
            f"is a label image, name it as {image}"
        )
    return labels


def numbered(labels: np.ndarray) -> Iterator[tuple[int, Window]]:
    """The numbers of a label image that are not 0, each with the window that holds it.

    Args:
        labels: (H, W) whole numbers, not negative.
    """
    numbers = None
    if labels.max(initial=0) > labels.size:
        # find_objects lists every number up to the largest.
        numbers, labels = np.unique(labels, return_inverse=True)
        if numbers[0] != 0:
            numbers, labels = np.append(0, numbers), labels + 1
    for place, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is not None:
            yield (place if numbers is None else int(numbers[place])), window


def _pieces(mask: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """The connected pieces of a mask, corners included, with the row and column of their first
    pixels in it."""
    pieces, _ = ndimage.label(mask, _EIGHT_NEIGHBOURS)
    for number, window in numbered(pieces):
        yield pieces[window] == number, (window[0].start, window[1].start)


def _no_background(labels: np.ndarray, file: str) -> dict[str, str]:
    """What is said of an image all of whose pixels are of objects, by its kind."""
    if not labels.min():
        return {}
    numbers, counts = np.unique(labels, return_counts=True)
    share, number = counts.max() / labels.size, numbers[counts.argmax()]
    return {
        NO_BACKGROUND: f"{file} has no 0, so that {number}, which covers {share:.0%} of it, is an "
        "object, too: where it is what is no object, make it 0"
    }


def _inverted(mask: np.ndarray, file: str, size: tuple[int, int]) -> dict[str, str]:
    """What is said of an object that looks like what is round the objects, by its kind."""
    share = np.count_nonzero(mask) / math.prod(size)
    if mask.shape != size or share <= _MOST:
        return {}
    return {
        INVERTED: f"{file} has an object that covers {share:.0%} of its image and reaches all of "
        "its borders: where that is what is round the objects, invert the mask, so that 0 is what "
        "is no object"
    }


def _in_pieces(mask: np.ndarray, number: int, file: str, *, is_only_one: bool) -> dict[str, str]:
    """What is said of a number that looks like several objects, by its kind."""
    if not is_only_one and np.count_nonzero(mask) >= _SPREAD * mask.size:
        return {}
    pieces, _ = ndimage.label(mask, _EIGHT_NEIGHBOURS)
    counts = np.bincount(pieces.ravel())[1:]
    is_large = counts >= _SPECK * counts.sum()
    boxes = [math.prod(s.stop - s.start for s in box) for box in ndimage.find_objects(pieces)]
    is_spread = np.dot(boxes, is_large) < _SPREAD * mask.size
    if is_large.sum() < 2 or not (is_spread or is_only_one):
        return {}
    return {
        IN_PIECES: f"{file}: {number} is in {is_large.sum()} pieces, as in masks of 0 and 255, of "
        "which --number-pieces makes each piece an object, or in label images that were resized "
        "with smoothing or saved as JPEG, which have to be made anew"
    }

"""What was found in a data set, in words for people."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from ...keys.classes import doubts_of_names
from ...report import counted, table, with_more
from ...rle import areas
from ..annotated import AnnotatedImage, AnnotatedObject, left_out_lines
from ..forms.readers import INVERTED

_NAMED = 3
# An inverted mask is doubted where so large a share of the images has one.
_NEARLY_ALL = 0.9


def summary(title: str, images: Sequence[AnnotatedImage], unused: Sequence[str]) -> str:
    """A table of the classes, and a line for whatever a user may not expect.

    Args:
        title: of the form.
        images: that were read.
        unused: image files that nothing annotates.
    """
    lines = [f"{title}: {_images(len(images))} of {_sizes(images)} pixels (height x width)", ""]
    lines += [_classes(images), ""]
    lines += left_out_lines(images)
    crowds = sum(item.is_crowd for image in images for item in image.objects)
    if crowds:
        lines.append(f"neither object nor background: {counted(crowds, 'region')}")
    without = [image.file for image in images if not image.objects]
    if without:
        lines.append(f"without an object: {_counted(without)}")
    if unused:
        lines.append(f"without annotation, left out: {_counted(unused)}")
    lines += [f"warning: {doubt}" for doubt in _doubts(images)]
    return "\n".join(lines).strip()


def _doubts(images: Sequence[AnnotatedImage]) -> Iterator[str]:
    """A line for each kind of what looks like a mistake."""
    yield from doubts_of_names(objects_by_class(images))
    doubles = {image.file: count for image in images if (count := _doubles(image))}
    if doubles:
        yield (
            f"{counted(sum(doubles.values()), 'object')} of {_counted(list(doubles))} with the "
            "same pixels as another one: where they were annotated twice, take one of them out"
        )
    of_kind = defaultdict(list)
    for image in images:
        for kind, doubt in image.doubts.items():
            of_kind[kind].append(doubt)
        if image.may_lie_turned:
            of_kind["turned"].append(
                f"EXIF turns {image.file}, and nothing tells whether it was annotated so: see on "
                "the contact sheet whether its objects lie right"
            )
    for kind, (first, *others) in of_kind.items():
        if kind == INVERTED and 1 + len(others) < _NEARLY_ALL * len(images):
            continue  # an image may show one large object
        yield with_more(first, len(others))


def _doubles(image: AnnotatedImage) -> int:
    """The number of objects that cover the same pixels as one before them."""
    masks = [item.mask["counts"] for item in image.objects if not item.is_crowd]
    return len(masks) - len(set(masks))


def median_diameter(objects: Sequence[AnnotatedObject]) -> float:
    """Median diameter, in pixels, of discs of the objects' areas."""
    return float(2 * np.sqrt(np.median(areas([item.mask for item in objects])) / np.pi))


def objects_by_class(images: Sequence[AnnotatedImage]) -> dict[str, list[AnnotatedObject]]:
    """The objects of all images, without crowds, by the names of their classes in order."""
    found: dict[str, list[AnnotatedObject]] = {}
    for image in images:
        for item in image.objects:
            if not item.is_crowd:
                found.setdefault(item.class_name, []).append(item)
    return dict(sorted(found.items()))


def _classes(images: Sequence[AnnotatedImage]) -> str:
    """A row for each class."""
    with_class = Counter(
        name
        for image in images
        for name in {item.class_name for item in image.objects if not item.is_crowd}
    )
    rows = [
        [
            name,
            with_class[name],
            len(objects),
            median_diameter(objects),
        ]
        for name, objects in objects_by_class(images).items()
    ]
    return table(rows, ["class", "images", "objects", "median diameter"])


def _sizes(images: Sequence[AnnotatedImage]) -> str:
    smallest, largest = (
        choose((image.size for image in images), key=lambda size: size[0] * size[1])
        for choose in (min, max)
    )
    texts = dict.fromkeys(f"{height} x {width}" for height, width in (smallest, largest))
    return " to ".join(texts)


def _counted(files: Sequence[str]) -> str:
    """How many files, and the first of them."""
    more = " ..." if len(files) > _NAMED else ""
    return f"{_images(len(files))} ({', '.join(files[:_NAMED])}{more})"


def _images(count: int) -> str:
    return counted(count, "image")

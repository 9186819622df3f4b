"""CVAT for images 1.1: ``annotations.xml``.

An ``image`` has its size and shapes with a ``label``, which is the class, and maybe a ``group_id``:
shapes of one label and group are the parts of one object, as in CVAT's own exports to COCO. The
``rle`` of a ``mask`` counts pixels row by row inside its box, zeros first. CVAT's
``dataset_manager/formats/cvat.py`` is the definition. Its export to COCO is COCO's format.
"""

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import numpy as np

from ....errors import FileError
from ...annotated import AnnotatedImage
from .drawing import NO_AREA, Drawing
from .exports import ImageFolder, files_below, understood
from .rules import SourceRules

FORM = "CVAT"
_SHAPES = ("box", "polygon", "ellipse", "mask", "polyline", "points", "cuboid", "skeleton")


def cvat_files(path: str) -> list[str]:
    """The files of CVAT's XML that a path holds, by their root element."""
    return [file for file in files_below(path, ".xml") if _root(file) == "annotations"]


def _root(file: str) -> str:
    """The name of the root element; empty where there is none."""
    try:
        return next(ElementTree.iterparse(file, events=("start",)))[1].tag
    except (ElementTree.ParseError, StopIteration, ValueError, LookupError):
        return ""


def read_cvat(rules: SourceRules) -> Iterator[AnnotatedImage]:
    """The images of all XML files; FileError for what is wrong with one."""
    for file in cvat_files(rules.labels) or files_below(rules.labels, ".xml"):
        here = os.path.dirname(file) or "."
        folder = ImageFolder(rules.images, [os.path.join(here, "images"), here])
        for element in _elements(file):
            if element.tag == "track":
                raise FileError(
                    f"{file} is of CVAT for video: export CVAT for images 1.1, and give that"
                )
            if element.tag == "image":
                yield _annotated(element, file, folder, rules)
                element.clear()


def _elements(file: str) -> Iterator[ElementTree.Element]:
    """The elements of an XML file, each when it is complete."""
    try:
        for _, element in ElementTree.iterparse(file):
            yield element
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise FileError(f"{file} is no XML ({error}): export it again") from error


def _annotated(
    element: ElementTree.Element, file: str, folder: ImageFolder, rules: SourceRules
) -> AnnotatedImage:
    with understood(f"{file}, image {element.get('name')},", FORM):
        size = (element.attrib["height"], element.attrib["width"])
        names = [os.path.join(element.get("subset") or "", element.attrib["name"])]
        image = folder.find([*names, element.attrib["name"]], file)
        drawing = Drawing(image, file, size, rules)
        for shape in element:
            if shape.tag in _SHAPES:
                _draw(drawing, shape.tag, shape.attrib)
    return drawing.annotated()


def _draw(drawing: Drawing, kind: str, facts: dict[str, str]) -> None:
    group = facts.get("group_id", "0")
    of_object = (facts["label"], None if group == "0" else group)

    def numbers(*keys: str) -> list[float]:
        return [float(facts[key]) for key in keys]

    degrees = float(facts.get("rotation", 0))
    if kind == "polygon":
        points = [pair.split(",") for pair in facts["points"].split(";")]
        drawing.polygon(points, *of_object)
    elif kind == "ellipse":
        drawing.ellipse(numbers("cx", "cy"), numbers("rx", "ry"), *of_object, degrees=degrees)
    elif kind == "box":
        left, top, right, bottom = numbers("xtl", "ytl", "xbr", "ybr")
        sides = (right - left, bottom - top)
        drawing.box((left, top), sides, *of_object, degrees=degrees, about=(0.5, 0.5))
    elif kind == "mask":
        left, top, width, height = (int(facts[k]) for k in ("left", "top", "width", "height"))
        counts = [int(count) for count in facts["rle"].split(",")]
        is_inside = 0 < width <= drawing.size[1] and 0 < height <= drawing.size[0]
        if not is_inside or min(counts) < 0 or sum(counts) != width * height:
            raise ValueError(
                f"a mask of {height} x {width} pixels (height x width) has runs of {sum(counts)}"
            )
        pixels = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
        drawing.mask(pixels, (top, left), *of_object)
    else:
        drawing.leave_out(NO_AREA if kind in ("polyline", "points") else kind)

"""LabelMe: a JSON file beside each image.

``shapes`` hold a ``label``, which is the class, ``points``, a ``shape_type`` and maybe a
``group_id``: shapes of one label and group are the parts of one object. A ``mask`` is a PNG in
base64 whose corners are its two points, both inside. labelme's ``utils/shape.py`` is the
definition.
"""

import math
import os
from collections.abc import Iterator
from functools import cache

import numpy as np

from ..annotated import AnnotatedImage, FormError
from .drawing import NO_AREA, Drawing
from .exports import ImageFolder, embedded_png, files_below, parsed_json, understood
from .rules import SourceRules

FORM = "LabelMe"


def is_labelme(content) -> bool:
    """Whether JSON is a file of LabelMe."""
    return isinstance(content, dict) and {"shapes", "imagePath"} <= content.keys()


def read_labelme(rules: SourceRules) -> Iterator[AnnotatedImage]:
    """The images of a JSON file, or of all of a folder; FormError for what is wrong with one."""
    folder_of = cache(lambda place: ImageFolder(rules.images, [place]))
    for file in files_below(rules.labels, ".json"):
        content = parsed_json(file)
        with understood(file, FORM):
            if not is_labelme(content):
                raise FormError(f"{file} is not of LabelMe: move it elsewhere, or give --form")
            folder = folder_of(os.path.dirname(file) or ".")
            image = folder.find([content["imagePath"]], file)
            height, width = content.get("imageHeight"), content.get("imageWidth")
            declared = None if None in (height, width) else (height, width)
            drawing = Drawing(image, file, declared, rules)
            shapes = list(content["shapes"])
        for number, shape in enumerate(shapes, start=1):
            with understood(f"{file}, shape {number},", FORM):
                _draw(drawing, shape)
        yield drawing.annotated()


def _draw(drawing: Drawing, shape: dict) -> None:
    kind = shape.get("shape_type") or "polygon"
    points = np.array(shape["points"], dtype=float).reshape(-1, 2)
    # A label that is none is a fault here.
    label = "" if shape["label"] is None else shape["label"]
    of_object = (label, shape.get("group_id"))
    if kind in ("polygon", "oriented_rectangle"):
        drawing.polygon(points, *of_object)
    elif kind == "circle":
        center, rim = points
        radius = math.dist(center, rim)
        drawing.ellipse(center, (radius, radius), *of_object)
    elif kind == "rectangle":
        drawing.box(points.min(axis=0), np.ptp(points, axis=0), *of_object)
    elif kind == "mask":
        left, top = points[0].astype(int)
        drawing.mask(embedded_png(shape["mask"], "L") > 0, (top, left), *of_object)
    else:
        drawing.leave_out(NO_AREA)

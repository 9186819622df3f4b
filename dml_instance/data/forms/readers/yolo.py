"""YOLO's segmentation: ``data.yaml``, and a text file of polygons for each image.

A line is the number of the class and x, y of the corners as shares of width and height. Parts and
holes are joined by lines there and back, see ``drawing``. The folder ``images`` in the path of an
image becomes ``labels`` in that of its text file; an image without one has no object. ultralytics'
``data/utils.py`` is the definition. Label Studio and labelImg write ``classes.txt`` instead of
``data.yaml``.
"""

import os
import re
from collections.abc import Iterator

import numpy as np
import yaml

from ...input_files import InputFile, input_files
from ..annotated import AnnotatedImage, FormError
from .drawing import Drawing
from .exports import ImageFolder, understood
from .rules import SourceRules

FORM = "YOLO"
# What ultralytics calls the splits, and what they are called here.
_SPLITS = {"train": "train", "val": "val", "validation": "val", "test": "test"}


def yolo_file(path: str) -> str | None:
    """The file with the names of the classes; None where there is none.

    Args:
        path: of that file, or of the folder that it lies in.
    """
    is_folder = os.path.isdir(path)
    names = sorted(os.listdir(path)) if is_folder else [os.path.basename(path)]
    has_labels = "labels" in names or sum(name.endswith(".txt") for name in names) > 1
    for name in names:
        file = os.path.join(path, name) if is_folder else path
        if name == "classes.txt" and (has_labels or not is_folder):
            return file
        if file.lower().endswith((".yaml", ".yml")):
            with open(file, encoding="utf-8-sig", errors="replace") as stream:
                if any(line.startswith("names") for line in stream):
                    return file
    return None


def read_yolo(rules: SourceRules) -> Iterator[AnnotatedImage]:
    """The images of all splits; FormError for what is wrong with a file."""
    file = yolo_file(rules.labels)
    if file is None:
        raise FormError(
            f"{rules.labels} has no data.yaml: write one with the names of the classes, or "
            "give another --form"
        )
    here = os.path.dirname(file) or "."
    with understood(file, FORM), open(file, encoding="utf-8-sig") as stream:
        if file.endswith(".txt"):
            names, splits = dict(enumerate(line.strip() for line in stream)), {"": [here]}
        else:
            names, splits = _of_yaml(stream.read(), here, file)
    if rules.images is not None:
        splits = {"": [rules.images]}
    for split, places in splits.items():
        for place in places:
            for image in _images(place, here):
                yield _annotated(rules, image, names, split)


def _of_yaml(text: str, here: str, file: str) -> tuple[dict[int, str], dict[str, list[str]]]:
    """Names of classes by number, and by split the folders and lists of its images."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from error
    names = content["names"]
    names = names if isinstance(names, dict) else dict(enumerate(names))
    roots = (os.path.join(here, str(content.get("path") or "")), here)
    splits = {}
    for key, split in _SPLITS.items():
        if entry := content.get(key):
            entries = entry if isinstance(entry, list) else [entry]
            splits[split] = [_place(one, roots, file) for one in entries]
    return {int(number): str(name) for number, name in names.items()}, splits


def _place(entry: str, roots: tuple[str, ...], file: str) -> str:
    """The folder, or list of images, that a split names.

    Exports of Roboflow name ``../train/images`` and mean ``train/images``.
    """
    for root in roots:
        for name in (entry, re.sub(r"^(\.\./)+", "", entry)):
            path = os.path.normpath(os.path.join(root, name))
            if os.path.exists(path):
                return path
    raise FormError(f"{file} names {entry}, which is not there: correct it")


def _images(place: str, here: str) -> list[InputFile]:
    """The image files of a folder, or of a list of them."""
    if os.path.isdir(place):
        return input_files([place])
    with understood(place, FORM), open(place, encoding="utf-8-sig") as stream:
        lines = [line.strip() for line in stream if line.strip()]
    folder = ImageFolder([os.path.dirname(place), here])
    return input_files([folder.find([line], place) for line in lines])


def _annotated(
    rules: SourceRules, image: InputFile, names: dict[int, str], split: str
) -> AnnotatedImage:
    file = _label_file(image, rules.labels)
    drawing = Drawing(image.path, file, None, rules)
    sides = np.array(drawing.size[::-1])
    if os.path.isfile(file):
        with understood(file, FORM), open(file, encoding="utf-8-sig") as stream:
            lines = stream.read().splitlines()
        for number, line in enumerate(lines, start=1):
            if line.strip():
                with understood(f"{file}, line {number},", FORM):
                    _draw(drawing, line, names, sides)
    return drawing.annotated(split)


def _draw(drawing: Drawing, line: str, names: dict[int, str], sides: np.ndarray) -> None:
    number, *values = map(float, line.split())
    if number not in names:
        raise ValueError(f"class {number:g} is not among the {len(names)} names")
    if len(values) % 2 or len(values) < 4:
        raise ValueError(f"{len(values)} numbers are no pairs of x and y")
    points = np.array(values).reshape(-1, 2) * sides
    if len(points) == 2:
        center, size = points
        drawing.box(center - size / 2, size, names[number])
    else:
        drawing.polygon(points, names[number])


def _label_file(image: InputFile, labels: str) -> str:
    """The text file of an image: as its own path says, or of its name in a folder."""
    before, found, after = image.path.replace(os.sep, "/").rpartition("/images/")
    path = f"{before}/labels/{after}" if found else image.path
    files = [f"{os.path.splitext(p)[0]}.txt" for p in (path, os.path.join(labels, image.relative))]
    return next(filter(os.path.isfile, files), files[0])

"""YOLO's segmentation: ``data.yaml``, and a text file of polygons for each image.

A line is the number of the class and x, y of the corners as shares of width and height. Parts and
holes are joined by lines there and back, see ``drawing``. The folder ``images`` in the path of an
image becomes ``labels`` in that of its text file; an image without one has no object. ultralytics'
``data/utils.py`` is the definition. Label Studio and labelImg write ``classes.txt`` instead of
``data.yaml``.
"""

import logging
import os
import re
from collections.abc import Iterator

import numpy as np
import yaml

from ....errors import FileError
from ....images import is_image_name
from ...annotated import AnnotatedImage
from ...input_files import InputFile, images_below, named
from .drawing import Drawing
from .exports import SPLITS, ImageFolder, understood
from .rules import SourceRules

FORM = "YOLO"

# Of a key in YAML that has no value.
_NOTHING = (None, "", "~", "null")

_logger = logging.getLogger(__name__)


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
                keys = {line.partition(":")[0].rstrip() for line in stream}
            # Other programs have a list of names, too.
            if "names" in keys and (has_labels or not is_folder or keys & SPLITS.keys()):
                return file
    return None


def read_yolo(rules: SourceRules) -> Iterator[AnnotatedImage]:
    """The images of all splits; FileError for what is wrong with a file."""
    file = yolo_file(rules.labels)
    if file is None:
        raise FileError(
            f"{rules.labels} has no data.yaml: write one with the names of the classes, or "
            "give another --format"
        )
    here = os.path.dirname(file) or "."
    with understood(file, FORM), open(file, encoding="utf-8-sig") as stream:
        if file.endswith(".txt"):
            names, splits = dict(enumerate(line.strip() for line in stream)), {}
        else:
            names, content = _of_yaml(stream.read())
            splits = _splits(content, here, file, is_given=rules.images is not None)
    earlier: set[str] = set()
    for split, places in (splits or {"": [rules.images or here]}).items():
        images = [image for place in places for image in _images(place, here)]
        own = [image for image in images if os.path.realpath(image.path) not in earlier]
        if len(own) < len(images):
            _logger.warning(
                "%s names %d of the %d images of %s for another split, too: they are taken once, "
                "for that; --val-fraction puts images aside for val",
                *(file, len(images) - len(own), len(images), split),
            )
        earlier |= {os.path.realpath(image.path) for image in images}
        for image in own:
            yield _annotated(rules, image, names, split)


def _of_yaml(text: str) -> tuple[dict[int, str], dict]:
    """Names of classes by number, and all that the file says."""
    try:
        # Of texts alone, as they are written: a class may be called "yes".
        content = yaml.load(text, yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ValueError(error) from error
    names = content["names"]
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        raise ValueError("names is neither a list nor numbers with names")
    return {int(number): str(name) for number, name in names.items()}, content


def _splits(content: dict, here: str, file: str, *, is_given: bool) -> dict[str, list[str]]:
    """By split the folders and lists of its images; none where a user gives their place.

    Exports name splits that were not exported, such as ``test``; those are left out with a warning.

    Raises:
        FileError: where the images to train on are not there.
    """
    given = {s: content[key] for key, s in SPLITS.items() if content.get(key) not in _NOTHING}
    if given and is_given:
        _logger.warning("--images is given: %s of %s do not count", ", ".join(given), file)
        return {}
    root = content.get("path")
    roots = (here if root in _NOTHING else os.path.join(here, str(root)), here)
    splits = {}
    for split, entry in given.items():
        places = [_place(one, roots) for one in (entry if isinstance(entry, list) else [entry])]
        if None not in places:
            splits[split] = places
        elif split == "train":
            raise FileError(f"{file} names {entry} for {split}, which is not there: correct it")
        else:
            _logger.warning("%s names %s for %s, which is not there: left out", file, entry, split)
    return splits


def _place(entry: str, roots: tuple[str, ...]) -> str | None:
    """The folder, or list of images, that a split names; None where it is not there.

    Exports of Roboflow name ``../train/images`` and mean ``train/images``.
    """
    for root in roots:
        for name in (entry, re.sub(r"^(\.\./)+", "", entry)):
            path = os.path.normpath(os.path.join(root, name))
            if os.path.exists(path):
                return path
    return None


def _images(place: str, here: str) -> list[InputFile]:
    """An image file, or those of a folder or a list."""
    if os.path.isdir(place) or is_image_name(place):
        images = images_below([place])
        if not images:
            _logger.warning("%s holds no image", place)
        return images
    with understood(place, FORM), open(place, encoding="utf-8-sig") as stream:
        lines = [line.strip() for line in stream if line.strip()]
    folder = ImageFolder(None, [os.path.dirname(place), here])
    return named([folder.find([line], place) for line in lines])


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
    # As from inside the folder, too.
    absolute = os.path.abspath(image.path).replace(os.sep, "/")
    before, found, after = absolute.rpartition("/images/")
    path = f"{before}/labels/{after}" if found else image.path
    files = [f"{os.path.splitext(p)[0]}.txt" for p in (path, os.path.join(labels, image.relative))]
    return next(filter(os.path.isfile, files), files[0])

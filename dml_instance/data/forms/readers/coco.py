"""COCO's format: read to be split, cut or put together with its images anew."""

import logging
import os
from collections import defaultdict
from collections.abc import Iterator

from ....rle import as_rle
from ...coco_check import CheckedCoco, check_coco
from ..annotated import AnnotatedImage, AnnotatedObject
from .exports import SPLITS, files_below, one_file, parsed_json
from .rules import SourceRules

FORM = "COCO"

_logger = logging.getLogger(__name__)


def is_coco(content) -> bool:
    """Whether JSON has the lists of COCO's format."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def read_coco(rules: SourceRules) -> Iterator[AnnotatedImage]:
    """The images; polygons become the pixels that they cover.

    Raises:
        ValueError, FileNotFoundError: as the check of COCO files.
    """
    for file, split in _files(rules.labels).items():
        root = rules.images or _image_root(file)
        coco = check_coco(file, root, rules.reading)
        if coco.repairs:
            _logger.warning("%s was repaired: %s", file, coco.repairs)
        yield from _images(coco, root, split)


def _files(path: str) -> dict[str, str]:
    """The only file, with the split ""; or, as Roboflow exports them, one in a folder for each
    split, which is called like it."""
    files = files_below(path, ".json")
    splits = [SPLITS.get(os.path.basename(os.path.dirname(file))) for file in files]
    if None in splits or len(set(splits)) < max(len(splits), 2):
        return {one_file(path, ".json"): ""}
    return dict(zip(files, splits, strict=True))


def _image_root(file: str) -> str:
    """The folder that holds the first image that the file lists: beside it, or where others go."""
    here = os.path.dirname(file) or "."
    content = parsed_json(file)
    try:
        name = content["images"][0]["file_name"].replace("\\", "/")
    except (LookupError, TypeError, AttributeError):
        return here
    places = (here, f"{here}/images", f"{here}/../images")
    return next((p for p in places if os.path.isfile(os.path.join(p, name))), here)


def _images(coco: CheckedCoco, root: str, split: str) -> Iterator[AnnotatedImage]:
    objects: dict[int, list[AnnotatedObject]] = defaultdict(list)
    names = coco.class_names
    sizes = {image["id"]: (image["height"], image["width"]) for image in coco.content["images"]}
    for annotation in coco.content["annotations"]:
        image_id = annotation["image_id"]
        mask = as_rle(annotation["segmentation"], *sizes[image_id])
        name = names[annotation["category_id"]]
        objects[image_id].append(AnnotatedObject(mask, name, bool(annotation["iscrowd"])))
    for image in coco.content["images"]:
        number = image["id"]
        path = os.path.join(root, image["file_name"])
        turned = number in coco.may_lie_turned
        yield AnnotatedImage(
            path, sizes[number], tuple(objects[number]), split, may_lie_turned=turned
        )

"""COCO's format: read to be split, cut or put together with its images anew."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator

from pycocotools import mask as coco_mask

from ....rle import as_rle, union
from ...coco import check_coco_file
from ..annotated import AnnotatedImage, AnnotatedObject
from .drawing import NO_PIXEL
from .exports import one_file, parsed_json
from .rules import SourceRules

FORM = "COCO"


def is_coco(content) -> bool:
    """Whether JSON has the lists of COCO's format."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def read_coco(rules: SourceRules) -> Iterator[AnnotatedImage]:
    """The images; polygons become the pixels that they cover.

    Raises:
        ValueError, FileNotFoundError: as the check of COCO files.
    """
    file = one_file(rules.labels, ".json")
    root = rules.images or _image_root(file)
    content = check_coco_file(file, root)
    names = {category["id"]: category["name"] for category in content["categories"]}
    yield from _images(content, root, names)


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


def _images(content: dict, root: str, names: dict[int, str]) -> Iterator[AnnotatedImage]:
    objects: dict[int, list[AnnotatedObject]] = defaultdict(list)
    empty: Counter[int] = Counter()
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    for annotation in content["annotations"]:
        image_id = annotation["image_id"]
        mask = union([as_rle(annotation["segmentation"], *sizes[image_id])])
        name = names[annotation["category_id"]]
        if coco_mask.area(mask):
            is_crowd = bool(annotation.get("iscrowd"))
            objects[image_id].append(AnnotatedObject(mask, name, is_crowd))
        else:
            empty[image_id] += 1
    for image in content["images"]:
        number = image["id"]
        yield AnnotatedImage(
            os.path.join(root, image["file_name"]),
            sizes[number],
            tuple(objects[number]),
            left_out={NO_PIXEL: empty[number]} if empty[number] else {},
        )

"""Any data set in COCO format as a Detectron2 data set, checked before hours are spent on it."""

import argparse
import contextlib
import io
import json
import os
import re
from collections.abc import Callable, Sequence
from functools import partial

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json

_REQUIRED_FIELDS = {
    "images": ("id", "file_name", "height", "width"),
    # Without the last two pycocotools would stumble when it scores, after hours of training.
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd"),
    "categories": ("id", "name"),
}

_REGISTRATION = re.compile(
    r"(?P<name>[^=]+)=(?P<json_file>.+?):(?P<image_root>([A-Za-z]:[\\/])?[^:]+)", re.DOTALL
)

_MEANING = {"area": "the pixels of its mask", "iscrowd": "0 for a single object"}


def check_coco_file(json_file: str, image_root: str) -> dict:
    """Read a COCO annotation file and check what training and evaluation rely on.

    Checked: it is JSON with images, annotations and categories; every image file exists; every
    annotation names a listed image and category and has a mask; RLE masks have the size of their
    image.

    Args:
        json_file: annotation file.
        image_root: folder that ``file_name`` is relative to.

    Returns:
        The parsed file.

    Raises:
        FileNotFoundError: for a missing annotation or image file, named.
        ValueError: for content that is off, naming the file, the entry and the cure.
    """
    if not os.path.isfile(json_file):
        raise FileNotFoundError(f"annotation file {json_file} does not exist")
    try:
        with open(json_file, encoding="utf-8") as file:
            coco = json.load(file)
    except ValueError as error:
        raise ValueError(
            f"{json_file} is not a COCO annotation file: it is not JSON ({error})"
        ) from error
    missing = [
        key
        for key in _REQUIRED_FIELDS
        if not isinstance(coco, dict) or not isinstance(coco.get(key), list)
    ]
    if missing:
        raise ValueError(
            f"{json_file} is not a COCO annotation file: it has no list under {', '.join(missing)}"
        )

    for key, fields in _REQUIRED_FIELDS.items():
        for entry in coco[key]:
            lacking = [field for field in fields if field not in entry]
            if lacking:
                cures = "".join(
                    f" ({field} is {_MEANING[field]})" for field in lacking if field in _MEANING
                )
                raise ValueError(
                    f"{json_file}: {key} has an entry without {', '.join(lacking)}{cures}: "
                    f"{str(entry)[:200]}"
                )
    images = {image["id"]: image for image in coco["images"]}
    absent = [
        image["file_name"]
        for image in coco["images"]
        if not _exists(image_root, image["file_name"])
    ]
    if absent:
        raise FileNotFoundError(
            f"{json_file} lists {len(absent)} images that are not under {image_root}, the first is "
            f"{absent[0]}; give the folder that the file names are relative to, or remove these "
            "entries"
        )
    categories = {category["id"] for category in coco["categories"]}
    for annotation in coco["annotations"]:
        _check_annotation(annotation, images, categories, json_file)
    return coco


def _exists(image_root: str, file_name: str) -> bool:
    return os.path.isfile(os.path.join(image_root, file_name))


def _check_annotation(annotation: dict, images: dict, categories: set, json_file: str) -> None:
    """Raise ValueError where one annotation contradicts the rest of its file."""
    name = f"{json_file}: annotation {annotation.get('id')}"
    image = images.get(annotation.get("image_id"))
    if image is None:
        raise ValueError(
            f"{name} has image_id {annotation.get('image_id')}, which no entry of images has; "
            "remove it"
        )
    if annotation.get("category_id") not in categories:
        raise ValueError(
            f"{name} has category_id {annotation.get('category_id')}, but categories lists only "
            f"{sorted(categories)}; add the category or correct the id"
        )
    mask = annotation.get("segmentation")
    if not mask:
        raise ValueError(
            f"{name} (image {image['file_name']}) has no segmentation: instance segmentation needs "
            "a mask for every object; add it or remove the annotation"
        )
    if isinstance(mask, dict) and list(mask["size"]) != [image["height"], image["width"]]:
        raise ValueError(
            f"{name} has a mask of {mask['size'][0]} x {mask['size'][1]}, but its image "
            f"{image['file_name']} is {image['height']} x {image['width']} (height x width); draw "
            "the mask on the image's own grid"
        )


def parse_registration(text: str) -> tuple[str, str, str]:
    """``NAME=ANNOTATIONS.json:IMAGE_DIR`` to its three parts; ValueError for anything else.

    The last colon separates, but for one that makes ``D:`` of a letter before a slash: the drive of
    IMAGE_DIR on Windows.
    """
    found = _REGISTRATION.fullmatch(text)
    if found is None:
        raise ValueError(f"--register-coco takes NAME=ANNOTATIONS.json:IMAGE_DIR, got {text!r}")
    return found["name"], found["json_file"], found["image_root"]


def add_registration_option(parser: argparse.ArgumentParser) -> None:
    """``--register-coco`` for a tool; ``register_given`` takes what it collects."""
    parser.add_argument(
        "--register-coco",
        action="append",
        default=[],
        metavar="NAME=ANNOTATIONS.json:IMAGE_DIR",
        help="register a data set in COCO format under a name; repeatable",
    )


def register_given(registrations: Sequence[str]) -> None:
    """Register what ``--register-coco`` was given.

    Raises:
        ValueError, FileNotFoundError: as ``parse_registration`` and ``register_coco``.
    """
    for registration in registrations:
        register_coco(*parse_registration(registration))


def register_coco(name: str, json_file: str, image_root: str) -> None:
    """Register a user's data set, after checking it, with its class names.

    Raises:
        ValueError, FileNotFoundError: as ``check_coco_file``, or for a name that is taken.
    """
    if name in DatasetCatalog.list():
        raise ValueError(f"a data set named {name} exists already; choose another name")
    coco = check_coco_file(json_file, image_root)
    categories = sorted(coco["categories"], key=lambda category: category["id"])
    register_checked(
        name,
        json_file,
        image_root,
        category_ids={category["id"]: category["name"] for category in categories},
        hint="",
    )


def register_checked(
    name: str,
    json_file: str,
    image_root: str,
    *,
    category_ids: dict[int, str],
    hint: str,
    subset: Callable[[list[dict]], list[dict]] | None = None,
) -> None:
    """Register a COCO-format data set that is read and checked when it is first used.

    Args:
        name: in the ``DatasetCatalog``.
        json_file, image_root: where it lies; neither needs to exist yet.
        category_ids: id in the file to class name, by ascending id.
        hint: what to do where the files are missing; added to the error.
        subset: picks among the records; without it the file itself is also what evaluators read.
    """
    DatasetCatalog.register(name, partial(_load, name, json_file, image_root, hint, subset))
    metadata = MetadataCatalog.get(name).set(
        image_root=image_root,
        evaluator_type="coco",
        thing_classes=list(category_ids.values()),
        thing_dataset_id_to_contiguous_id={
            category: index for index, category in enumerate(category_ids)
        },
    )
    if subset is None:
        metadata.json_file = json_file


def _load(
    name: str,
    json_file: str,
    image_root: str,
    hint: str,
    subset: Callable[[list[dict]], list[dict]] | None,
) -> list[dict]:
    """Detectron2's records of a registered data set."""
    try:
        check_coco_file(json_file, image_root)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"data set {name}: {error}. {hint}") from error
    # pycocotools prints its progress without being asked.
    with contextlib.redirect_stdout(io.StringIO()):
        records = load_coco_json(json_file, image_root, name)
    return records if subset is None else subset(records)

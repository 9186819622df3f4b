"""COCO's format: read to be split, cut or put together with its images anew."""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from ....rle import as_rle
from ...annotated import AnnotatedImage, AnnotatedObject
from ...coco import CheckedCoco, check_parsed
from ...json_file import JsonFile
from .exports import SPLITS, ImageFolder, files_below, one_file, parsed_json
from .rules import SourceRules

FORM = "COCO"


def read_coco(rules: SourceRules, known: JsonFile | None = None) -> Iterator[AnnotatedImage]:
    """The images; polygons become the pixels that they cover.

    Raises:
        FileError, FileNotFoundError: as the check of COCO files.
    """
    for path, split in _files(rules.labels).items():
        file = parsed_json(path, known)
        root = rules.images or _image_root(file)
        if rules.images is not None:
            _rename(file, rules.images)
        coco = check_parsed(file, root, rules.reading)
        first, *others = _images(coco, root, split)
        repairs = {path: f"{path} was repaired: {coco.repairs}"} if coco.repairs else {}
        yield replace(first, doubts=repairs)
        yield from others


def _files(path: str) -> dict[str, str]:
    """The only file, with the split ""; or, as Roboflow exports them, one in a folder for each
    split, which is called like it."""
    files = files_below(path, ".json")
    splits = [SPLITS.get(os.path.basename(os.path.dirname(file))) for file in files]
    if None in splits or len(set(splits)) < max(len(splits), 2):
        return {one_file(path, ".json"): ""}
    return dict(zip(files, splits, strict=True))


def _image_root(file: JsonFile) -> str:
    """The folder that holds the first image that the file lists: beside it, or where others go."""
    here = os.path.dirname(file.path) or "."
    try:
        name = file.content["images"][0]["file_name"].replace("\\", "/")
    except (LookupError, TypeError, AttributeError):
        return here
    places = (here, f"{here}/images", f"{here}/../images")
    return next((p for p in places if os.path.isfile(os.path.join(p, name))), here)


def _rename(file: JsonFile, root: str) -> None:
    """Give images whose names are of another machine those of the same files below a folder, where
    there is one of that name alone; the check of COCO files has a word on the others.

    Raises:
        FileError: for a name that several files have.
    """
    entries = file.content.get("images") if isinstance(file.content, dict) else None
    folder = ImageFolder(root, [])
    for entry in entries if isinstance(entries, list) else []:
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or os.path.isfile(os.path.join(root, name)):
            continue
        if (found := folder.found([name], file.path)) is not None:
            entry["file_name"] = os.path.relpath(found, root).replace(os.sep, "/")


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

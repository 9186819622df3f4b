"""The check of a whole COCO file, and what is left of it to train on and to score."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ....errors import FileError
from ....images import PLAIN, ReadingRules
from ....keys.classes import doubts_of_names
from ...json_file import JsonFile, parsed
from .annotations import checked_annotations, without_doubles
from .categories import check_categories
from .fields import shown
from .findings import Findings
from .ids import identity, number_annotations
from .images import LEAVE_OUT, check_images

_LISTS = ("images", "annotations", "categories")

_ENTRY = 'an entry is an object, {"id": ...}; mend or remove it'
_PIXELS = "coordinates are pixels, not shares of the sides of an image"
_NOTHING = "nothing is left to train on or to score; give a file that lists images and objects"
_CROWDS = "nothing is left to train on or to score; iscrowd is 0 where a mask is a single object"


@dataclass(frozen=True)
class CheckedCoco:
    """A COCO file that training and scoring can rely on.

    Attributes:
        content: of the file, with its repairs.
        repairs: what was repaired, in one line; empty: ``content`` is what the file holds.
        counts: of images, objects and classes, in one line.
        may_lie_turned: ids of the images that EXIF turns and whose size does not tell whether they
            were annotated so.
    """

    content: dict
    repairs: str
    counts: str
    may_lie_turned: frozenset[int]

    @property
    def class_names(self) -> dict[int, str]:
        """Names of the categories by id, by ascending id."""
        return dict(sorted((c["id"], c["name"]) for c in self.content["categories"]))

    @property
    def doubts(self) -> list[str]:
        """What looks like a mistake: a line for each kind, with the cure."""
        lines = doubts_of_names(self.class_names.values())
        if self.may_lie_turned:
            images = self.content["images"]
            name = next(i["file_name"] for i in images if i["id"] in self.may_lie_turned)
            lines.append(
                f"EXIF turns {name} ({len(self.may_lie_turned)} such images), and nothing tells "
                "whether it was annotated so: see in tools/visualize.py whether its objects lie "
                "right"
            )
        return lines


def is_coco(content: Any) -> bool:
    """Whether JSON has the lists of COCO's format; categories may be missing, as the check says."""
    return isinstance(content, dict) and content.keys() >= {"images", "annotations"}


def check_coco(
    json_file: str, image_root: str, reading: ReadingRules = PLAIN, cure: str = LEAVE_OUT
) -> CheckedCoco:
    """Read a COCO annotation file, and check what training and scoring rely on.

    A file as large as COCO's train2017 takes about a minute, most of it for masks and headers.

    Args:
        json_file: annotation file.
        image_root: folder that ``file_name`` is relative to.
        reading: of the image files.
        cure: what to do about an image file that these rules do not read.

    Raises:
        FileNotFoundError: for a missing annotation file, and where image files are missing and
            nothing else is wrong.
        FileError: for anything else that is refused. Both name the file, up to ten entries, and
            the cure of each kind of fault.
    """
    if not os.path.isfile(json_file):
        raise FileNotFoundError(f"annotation file {json_file} does not exist")
    try:
        file = parsed(json_file)
    except OSError as error:
        raise FileError(f"annotation file {json_file} cannot be read: {error}") from error
    except ValueError as error:
        raise FileError(
            f"{json_file} is not a COCO annotation file: it is not JSON ({error})"
        ) from error
    return check_parsed(file, image_root, reading, cure)


def check_parsed(
    file: JsonFile, image_root: str, reading: ReadingRules = PLAIN, cure: str = LEAVE_OUT
) -> CheckedCoco:
    """``check_coco`` of a file that was parsed, whose content becomes the repaired one.

    Everything is looked at before anything is refused, so that a file is mended once. What follows
    from masks and image files is filled in: areas, boxes and ``iscrowd`` that are missing, of
    another type or contradict; sizes; ids that are texts, repeat or are 0. Fields that nothing here
    reads are let alone, or dropped where Detectron2's reader would stumble over them.
    """
    content = file.content
    missing = [
        key
        for key in _LISTS
        if not isinstance(content, dict) or not isinstance(content.get(key), list)
    ]
    if missing:
        raise FileError(
            f"{file.path} is not a COCO annotation file: it has no list under {', '.join(missing)}"
        )
    findings = Findings()
    if not file.is_plain:
        findings.repair("file read that is not in plain UTF-8")
    lists = {key: _entries(content[key], key, findings) for key in _LISTS}
    images = check_images(lists["images"], image_root, findings, reading, cure)
    annotations = without_doubles(lists["annotations"], findings)
    used = {identity(annotation.get("category_id")) for annotation in annotations}
    lists["categories"], categories = check_categories(lists["categories"], used, findings)
    kept = list(checked_annotations(annotations, images, categories, findings))
    number_annotations(kept, findings)
    if not findings:
        _check_rest(lists["images"], annotations, kept, findings)
    if findings:
        raise findings.error(file.path)
    lists["annotations"] = kept
    turned = frozenset(image.number for image in images.values() if image.may_lie_turned)
    return CheckedCoco({**content, **lists}, findings.repaired(), _counts(lists), turned)


def _entries(entries: list, key: str, findings: Findings) -> list[dict]:
    """Those that are objects; others are refused."""
    for place, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            findings.refuse(f"entry {place} of {key} is {shown(entry)}", _ENTRY)
    return [entry for entry in entries if isinstance(entry, dict)]


def _check_rest(
    images: Sequence[dict], given: Sequence[dict], kept: Sequence[dict], findings: Findings
) -> None:
    """Refuse a file without an object."""
    if not images or not given:
        findings.refuse(f"it lists {len(images)} images and {len(given)} objects", _NOTHING)
    elif 2 * len(kept) < len(given):
        findings.refuse(
            f"{len(given) - len(kept)} of its {len(given)} masks have no pixel", _PIXELS
        )
    elif all(annotation["iscrowd"] for annotation in kept):
        findings.refuse(f"all of its {len(kept)} masks are crowds (iscrowd 1)", _CROWDS)


def _counts(lists: dict[str, list[dict]]) -> str:
    images, annotations = lists["images"], lists["annotations"]
    objects = [annotation for annotation in annotations if not annotation["iscrowd"]]
    counts = {
        "images": len(images),
        "images without objects": len(images) - len({a["image_id"] for a in objects}),
        "objects": len(objects),
        "crowds": len(annotations) - len(objects),
        "classes": len(lists["categories"]),
    }
    return ", ".join(f"{what} {count}" for what, count in counts.items() if count)

"""The annotations of a COCO file: what they refer to, their masks, and what follows from these."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .fields import are_numbers, shown, whole
from .findings import Findings
from .ids import identity, set_number
from .images import ListedImage
from .masks import CheckedMask, MaskError, check_mask

# So many pixels, and so much of a side, a box may be off its mask: people round, and count borders
# in or out. A box that holds the middle of its mask is never cut away as outside the image.
_BOX_SLACK, _BOX_SHARE = 2.0, 0.5
# An area may be that of pixels, of the outline, or of its box.
_AREA_RATIO, _AREA_SLACK = 4.0, 16.0

_CATEGORY = "add the category, or correct the id"
_IMAGE = "add the image, or remove the annotation"
_CROWD = "iscrowd is 0 for a single object and 1 for a region of many"


def without_doubles(annotations: Sequence[dict], findings: Findings) -> list[dict]:
    """The annotations, of those that are equal in everything, id included, the first alone."""
    firsts: dict[Any, dict] = {}
    kept = []
    for annotation in annotations:
        identifier = annotation.get("id")
        if isinstance(identifier, int | str):
            first = firsts.setdefault(identifier, annotation)
            if first is not annotation and first == annotation:
                findings.repair("annotations that stand there twice left out")
                continue
        kept.append(annotation)
    return kept


def checked_annotations(
    annotations: Sequence[dict],
    images: Mapping[int | str, ListedImage],
    categories: Mapping[int | str, int],
    findings: Findings,
) -> Iterator[dict]:
    """Check the entries of ``annotations``, and repair them in place.

    Args:
        annotations: all of them.
        images, categories: that they may refer to, by ``identity`` of their ids.
        findings: gets what is found.

    Yields:
        Those that have a pixel.
    """
    for annotation in annotations:
        name = f"annotation {shown(annotation.get('id'))}"
        image = images.get(identity(annotation.get("image_id")))
        if image is None:
            given = shown(annotation.get("image_id"))
            findings.refuse(f"{name} has image_id {given}, which no entry of images has", _IMAGE)
            continue
        name += f" (image {image.name})"
        set_number(annotation, "image_id", image.number, "image_id made numbers", findings)
        _check_category(annotation, name, categories, findings)
        _check_crowd(annotation, name, findings)
        _drop_unread(annotation, findings)
        if image.size is None:
            continue
        try:
            mask = check_mask(annotation.get("segmentation"), *image.size)
        except MaskError as error:
            findings.refuse(f"{name} {error.fault}", error.cure)
            continue
        if mask.area == 0:
            findings.repair("objects without a single pixel left out")
            continue
        _complete(annotation, mask, findings)
        yield annotation


def _check_category(
    annotation: dict, name: str, categories: Mapping[int | str, int], findings: Findings
) -> None:
    given = annotation.get("category_id")
    number = categories.get(identity(given))
    if number is None:
        findings.refuse(
            f"{name} has category_id {shown(given)}, but categories lists {shown([*categories])}",
            _CATEGORY,
        )
        return
    set_number(annotation, "category_id", number, "category_id made numbers", findings)


def _check_crowd(annotation: dict, name: str, findings: Findings) -> None:
    given = annotation.get("iscrowd")
    crowd = 0 if given is None else int(given) if isinstance(given, bool) else whole(given)
    if crowd not in (0, 1):
        findings.refuse(f"{name} has iscrowd {shown(given)}", _CROWD)
        return
    set_number(annotation, "iscrowd", crowd, "iscrowd made 0 or 1", findings)


def _drop_unread(annotation: dict, findings: Findings) -> None:
    """Take away what nothing here reads, but Detectron2's reader of COCO files stumbles over."""
    if annotation.get("ignore", 0) != 0:
        del annotation["ignore"]
        findings.repair("marks to ignore dropped, of objects that stay")
    if "keypoints" in annotation:
        points = annotation["keypoints"]
        if not (isinstance(points, list) and points and are_numbers(points)) or len(points) % 3:
            del annotation["keypoints"]
            findings.repair("keypoints dropped that are none")


def _complete(annotation: dict, mask: CheckedMask, findings: Findings) -> None:
    """Repair what follows from the mask: the segmentation, the box and the area."""
    for repair in mask.repairs:
        findings.repair(repair)
    annotation["segmentation"] = mask.segmentation
    box, area = annotation.get("bbox"), annotation.get("area")
    if not (isinstance(box, list) and len(box) == 4 and are_numbers(box) and min(box[2:]) > 0):
        annotation["bbox"] = list(mask.box)
        findings.repair("boxes taken from the masks")
    elif not (_are_near(box, mask.box) or _are_near(box, mask.drawn_box)):
        annotation["bbox"] = list(mask.box)
        findings.repair("boxes that contradict their masks taken from these")
    if not (are_numbers([area]) and area > 0):
        annotation["area"] = mask.area
        findings.repair("areas taken from the masks")
    elif not _fits(area, mask.area):
        annotation["area"] = mask.area
        findings.repair("areas that contradict their masks taken from these")


def _are_near(box: Sequence[float], other: Sequence[float]) -> bool:
    """Whether a box (left, top, width, height) has the borders of another, but for the slack."""
    for axis in (0, 1):
        start, length = other[axis], other[axis + 2]
        slack = min(_BOX_SLACK, _BOX_SHARE * length)
        end = box[axis] + box[axis + 2]
        if abs(box[axis] - start) > slack or abs(end - start - length) > slack:
            return False
    return True


def _fits(area: float, pixels: int) -> bool:
    """Whether an area can be that of a mask of so many pixels."""
    return area <= _AREA_RATIO * pixels + _AREA_SLACK and pixels <= _AREA_RATIO * area + _AREA_SLACK

"""Exports of annotation tools as nobody should write them, and what must become of each."""

import random
from pathlib import Path

import cv2

import toy_exports as toy
from dml_instance.data.forms.readers import SourceRules, read_annotations

# What stands in files instead of what should.
_JUNK = ("", "null", "-1", "0", "1e999", "NaN", "9" * 20, "[]", "{}", '"', "\0", "true", '"x"', "é")


def _label_images(folder, shapes):
    toy.write_image(folder / "raw" / "a.png")
    path = folder / "masks" / "a.tif"
    path.parent.mkdir()
    cv2.imwrite(str(path), toy.numbered(shapes))
    return path


# By form: what writes an export, and gives the file of it that is mutated.
WRITERS = {
    "labels": _label_images,
    "labelme": toy.write_labelme,
    "label-studio": toy.write_label_studio,
    "via": toy.write_via,
    "cvat": lambda folder, shapes: toy.write_cvat(folder, shapes) / "annotations.xml",
    "yolo": lambda folder, shapes: toy.write_yolo(folder, shapes) / "labels" / "train" / "a.txt",
}


def mutated(content: bytes, seed: int) -> bytes:
    """A file in which one to four pieces are left out, doubled, or become something else."""
    rng = random.Random(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        first = rng.randrange(len(content))
        last = first + rng.choice((0, 1, 2, 5, 30, 300))
        other = rng.choice((*(junk.encode() for junk in _JUNK), content[first:last] * 2))
        content = content[:first] + other + content[last:] or b" "
    return content


def outcome(form: str, folder: Path, file: Path) -> str:
    """What becomes of an export: "refused", in one line with its name, or "read".

    Raises:
        AssertionError: where it is refused otherwise. Any other exception is one that a user would
            see.
    """
    parent = file.parent if form == "labels" else folder
    is_folder = form in ("labels", "yolo")
    raw = str(folder / "raw") if form == "labels" else None
    rules = SourceRules(str(parent if is_folder else file), raw)
    try:
        images = list(read_annotations(rules, form)[1])
    except ValueError as error:
        message = str(error)
    else:
        sizes = [item.mask["size"] for image in images for item in image.objects]
        assert all(list(size) == list(toy.SIZE) for size in sizes)
        return "read"
    assert "\n" not in message and str(folder) in message, message
    return "refused"

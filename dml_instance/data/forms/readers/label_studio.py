"""Label Studio: its JSON and JSON-MIN exports.

A task has its image under ``data`` and regions under ``annotations``; lengths are in per cent of
the image. Shapes are ``polygonlabels``, ``ellipselabels``, ``rectanglelabels``, turned about its
left upper corner, ``bitmasklabels``, a PNG, and ``brushlabels``, whose ``rle`` is that of
thi.ng/rle-pack over red, green, blue and opacity of each pixel, row by row; opacity is the mask.
The label of a region stands in its value, or, of a ``Labels`` tag, in a result of the same id.
label-studio-sdk's ``converter/brush.py`` is the definition. Parts of one object are one brush
region.
"""

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

import numpy as np

from ....images import is_image_name
from ...annotated import AnnotatedImage
from ...json_file import JsonFile
from .drawing import NO_AREA, Drawing
from .exports import ImageFolder, embedded_png, one_file, parsed_json, understood
from .rules import SourceRules

FORM = "Label Studio"
# A file that was uploaded gets eight digits and a dash before its name.
_UPLOADED = re.compile(r"(^|/)[0-9a-f]{8}-(?=[^/]+$)")

# What stands behind the path of an address on the web, such as a signature.
_QUERY = re.compile(r"^([a-z][a-z0-9+.-]*://[^?#]*)[?#].*", re.IGNORECASE | re.DOTALL)


def is_label_studio(content) -> bool:
    """Whether JSON is an export of Label Studio."""
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return False
    task = content[0]
    return {"data", "annotations"} <= task.keys() or {"annotator", "annotation_id"} <= task.keys()


def read_label_studio(
    rules: SourceRules, known: JsonFile | None = None
) -> Iterator[AnnotatedImage]:
    """The images of a file; FileError for what is wrong with it."""
    file = one_file(rules.labels, ".json")
    here = os.path.dirname(file) or "."
    folder = ImageFolder(rules.images, [os.path.join(here, "images"), here])
    for number, task in enumerate(parsed_json(file, known).content, start=1):
        what = f"{file}, task {number},"
        with understood(what, FORM):
            data = task.get("data", task)
            image = folder.find(_names(data), file)
            results, others = _results(task)
            if results is None:
                continue  # nobody has looked at the image: that it shows nothing is not said
            declared = next(
                ((r["original_height"], r["original_width"]) for r in results if _has_size(r)), None
            )
            drawing = Drawing(image, file, declared, rules)
            for _ in range(others):
                drawing.leave_out("region of another annotation of its task")
            labels = {r["id"]: found for r in results if "id" in r and (found := _labels(r))}
            for result in results:
                if result.get("type") != "labels":
                    of_region = _labels(result) or labels.get(result.get("id")) or [None]
                    if len(of_region) > 1:
                        raise ValueError(f"a region is of the classes {', '.join(of_region)}")
                    _draw(drawing, result, of_region[0])
        yield drawing.annotated()


def _names(data: dict) -> list[str]:
    """What the image of a task may be called: its address, and without what an upload added."""
    texts = [
        unquote(_QUERY.sub(r"\1", value.split("?d=")[-1]))
        for value in data.values()
        if isinstance(value, str)
    ]
    name = next((text for text in texts if is_image_name(text)), None)
    if name is None:
        raise ValueError("it has no image")
    return [name, _UPLOADED.sub(r"\1", name)]


def _has_size(result: dict) -> bool:
    return "original_width" in result and "original_height" in result


def _results(task: dict) -> tuple[list[dict] | None, int]:
    """The regions of a task, and how many its other annotations have; None of a task that has no
    annotation but cancelled ones.

    The annotation that counts is the ground truth, or else the latest one.
    """
    if "data" not in task:  # JSON-MIN: the values alone, in lists under names of the user's own
        regions = [r for v in task.values() if isinstance(v, list) for r in v]
        return [{**r, "value": r} for r in regions if isinstance(r, dict) and _has_size(r)], 0
    valid = [a for a in task["annotations"] if not a.get("was_cancelled")]
    if not valid:
        return None, 0
    valid.sort(key=lambda a: (bool(a.get("ground_truth")), str(a.get("updated_at", ""))))
    others = sum(len(annotation["result"]) for annotation in valid[:-1])
    return [r for r in valid[-1]["result"] if "value" in r], others


def _labels(result: dict) -> list[str] | None:
    """The labels that stand in a result."""
    values = (value for key, value in result["value"].items() if key.endswith("labels"))
    return next(values, None)


def _draw(drawing: Drawing, result: dict, class_name: str | None) -> None:
    value = result["value"]
    if result.get("image_rotation"):
        raise ValueError("its image was turned while it was labelled; turn it back and export")
    sides = np.array(drawing.size[::-1]) / 100

    def lengths(*keys: str) -> np.ndarray:
        return np.array([value[key] for key in keys], dtype=float) * sides

    degrees = float(value.get("rotation", 0))
    if "rle" in value:
        drawing.mask(_brush(value["rle"], drawing.size), (0, 0), class_name)
    elif "imageDataURL" in value:
        drawing.mask(_bitmask(value["imageDataURL"], drawing.size), (0, 0), class_name)
    elif "points" in value and value.get("closed", True):
        drawing.polygon(np.array(value["points"], dtype=float) * sides, class_name)
    elif "radiusX" in value:
        center, radii = lengths("x", "y"), lengths("radiusX", "radiusY")
        drawing.ellipse(center, radii, class_name, degrees=degrees)
    elif "width" in value and "height" in value and "x" in value:
        size = lengths("width", "height")
        if max(size) > 0 and "keypointlabels" not in value:
            drawing.box(lengths("x", "y"), size, class_name, degrees=degrees)
        else:
            drawing.leave_out(NO_AREA)
    elif "choices" not in value and "text" not in value:
        drawing.leave_out(NO_AREA)


def _brush(numbers: list[int], size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool pixels of a brush: those of which at least half is covered.

    Raises:
        ValueError: for numbers that are no such mask of that size.
    """
    bits = np.unpackbits(np.array(numbers, dtype=np.uint8))
    digits = (bits + ord("0")).tobytes()
    place = 0

    def read(count: int) -> int:
        nonlocal place
        place += count
        return int(digits[place - count : place], 2)

    total = read(32)
    if total != 4 * size[0] * size[1]:
        raise ValueError(f"a brush has {total} values for {size[0]} x {size[1]} pixels")
    depth = read(5) + 1
    widths = [read(4) + 1 for _ in range(4)]
    of_bits = 1 << np.arange(depth)[::-1]
    segments, done = [], 0
    while done < total:
        is_run = read(1)
        length = read(widths[read(2)]) + 1
        done += length
        if is_run:
            segments.append(np.full(length, read(depth)))
        else:
            place += length * depth
            segments.append(bits[place - length * depth : place].reshape(length, depth) @ of_bits)
    return np.concatenate(segments)[3:total:4].reshape(size) >= 128


def _bitmask(url: str, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool pixels of a PNG in base64: those of which at least half is covered."""
    opacity = embedded_png(url, "RGBA")[..., 3]
    if opacity.shape != size:
        raise ValueError(f"a bitmask is {opacity.shape}, but its image {size} (height, width)")
    return opacity >= 128

"""VIA, the VGG Image Annotator 1 and 2: a project, or annotations as JSON or CSV.

An entry for each image has ``filename`` and ``regions``, a list or, in VIA 1, numbered; a region
has ``shape_attributes`` and ``region_attributes``, of which one is the class: a text, or of a
checkbox the options that are ticked. The shapes are rect, circle, ellipse, polygon, polyline and
point. VIA knows neither holes nor parts.
"""

import csv
import json
import math
import os
from collections.abc import Iterator

from ..annotated import AnnotatedImage, FormError
from .drawing import NO_AREA, Drawing
from .exports import ImageFolder, one_file, parsed_json, understood
from .rules import SourceRules

FORM = "VIA"


def is_via(content) -> bool:
    """Whether JSON is a project or the annotations of VIA."""
    if not isinstance(content, dict):
        return False
    if "_via_img_metadata" in content or _is_version_3(content):
        return True
    entries = list(content.values())
    return bool(entries) and all(isinstance(e, dict) and "regions" in e for e in entries)


def _is_version_3(content: dict) -> bool:
    return {"metadata", "attribute", "view"} <= content.keys()


def is_via_csv(file: str) -> bool:
    """Whether a path is a file with the columns of VIA's CSV."""
    if not file.lower().endswith(".csv") or not os.path.isfile(file):
        return False
    with open(file, encoding="utf-8-sig", errors="replace") as stream:
        return "region_shape_attributes" in stream.readline()


def read_via(rules: SourceRules) -> Iterator[AnnotatedImage]:
    """The images of a file; FormError for what is wrong with it."""
    file = rules.labels if is_via_csv(rules.labels) else one_file(rules.labels, ".json")
    with understood(file, FORM):
        entries = _from_csv(file) if is_via_csv(file) else _from_json(file)
        key = _class_key(entries, rules, file)
    folder = ImageFolder(rules.images, [os.path.dirname(file) or "."])
    for name, regions in entries.items():
        with understood(f"{file}, {name},", FORM):
            drawing = Drawing(folder.find([name], file), file, None, rules)
            for region in regions:
                class_name = rules.class_names[0]
                if key is not None:
                    class_name = _class_of(region["region_attributes"].get(key))
                _draw(drawing, region["shape_attributes"], class_name)
        yield drawing.annotated()


def _from_json(file: str) -> dict[str, list[dict]]:
    """Regions by name of the image."""
    content = parsed_json(file)
    if isinstance(content, dict) and _is_version_3(content):
        raise FormError(f"{file} is of VIA 3: export it to COCO's format in VIA, and give that")
    images = content.get("_via_img_metadata", content)
    regions: dict[str, list[dict]] = {}
    for entry in images.values():
        of_image = entry["regions"]
        of_image = of_image.values() if isinstance(of_image, dict) else of_image
        regions.setdefault(entry["filename"], []).extend(of_image)
    return regions


def _from_csv(file: str) -> dict[str, list[dict]]:
    regions: dict[str, list[dict]] = {}
    with open(file, encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            # VIA 1 calls the first column "#filename". An image without a region has an empty one.
            of_image = regions.setdefault(row.get("filename") or row["#filename"], [])
            region = {k: json.loads(row[f"region_{k}"]) for k in ("shape_attributes", "attributes")}
            if region["shape_attributes"]:
                of_image.append(
                    {
                        "shape_attributes": region["shape_attributes"],
                        "region_attributes": region["attributes"],
                    }
                )
    return regions


def _class_key(entries: dict[str, list[dict]], rules: SourceRules, file: str) -> str | None:
    """The attribute that holds the class; None where regions have none."""
    regions = [region for of_image in entries.values() for region in of_image]
    used = dict.fromkeys(key for region in regions for key in region["region_attributes"])
    if rules.class_key is None and len(used) < 2:
        return next(iter(used), None)
    if rules.class_key not in used:
        raise FormError(
            f"{file} has the attributes {', '.join(used) or 'none'}: choose the one that is the "
            "class with --class-key"
        )
    return rules.class_key


def _class_of(value) -> str | None:
    """The value of an attribute, of a checkbox the option that is ticked, as the class; None where
    it has none."""
    if isinstance(value, dict):
        ticked = [name for name, is_set in value.items() if is_set]
        if len(ticked) > 1:
            raise ValueError(f"a region is of the classes {', '.join(ticked)}; it can be of one")
        value = ticked[0] if ticked else None
    return None if value is None else str(value).strip() or None


def _draw(drawing: Drawing, shape: dict, class_name: str | None) -> None:
    kind = shape["name"]
    if kind == "polygon":
        points = list(zip(shape["all_points_x"], shape["all_points_y"], strict=True))
        drawing.polygon(points, class_name)
    elif kind == "circle":
        drawing.ellipse((shape["cx"], shape["cy"]), (shape["r"], shape["r"]), class_name)
    elif kind == "ellipse":
        drawing.ellipse(
            (shape["cx"], shape["cy"]),
            (shape["rx"], shape["ry"]),
            class_name,
            degrees=math.degrees(shape.get("theta", 0.0)),
        )
    elif kind == "rect":
        drawing.box((shape["x"], shape["y"]), (shape["width"], shape["height"]), class_name)
    else:
        drawing.leave_out(NO_AREA)

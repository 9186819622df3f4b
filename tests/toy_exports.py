"""A scene of shapes with known pixels, written as annotation tools export it.

The writers follow the definitions of the forms, and share no code with the readers.
"""

import base64
import csv
import io
import json
import math
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.path import Path as Outline
from PIL import Image

SIZE = (72, 96)  # height, width


@dataclass(frozen=True)
class Shape:
    """An object: parts, each an outline and maybe holes, all (N, 2) x and y."""

    class_name: str
    parts: tuple

    @property
    def mask(self):
        """(H, W) bool: the pixels whose centres lie inside."""
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
        centres = np.stack([columns.ravel(), rows.ravel()], axis=1)
        mask = np.zeros(len(centres), bool)
        for outline, *holes in self.parts:
            inside = Outline(outline).contains_points(centres)
            for hole in holes:
                inside &= ~Outline(hole).contains_points(centres)
            mask |= inside
        return mask.reshape(SIZE)


def circle(x, y, radius, corners=40):
    angles = np.arange(corners) * (2 * math.pi / corners)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


def rectangle(left, top, right, bottom):
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


# Two touch, two overlap.
PLAIN = (
    Shape("cell", ((rectangle(4, 5, 16.5, 20),),)),
    Shape("cell", ((rectangle(16.5, 5, 30, 18),),)),
    Shape("nucleus", ((circle(48, 14, 10),),)),
    Shape("cell", ((circle(58, 16, 9),),)),
)
HOLE = Shape("nucleus", ((circle(20, 48, 15), circle(22, 50, 6)),))
PARTS = Shape("cell", ((circle(50, 50, 7),), (rectangle(62, 42, 80, 60),)))
ALL = (*PLAIN, HOLE, PARTS)


def numbered(shapes, numbers=None):
    """(H, W) of numbers, in which later shapes hide earlier ones."""
    labels = np.zeros(SIZE, np.int32)
    for number, shape in zip(numbers or range(1, len(shapes) + 1), shapes, strict=True):
        labels[shape.mask] = number
    return labels


def visible(shapes):
    """What of each shape ``numbered`` shows, as (class name, mask)."""
    labels = numbered(shapes)
    return [(shape.class_name, labels == n) for n, shape in enumerate(shapes, start=1)]


def write_image(path):
    """A grey image of SIZE."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full(SIZE, 90, np.uint8))
    return path


def png(mask):
    """A mask as a PNG of 0 and 1 in base64."""
    stream = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def box_of(mask):
    """First row, first column, last row, last column."""
    rows, columns = np.nonzero(mask)
    return rows.min(), columns.min(), rows.max(), columns.max()


def write_labelme(folder, shapes, name="a.png"):
    """Holes as masks, parts as polygons of one group."""
    entries = []
    for number, shape in enumerate(shapes):
        facts = {"label": shape.class_name, "flags": {}, "group_id": None}
        if any(holes for _, *holes in shape.parts):
            top, left, bottom, right = map(int, box_of(shape.mask))
            part = png(shape.mask[top : bottom + 1, left : right + 1])
            points = [[left, top], [right, bottom]]
            entries.append({**facts, "shape_type": "mask", "points": points, "mask": part})
            continue
        if len(shape.parts) > 1:
            facts["group_id"] = number
        for (outline,) in shape.parts:
            entries.append({**facts, "shape_type": "polygon", "points": outline.tolist()})
    write_image(folder / name)
    content = {"version": "5.5.0", "flags": {}, "shapes": entries, "imagePath": name}
    content |= {"imageData": None, "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    path = folder / f"{name.rpartition('.')[0]}.json"
    path.write_text(json.dumps(content))
    return path


def bridged(parts):
    """One outline of all parts and holes: there on a line to each further one, and back."""
    rings = [ring for part in parts for ring in part]
    whole = [*rings[0], rings[0][0]]
    for ring in rings[1:]:
        whole += [*ring, ring[0], rings[0][0]]
    return np.array(whole)


def write_yolo(folder, shapes):
    """data.yaml, images/train, labels/train."""
    names = sorted({shape.class_name for shape in shapes})
    write_image(folder / "images" / "train" / "a.jpg")
    (folder / "labels" / "train").mkdir(parents=True)
    lines = []
    for shape in shapes:
        points = bridged(shape.parts) / SIZE[::-1]
        numbers = " ".join(f"{value:.6f}" for value in points.ravel())
        lines.append(f"{names.index(shape.class_name)} {numbers}")
    (folder / "labels" / "train" / "a.txt").write_text("\n".join(lines) + "\n")
    listed = "".join(f"  {number}: {name}\n" for number, name in enumerate(names))
    (folder / "data.yaml").write_text(f"path: .\ntrain: images/train\nnames:\n{listed}")
    return folder


def via_regions(shapes):
    for shape in shapes:
        (outline,) = shape.parts[0]
        x, y = outline.T.tolist()
        where = {"name": "polygon", "all_points_x": x, "all_points_y": y}
        yield {"shape_attributes": where, "region_attributes": {"kind": shape.class_name}}


def write_via(folder, shapes):
    write_image(folder / "a.png")
    regions = list(via_regions(shapes))
    entry = {"filename": "a.png", "size": 99, "regions": regions, "file_attributes": {}}
    content = {"_via_settings": {}, "_via_img_metadata": {"a.png99": entry}, "_via_attributes": {}}
    path = folder / "via_project.json"
    path.write_text(json.dumps(content))
    return path


def write_via_csv(folder, shapes):
    write_image(folder / "a.png")
    path = folder / "via.csv"
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(
            [
                *("filename", "file_size", "file_attributes", "region_count", "region_id"),
                *("region_shape_attributes", "region_attributes"),
            ]
        )
        for number, region in enumerate(via_regions(shapes)):
            attributes = [json.dumps(value) for value in region.values()]
            rows.writerow(["a.png", 99, "{}", len(shapes), number, *attributes])
    return path


def row_runs(mask):
    """Lengths of runs row by row, of zeros first."""
    counts, value = [0], False
    for pixel in mask.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def write_cvat(folder, shapes):
    """Holes as masks, parts as polygons of one group; images/, annotations.xml."""
    entries = []
    for number, shape in enumerate(shapes, start=1):
        facts = f'label="{shape.class_name}" source="manual" occluded="0" z_order="{number}"'
        if any(holes for _, *holes in shape.parts):
            top, left, bottom, right = box_of(shape.mask)
            part = shape.mask[top : bottom + 1, left : right + 1]
            runs = ", ".join(map(str, row_runs(part)))
            place = f'left="{left}" top="{top}" width="{part.shape[1]}" height="{part.shape[0]}"'
            entries.append(f'<mask {facts} rle="{runs}" {place}></mask>')
            continue
        if len(shape.parts) > 1:
            facts += f' group_id="{number}"'
        for (outline,) in shape.parts:
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in outline)
            entries.append(f'<polygon {facts} points="{points}"></polygon>')
    write_image(folder / "images" / "a.png")
    size = f'width="{SIZE[1]}" height="{SIZE[0]}"'
    (folder / "annotations.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta></meta>'
        f'<image id="0" name="a.png" {size}>{"".join(entries)}</image></annotations>'
    )
    return folder


def brush(mask, sizes=(3, 4, 8, 16)):
    """thi.ng/rle-pack of red, green, blue and opacity of each pixel, as a list of bytes."""
    values = np.full((mask.size, 4), 7)
    values[:, 3] = mask.ravel() * 255
    values = values.ravel()
    ends = np.flatnonzero(np.diff(values)) + 1
    bits = f"{len(values):032b}{8 - 1:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    for run in np.split(values, ends):
        for start in range(0, len(run), 2 ** sizes[-1]):
            length = min(len(run) - start, 2 ** sizes[-1])
            index = next(i for i, size in enumerate(sizes) if length <= 2**size)
            head = f"{index:02b}{length - 1:0{sizes[index]}b}"
            # Short ones value by value, as the packer may, too.
            literal = length == 3
            bits += f"0{head}{f'{run[0]:08b}' * length}" if literal else f"1{head}{run[0]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


def label_studio_result(shape, number):
    facts = {
        "id": f"r{number}",
        "from_name": "label",
        "to_name": "image",
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "image_rotation": 0,
    }
    ((outline, *holes), *more) = shape.parts
    if holes or more:
        value = {"format": "rle", "rle": brush(shape.mask), "brushlabels": [shape.class_name]}
        return {**facts, "type": "brushlabels", "value": value}
    points = (outline / SIZE[::-1] * 100).tolist()
    value = {"points": points, "closed": True, "polygonlabels": [shape.class_name]}
    return {**facts, "type": "polygonlabels", "value": value}


def write_label_studio(folder, shapes):
    write_image(folder / "a.png")
    results = [label_studio_result(shape, number) for number, shape in enumerate(shapes)]
    task = {
        "id": 1,
        "data": {"image": "/data/upload/3/0a1b2c3d-a.png"},
        "annotations": [{"id": 7, "was_cancelled": False, "result": results}],
    }
    path = folder / "export.json"
    path.write_text(json.dumps([task]))
    return path


def write_label_studio_min(folder, shapes):
    """JSON-MIN, as label-studio-sdk's converter makes it: the values with the size."""
    write_image(folder / "a.png")
    results = [label_studio_result(shape, number) for number, shape in enumerate(shapes)]
    size = ("original_width", "original_height")
    values = [{**r["value"], **{key: r[key] for key in size}} for r in results]
    task = {"image": "/data/upload/3/0a1b2c3d-a.png", "id": 1, "label": values, "annotator": 1}
    path = folder / "min.json"
    path.write_text(json.dumps([{**task, "annotation_id": 7}]))
    return path


def write_one_object_files(folder, shapes):
    """As DSB2018 has it: ID/images/ID.png, and a mask of 0 and 255 for each object beside it."""
    write_image(folder / "a" / "images" / "a.png")
    (folder / "a" / "masks").mkdir()
    for number, shape in enumerate(shapes):
        path = folder / "a" / "masks" / f"{number:04x}.png"
        cv2.imwrite(str(path), shape.mask.astype(np.uint8) * 255)
    return folder


def write_class_folders(folder, shapes):
    """raw/a.png, and a label image for each class in a folder of its own."""
    write_image(folder / "raw" / "a.png")
    for name in {shape.class_name for shape in shapes}:
        path = folder / "masks" / name / "a.tif"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), numbered([s for s in shapes if s.class_name == name]))
    return folder / "masks"


def write_voc_colours(folder, shapes):
    """As CVAT writes its Segmentation mask 1.1: colours, and labelmap.txt."""
    names = sorted({shape.class_name for shape in shapes})
    of_object = np.random.default_rng(0).integers(1, 200, (len(shapes) + 1, 3)).astype(np.uint8)
    of_class = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0)], np.uint8)[: len(names) + 1]
    of_object[0] = 0
    classes = [names.index(shape.class_name) + 1 for shape in shapes]
    write_image(folder / "JPEGImages" / "a.jpg")
    for name, colours, numbers in (
        ("SegmentationObject", of_object, None),
        ("SegmentationClass", of_class, classes),
    ):
        (folder / name).mkdir()
        Image.fromarray(colours[numbered(shapes, numbers)]).save(folder / name / "a.png")
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
    lines += [f"{n}:{','.join(map(str, c))}::" for n, c in zip(names, of_class[1:], strict=True)]
    (folder / "labelmap.txt").write_text("\n".join(lines) + "\n")
    return folder

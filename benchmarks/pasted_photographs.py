"""Draw a small data set of photographs, as people have: three classes, 18 images of 800 x 600.

    python -m benchmarks.pasted_photographs --output datasets/pasted

Cats, dogs and sheep of Pascal VOC and SBD, some 120 pixels across, are pasted on photographs that
show other animals; the images to train on from ``voc_2012_instance_fit``, those to score on from
``voc_2012_instance_dev``. Prints what ``--register-coco`` takes.
"""

import argparse
import os

import cv2
import numpy as np
from detectron2.data import DatasetCatalog

from dml_instance.data.datasets.voc import VOC_CLASSES
from dml_instance.files import replacing_folder, write_json
from dml_instance.rle import decoded_part, encoded

_CLASSES = ("cat", "dog", "sheep")
_SIZE = (600, 800)
_OBJECTS = 8
_DIAMETERS = (90, 150)
# Smaller ones would be magnified.
_LEAST_PIXELS = 60 * 60
# What is covered by others is less than this share of an object.
_MOST_COVERED = 0.3


def cut_out(record: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str] | None:
    """One object of a record: (h, w, 3) uint8 pixels, (h, w) bool mask and class; or None."""
    fitting = [
        annotation
        for annotation in record["annotations"]
        if VOC_CLASSES[annotation["category_id"]] in _CLASSES
        and annotation["area"] >= _LEAST_PIXELS
    ]
    if not fitting:
        return None
    chosen = fitting[rng.integers(len(fitting))]
    mask, (top, left) = decoded_part(chosen["segmentation"])
    height, width = mask.shape
    pixels = cv2.imread(record["file_name"])[top : top + height, left : left + width]
    scale = rng.uniform(*_DIAMETERS) / (2 * np.sqrt(mask.sum() / np.pi))
    size = [max(round(side * scale), 1) for side in (width, height)]
    return (
        cv2.resize(pixels, size, interpolation=cv2.INTER_AREA),
        cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0,
        VOC_CLASSES[chosen["category_id"]],
    )


def draw(
    objects: list[dict], grounds: list[dict], rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[np.ndarray, str]]]:
    """One image of _SIZE, and the mask and class of each object in it."""
    height, width = _SIZE
    ground = cv2.imread(grounds[rng.integers(len(grounds))]["file_name"])
    image = cv2.resize(ground, (width, height), interpolation=cv2.INTER_CUBIC)
    placed: list[tuple[np.ndarray, str]] = []
    while len(placed) < _OBJECTS:
        cut = cut_out(objects[rng.integers(len(objects))], rng)
        if cut is None or max(cut[1].shape) >= min(_SIZE):
            continue
        pixels, mask, name = cut
        top = rng.integers(height - mask.shape[0])
        left = rng.integers(width - mask.shape[1])
        window = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
        whole = np.zeros(_SIZE, dtype=bool)
        whole[window] = mask
        if any((whole & other).sum() > _MOST_COVERED * other.sum() for other, _ in placed):
            continue
        for other, _ in placed:
            other &= ~whole
        image[window][mask] = pixels[mask]
        placed.append((whole, name))
    return image, placed


def coco_of(annotated: list[tuple[str, list[tuple[np.ndarray, str]]]]) -> dict:
    """COCO's form of (file name, objects) of each image."""
    annotations = [
        {
            "image_id": image_id,
            "category_id": _CLASSES.index(name) + 1,
            "segmentation": encoded(mask),
            "bbox": [int(side) for side in cv2.boundingRect(mask.view(np.uint8))],
            "area": int(mask.sum()),
            "iscrowd": 0,
        }
        for image_id, (_, objects) in enumerate(annotated, start=1)
        for mask, name in objects
    ]
    return {
        "images": [
            {"id": image_id, "file_name": file, "height": _SIZE[0], "width": _SIZE[1]}
            for image_id, (file, _) in enumerate(annotated, start=1)
        ],
        "annotations": [{"id": i, **entry} for i, entry in enumerate(annotations, start=1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(_CLASSES, start=1)],
    }


def main(args: argparse.Namespace) -> None:
    rng = np.random.default_rng(args.seed)
    with replacing_folder(args.output) as folder:
        for split, source in (("train", "fit"), ("val", "dev")):
            records = DatasetCatalog.get(f"voc_2012_instance_{source}")
            names = [{VOC_CLASSES[a["category_id"]] for a in r["annotations"]} for r in records]
            objects = [r for r, held in zip(records, names, strict=True) if held & set(_CLASSES)]
            grounds = [
                r for r, held in zip(records, names, strict=True) if not held & set(_CLASSES)
            ]
            annotated = []
            for number in range(args.images):
                image, placed = draw(objects, grounds, rng)
                file = f"{split}_{number:02}.jpg"
                cv2.imwrite(os.path.join(folder, file), image)
                annotated.append((file, placed))
            write_json(os.path.join(folder, f"{split}.json"), coco_of(annotated))
    for split in ("train", "val"):
        print(f"--register-coco pasted_{split}={args.output}/{split}.json:{args.output}")


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pasted_photographs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="must not exist")
    parser.add_argument(
        "--images", type=int, default=18, help="of each split (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

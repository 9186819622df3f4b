#!/usr/bin/env python
"""Segment images with a trained model: label images, a table of objects, and COCO's format.

    python tools/predict.py --config-file output/cells/config.yaml --input raw --output masks
    python tools/predict.py --config-file configs/DSB2018/dml_slim_unet.yaml --weights dml://nuclei
        \\ --input a.png b.png --output masks

Writes into the output folder

    labels/NAME.png   16-bit, 0 is background, 1, 2, 3 ... the objects, best score first
    objects.csv       a line for each object: image, label, class, score, area, centre and box in
        pixels
    instances.json    the same with masks, in COCO's format: --register-coco takes it, once
    corrected, as training data

A file that is no readable image is skipped and reported; the others are segmented.
"""

import argparse
import csv
import io
import os
import sys

import cv2
import numpy as np
from detectron2.structures import Instances
from detectron2.utils.logger import setup_logger

from dml_instance.data import build_test_mapper, register_given
from dml_instance.data.coco_writer import annotation_of
from dml_instance.data.images import image_files, stem_of
from dml_instance.files import write_json, write_text
from dml_instance.prediction import add_model_options, for_each_image, load_trained, metadata_of

COLUMNS = (
    "image",
    "label",
    "class",
    "score",
    "area",
    "center_row",
    "center_column",
    "left",
    "top",
    "width",
    "height",
)


def label_image(masks: np.ndarray) -> np.ndarray:
    """(N, H, W) bool, best first, to (H, W) uint16: n + 1 where mask n is the best one, 0 where none is."""
    labels = np.zeros(masks.shape[1:], np.uint16)
    for number, mask in reversed(list(enumerate(masks, start=1))):
        labels[mask] = number
    return labels


class Results:
    """What was found in all images so far, as rows of the table and as COCO's annotations."""

    def __init__(self, class_names: list[str]):
        self.class_names = class_names
        self.rows: list[tuple] = []
        self.images: list[dict] = []
        self.annotations: list[dict] = []

    def add(self, file: str, found: Instances) -> None:
        """The instances of one image, with masks on the CPU."""
        height, width = found.image_size
        image_id = len(self.images) + 1
        name = os.path.basename(file)
        self.images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        columns = (found.pred_masks.numpy(), found.scores.tolist(), found.pred_classes.tolist())
        for label, (mask, score, category) in enumerate(zip(*columns, strict=True), start=1):
            annotation = annotation_of(mask, category + 1)
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": image_id,
                    **annotation,
                    "score": round(score, 4),
                }
            )
            numbers = [*(places.mean() for places in np.nonzero(mask)), *annotation["bbox"]]
            facts = (self.class_names[category], f"{score:.4f}", annotation["area"])
            self.rows.append((name, label, *facts, *(f"{number:.1f}" for number in numbers)))

    def write(self, folder: str) -> None:
        """objects.csv and instances.json."""
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([COLUMNS, *self.rows])
        write_text(os.path.join(folder, "objects.csv"), table.getvalue())
        categories = [
            {"id": index, "name": name} for index, name in enumerate(self.class_names, start=1)
        ]
        coco = {"images": self.images, "annotations": self.annotations, "categories": categories}
        write_json(os.path.join(folder, "instances.json"), coco)


def main(args: argparse.Namespace) -> int:
    """Segment everything; returns the exit status: 0 if at least one image was segmented."""
    try:
        register_given(args.register_coco)
        model, cfg = load_trained(args.config_file, args.weights, args.opts, needs_data=False)
        records = [{"file_name": file} for file in image_files(args.input)]
    except (FileNotFoundError, KeyError, ValueError) as error:
        sys.exit(f"error: {error.args[0]}")
    ours = cfg.MODEL.META_ARCHITECTURE == "DMLInstance"
    count = cfg.MODEL.DML.NUM_CLASSES if ours else cfg.MODEL.ROI_HEADS.NUM_CLASSES
    names = metadata_of(cfg).get("thing_classes", [])
    if len(names) != count:
        names = [f"class {index}" for index in range(count)]
    folder = os.path.join(args.output, "labels")
    os.makedirs(folder, exist_ok=True)
    mapper, results = build_test_mapper(cfg), Results(names)

    def segment(record: dict) -> None:
        found = model([mapper(record)])[0]["instances"].to("cpu")
        found = found[found.scores >= args.min_score]
        found = found[found.pred_masks.flatten(1).any(dim=1)]
        path = os.path.join(folder, f"{stem_of(record['source'])}.png")
        cv2.imwrite(f"{path}.part.png", label_image(found.pred_masks.numpy()))
        os.replace(f"{path}.part.png", path)
        results.add(record["source"], found)

    skipped = for_each_image(records, segment, "segmenting")
    results.write(args.output)
    done = len(records) - skipped
    print(
        f"{len(results.rows)} objects in {done} images: {args.output}"
        + (f", {skipped} files skipped" if skipped else "")
    )
    return 0 if done else 1


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_options(parser)
    parser.add_argument(
        "--input", nargs="+", required=True, metavar="PATH", help="images, or folders of images"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the results")
    parser.add_argument(
        "--min-score",
        type=float,
        default=0.5,
        help="least score of an object (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    setup_logger(name="dml_instance")
    sys.exit(main(argument_parser().parse_args()))

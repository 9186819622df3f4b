#!/usr/bin/env python
"""Measure speed and memory, side by side in one run, and write the figures as JSON.

    python tools/benchmark.py evaluator --output results/benchmark_evaluator.json

evaluator   mAP^r of as many images as VOC 2012 val has, 20 predictions each, drawn; and of images with four times the
            pixels. Each in a process of its own, so that its memory is its own.
"""

import argparse
import multiprocessing
import shlex
import sys
import time

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from dml_instance.engine import machine, peak_memory_mib
from dml_instance.evaluation import score_predictions
from dml_instance.files import write_json
from dml_instance.report import table

IMAGES, PREDICTIONS, OBJECTS, CLASSES = 1449, 20, 3, 20


def drawn_data(enlarged: int) -> tuple[list[dict], list[dict]]:
    """Records and predictions of ellipses in images of 375 x 500 pixels, both sides ``enlarged`` times as long."""
    rng = np.random.default_rng(0)
    size = (375 * enlarged, 500 * enlarged)

    def ellipse(centre: np.ndarray, axes: np.ndarray, angle: float) -> dict:
        mask = np.zeros(size, np.uint8)
        cv2.ellipse(mask, centre.tolist(), axes.tolist(), angle, 0, 360, 1, -1)
        return coco_mask.encode(np.asfortranarray(mask))

    records, predictions = [], []
    for index in range(IMAGES):
        centres = rng.integers(0, size[::-1], (OBJECTS, 2))
        axes = rng.integers(10, 120, (OBJECTS, 2)) * enlarged
        angles, classes = rng.uniform(0, 180, OBJECTS), rng.integers(0, CLASSES, OBJECTS)
        annotations = [
            {"segmentation": ellipse(*drawing), "category_id": int(c)}
            for *drawing, c in zip(centres, axes, angles, classes, strict=True)
        ]
        records.append({"image_id": index, "height": size[0], "width": size[1], "annotations": annotations})
        for near in rng.integers(0, OBJECTS, PREDICTIONS):
            moved = centres[near] + rng.integers(-15, 16, 2) * enlarged
            predictions.append(
                {
                    "image_id": index,
                    "category_id": int(classes[near] if rng.random() < 0.8 else rng.integers(CLASSES)),
                    "segmentation": ellipse(moved, axes[near], angles[near]),
                    "score": rng.random(),
                }
            )
    return records, predictions


def score_drawn(enlarged: int) -> dict:
    """Time and memory of scoring ``drawn_data``; to be called in a process of its own."""
    records, predictions = drawn_data(enlarged)
    before = peak_memory_mib()
    start = time.perf_counter()
    result = score_predictions(records, predictions, [f"class {index}" for index in range(CLASSES)])
    seconds = time.perf_counter() - start
    return {
        "image_size": [records[0]["height"], records[0]["width"]],
        "images": len(records),
        "predictions": len(predictions),
        "seconds": round(seconds, 2),
        "peak_mib_before": round(before, 1),
        "peak_mib_added": round(peak_memory_mib() - before, 1),
        "AP50": round(result["AP50"], 2),
    }


def benchmark_evaluator() -> dict:
    """Figures of both image sizes."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return {"evaluator": [pool.apply(score_drawn, (enlarged,)) for enlarged in (1, 2)]}


def main(args: argparse.Namespace) -> None:
    figures = {"evaluator": benchmark_evaluator}[args.part]()
    for rows in figures.values():
        print(table([list(row.values()) for row in rows], list(rows[0])))
    if args.output:
        command = shlex.join(["python", "tools/benchmark.py", *sys.argv[1:]])
        write_json(args.output, {"command": command, "machine": machine(), **figures})


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["evaluator"], help="what to measure")
    parser.add_argument("--output", metavar="FILE.json", help="write the figures there as well")
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

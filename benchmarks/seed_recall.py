"""How many seeds an image needs: the share of objects that are found, over the number of seeds.

    python -m benchmarks.seed_recall --config-file output/voc/config.yaml \\
        --output output/seed_recall

The paper (Fathi et al., arXiv:1703.10277) says that 100 seeds cover nearly all objects of VOC. An
object is found if a mask grown from one of the first N seeds has an IoU of at least 0.5, or 0.7,
with it, whatever its class and score; no mask is suppressed by another one. The first N are chosen
by score and diversity, as GROUPING.MAX_SEEDS has it. Writes OUTPUT.json and OUTPUT.png.
"""

import argparse
import dataclasses
import sys

import numpy as np
import torch
from detectron2.data import DatasetCatalog
from matplotlib.figure import Figure
from pycocotools import mask as coco_mask

from dml_instance.engine import (
    Trainer,
    load_trained,
    machine,
    message_of,
    use_huge_pages,
)
from dml_instance.files import write_json
from dml_instance.modeling import DMLInstance
from dml_instance.options import ModelArgumentParser
from dml_instance.report import table
from dml_instance.rle import as_rle, encoded

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
THRESHOLDS = (0.5, 0.7)


def best_overlaps(model: DMLInstance, x: dict, objects: list[dict]) -> np.ndarray:
    """The best IoU of each object with a mask of the first N seeds, for each N of COUNTS.

    Args:
        model: in evaluation mode; its grouping's rules are changed meanwhile.
        x: Detectron2's input dict of the image.
        objects: RLEs of its G objects, G >= 1.

    Returns:
        (len(COUNTS), G) in [0, 1].
    """
    grouping, rules = model.grouping, model.grouping.rules
    (pyramid,) = model.pyramids([x])
    best = np.zeros((len(COUNTS), len(objects)))
    for index, count in enumerate(COUNTS):
        grouping.rules = dataclasses.replace(rules, max_seeds=count, max_overlap=1.0)
        masks = grouping(pyramid, (x["height"], x["width"])).pred_masks.cpu().numpy()
        if len(masks):
            overlaps = coco_mask.iou([encoded(mask) for mask in masks], objects, [0] * len(objects))
            best[index] = overlaps.max(axis=0)
    grouping.rules = rules
    return best


@torch.no_grad()
def recalls(model: DMLInstance, loader, records: dict) -> dict[str, list[float]]:
    """Share of objects found, for each N of COUNTS, in percent.

    Args:
        model: in evaluation mode.
        loader: of one image a batch.
        records: Detectron2 records by ``image_id``.

    Returns:
        {IoU: [recall, ...]}.
    """
    best = []
    for (x,) in loader:
        record = records[x["image_id"]]
        objects = [
            as_rle(a["segmentation"], record["height"], record["width"])
            for a in record["annotations"]
            if not a.get("iscrowd", 0)
        ]
        if objects:
            best.append(best_overlaps(model, x, objects))
    every = np.concatenate(best, axis=1)
    return {f"{t:g}": (100 * (every >= t).mean(axis=1)).tolist() for t in THRESHOLDS}


def plot(found: dict[str, list[float]], path: str) -> None:
    """Recall over the number of seeds as a PNG."""
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axis = figure.subplots()
    for threshold, values in found.items():
        axis.plot(COUNTS, values, marker="o", label=f"IoU {threshold}")
    axis.set(xscale="log", xlabel="seeds an image", ylabel="objects found, %", ylim=(0, 100))
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=110)


def main(args: argparse.Namespace) -> None:
    try:
        # The limits of a result would hide what seeds find.
        unlimited = ["TEST.DETECTIONS_PER_IMAGE", str(COUNTS[-1])]
        model, cfg = load_trained(args.config_file, args.weights, [*args.opts, *unlimited])
    except (FileNotFoundError, KeyError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    dataset = cfg.DATASETS.TEST[0]
    records = {record["image_id"]: record for record in DatasetCatalog.get(dataset)}
    found = recalls(model, Trainer.build_test_loader(cfg, dataset), records)
    rows = [[count, *(values[i] for values in found.values())] for i, count in enumerate(COUNTS)]
    print(table(rows, ["seeds", *(f"found at IoU {threshold}" for threshold in found)]))
    plot(found, f"{args.output}.png")
    write_json(
        f"{args.output}.json",
        {
            "dataset": dataset,
            "config": args.config_file,
            "weights": args.weights,
            "seeds": COUNTS,
            "recall": found,
            "machine": machine(),
        },
    )


if __name__ == "__main__":
    use_huge_pages()
    parser = ModelArgumentParser(__doc__, prog="python -m benchmarks.seed_recall")
    parser.add_argument("--output", required=True, metavar="STEM", help="of the files written")
    main(parser.parse_args())

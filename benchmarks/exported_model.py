"""An exported model beside the one of torch that it was made from: objects, start and memory.

    dml export --model nuclei --output output/nuclei_model
    python -m benchmarks.exported_model --config-file configs/DSB2018/dml_efficientnet_lite0.yaml \\
        --weights dml://nuclei --model output/nuclei_model --dataset dsb2018_nuclei_val \\
        --output output/exported_model.json

Both segment all images of a data set; each object in the label image of one is looked for in that
of the other. Then fresh processes segment one image, by turns. The runtime is also started once
without the machine code that numba keeps, as after an installation.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from detectron2.data import DatasetCatalog
from tqdm import tqdm

from dml_instance.data import build_test_mapper, register_given
from dml_instance.data.forms.results import found_objects
from dml_instance.engine import NO_DATA, load_trained, machine, message_of
from dml_instance.files import write_json
from dml_instance.mask_classes import is_likeliest
from dml_instance.options import add_registration_option
from dml_instance.report import table
from dml_instance.runtime import load


def labels_of(instances, min_score: float) -> np.ndarray:
    """The label image of what a model of torch found, as ``Result.labels``."""
    labels = np.zeros(instances.image_size, np.int32)
    for found in found_objects(instances, min_score):
        seen = labels[found.window]
        seen[found.mask & (seen == 0)] = found.label
    return labels


def best_overlaps(labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The IoU of each object of a label image with that of another image that it is most like.

    Args:
        labels, others: (H, W), 0 is background.

    Returns:
        (N,) in [0, 1], of the N objects that have a pixel, by their numbers.
    """
    count = int(others.max()) + 1
    pairs, shared = np.unique(labels.astype(np.int64) * count + others, return_counts=True)
    first, second = pairs // count, pairs % count
    areas, other_areas = np.bincount(labels.ravel()), np.bincount(others.ravel())
    iou = np.where(second > 0, shared / (areas[first] + other_areas[second] - shared), 0)
    best = np.zeros(len(areas))
    np.maximum.at(best, first, iou)
    return best[1:][areas[1:] > 0]


@torch.no_grad()
def compare_objects(run: tuple, folder: str, dataset: str) -> dict:
    """Objects of the model of torch and of the exported one on all images of a data set."""
    model, cfg = load_trained(*run, needs=NO_DATA)
    model.grouping.max_instances = None
    mapper, exported = build_test_mapper(cfg), load(folder)
    overlaps, differences, same, counts = [], [], 0, np.zeros(2, int)
    records = DatasetCatalog.get(dataset)
    for record in tqdm(records, desc="segmenting", unit="image"):
        path = record["file_name"]
        instances = model([mapper({"file_name": path})])[0]["instances"]
        instances = instances[is_likeliest(instances)]
        labels = labels_of(instances, exported.rules.grouping.min_score)
        result = exported(path)
        others = result.labels
        overlaps += [best_overlaps(labels, others), best_overlaps(others, labels)]
        same += np.array_equal(labels, others)
        counts += [len(np.unique(image)) - (0 in image) for image in (labels, others)]
        if len(result) <= len(instances):
            scores = instances.scores[: len(result)].numpy()
            differences.append(np.abs(scores - result.scores).max(initial=0.0))
    both = np.concatenate(overlaps)
    return {
        "dataset": dataset,
        "images": len(records),
        "objects_torch": int(counts[0]),
        "objects_exported": int(counts[1]),
        "least_iou": float(both.min(initial=1.0)),
        "objects_under_0_99": int((both <= 0.99).sum()),
        "images_with_the_same_labels": same,
        "largest_difference_of_a_score": float(max(differences, default=0.0)),
    }


def first_result(*arguments: str, **environment: str) -> dict:
    """What ``benchmarks.first_result`` prints, and ``first_s``, seconds from the start of its
    process to the first result."""
    started = time.time()
    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.first_result", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ).stdout
    result = json.loads(printed.splitlines()[-1])
    return {"first_s": round(result.pop("first_at") - started, 2), **result}


def compare_starts(run: tuple, folder: str, image: str, repeats: int) -> dict:
    """The first result of fresh processes, by turns, and of one that has to compile."""
    kinds = {"exported": ("exported", folder, image), "torch": ("torch", *run[:2], image)}
    with tempfile.TemporaryDirectory() as empty:
        compiling = first_result(*kinds["exported"], NUMBA_CACHE_DIR=empty)
    starts = {kind: [] for kind in kinds}
    for _ in range(repeats):
        for kind, arguments in kinds.items():
            starts[kind].append(first_result(*arguments))
    return {"exported_without_machine_code": compiling, **starts}


def summary(starts: dict) -> str:
    """Medians as a table."""
    rows = []
    for name, runs in starts.items():
        runs = runs if isinstance(runs, list) else [runs]
        keys = ("first_s", "processor_s", "second_s", "peak_mib")
        rows.append([name, *(statistics.median(run[key] for run in runs) for key in keys)])
    header = ["process", "first result s", "of processors s", "second s", "MiB at most"]
    return table(rows, header, [0, 2, 2, 2, 0])


def main(args: argparse.Namespace) -> None:
    """Compare, print and write."""
    run = (args.config_file, args.weights, ["MODEL.DEVICE", "cpu"])
    try:
        register_given(args.register_coco)
        objects = compare_objects(run, args.model, args.dataset)
        image = args.image or DatasetCatalog.get(args.dataset)[0]["file_name"]
        starts = compare_starts(run, args.model, image, args.repeats)
    except (KeyError, OSError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    print(json.dumps(objects, indent=2))
    print(summary(starts))
    command = "python -m benchmarks.exported_model " + " ".join(sys.argv[1:])
    content = {"command": command, "machine": machine(), "objects": objects, "starts": starts}
    write_json(args.output, content)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="FILE", help="of the model")
    parser.add_argument("--weights", required=True, metavar="FILE", help="checkpoint or dml://NAME")
    parser.add_argument("--model", required=True, metavar="DIR", help="what `dml export` wrote")
    parser.add_argument("--dataset", required=True, metavar="NAME", help="whose images are used")
    add_registration_option(parser)
    parser.add_argument("--image", metavar="FILE", help="of the start (default: the first one)")
    parser.add_argument("--repeats", type=int, default=5, help="fresh processes of each kind")
    parser.add_argument("--output", required=True, metavar="FILE", help="JSON to write")
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

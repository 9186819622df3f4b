"""Leave out most labels of a COCO file, to measure what a partly labelled data set is worth.

    python -m benchmarks.leave_out_labels datasets/dsb2018/annotations/instances_train.json 0.3 \\
        output/nuclei_30.json

Of every image with objects at least one stays.
"""

import argparse
import os
import sys
from collections import defaultdict

import numpy as np

from dml_instance.files import read_json, write_json


def left(annotations: list[dict], share: float, seed: int) -> list[dict]:
    """A random ``share`` in (0, 1] of the annotations of each image, in their order."""
    rng = np.random.default_rng(seed)
    of_image = defaultdict(list)
    for index, annotation in enumerate(annotations):
        of_image[annotation["image_id"]].append(index)
    kept = {
        int(index)
        for indices in of_image.values()
        for index in rng.choice(indices, max(round(share * len(indices)), 1), replace=False)
    }
    return [annotation for index, annotation in enumerate(annotations) if index in kept]


def main(args: argparse.Namespace) -> None:
    if not os.path.isfile(args.source):
        sys.exit(f"error: {args.source} does not exist")
    if not 0 < args.share <= 1:
        sys.exit(f"error: the share that stays is in (0, 1], got {args.share:g}")
    coco = read_json(args.source)
    kept = left(coco["annotations"], args.share, args.seed)
    write_json(args.output, {**coco, "annotations": kept})
    print(f"{len(kept)} of {len(coco['annotations'])} objects are left in {args.output}")


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.leave_out_labels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="IN.json", help="COCO annotations")
    parser.add_argument("share", type=float, help="of the objects of each image that stay")
    parser.add_argument("output", metavar="OUT.json", help="the same with fewer")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

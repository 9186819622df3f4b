#!/usr/bin/env python
"""Draw the embedded data set Shapes in COCO format.

    python tools/prepare_shapes.py
    python tools/prepare_shapes.py --difficulty 0.6 --output datasets/shapes_hard

Its objects are rings, crossing bars, wires, combs, chairs and crowds of blobs.
"""

import argparse
import json
import os
import sys

import _quiet  # noqa: F401

from dml_instance.data.datasets.shapes import (
    CLASS_NAMES,
    DEFAULT_DIFFICULTY,
    SCENE_KINDS,
    write_shapes,
)


def counts_of(root: str, split: str) -> str:
    """Number of objects of each class, as one line."""
    with open(
        os.path.join(root, "annotations", f"instances_{split}.json"), encoding="utf-8"
    ) as file:
        ids = [annotation["category_id"] for annotation in json.load(file)["annotations"]]
    return ", ".join(
        f"{ids.count(index)} {name}" for index, name in enumerate(CLASS_NAMES, start=1)
    )


def main(args: argparse.Namespace) -> None:
    try:
        is_new = write_shapes(
            args.output,
            {"train": args.train, "val": args.val, "test": args.test},
            seed=args.seed,
            size=args.size,
            difficulty=args.difficulty,
            overwrite=args.overwrite,
        )
    except (FileExistsError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{'drawn' if is_new else 'found, with the same parameters'}: {args.output}")
    print(f"images of {args.size} pixels, scenes {', '.join(SCENE_KINDS)}")
    for split in ("train", "val", "test"):
        print(f"{split}: {getattr(args, split)} images; objects: {counts_of(args.output, split)}")


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = os.path.join(
        os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets")), "shapes"
    )
    parser.add_argument(
        "--output", default=default, metavar="DIR", help="folder to write (default: %(default)s)"
    )
    parser.add_argument(
        "--train", type=int, default=600, metavar="N", help="training images (default: %(default)s)"
    )
    parser.add_argument(
        "--val", type=int, default=100, metavar="N", help="validation images (default: %(default)s)"
    )
    parser.add_argument(
        "--test", type=int, default=100, metavar="N", help="test images (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="the same seed draws the same set (default: %(default)s)",
    )
    parser.add_argument(
        "--size", type=int, default=160, help="pixels a side, at least 64 (default: %(default)s)"
    )
    parser.add_argument(
        "--difficulty",
        type=float,
        default=DEFAULT_DIFFICULTY,
        help="0 (easy) to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a set with other parameters"
    )
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

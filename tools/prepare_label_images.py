#!/usr/bin/env python
"""Convert images with label images to COCO format.

    python tools/prepare_label_images.py --images raw --labels masks \\
        --output datasets/cells --class-name cell
    python tools/prepare_label_images.py --images img2d.tif --labels mask2d.tif \\
        --output datasets/nuclei --tile 128

In a label image 0 is background, and every object has a number of its own. Files of two folders
belong together by name. The result has two splits, train and val; the command to train on them is
printed at the end.
"""

import argparse
import os
import sys

from dml_instance.data.forms.coco_writer import counts_line
from dml_instance.data.forms.label_images import convert_label_images, matched_files
from dml_instance.data.images import add_reading_options, reading_rules


def main(args: argparse.Namespace) -> None:
    try:
        counts = convert_label_images(
            matched_files(args.images, args.labels),
            args.output,
            class_name=args.class_name,
            val_fraction=args.val_fraction,
            tile=args.tile,
            seed=args.seed,
            rules=reading_rules(args),
        )
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(
        counts_line(counts, args.output) + ". To train on them:\n\n" + training_command(args.output)
    )


def training_command(root: str) -> str:
    """What a user types next."""
    name = os.path.basename(os.path.normpath(root))
    lines = [
        "    python tools/train_net.py --config-file configs/DSB2018/dml_efficientnet_lite0.yaml"
    ]
    for split in ("train", "val"):
        file = os.path.join(root, "annotations", f"instances_{split}.json")
        lines.append(f"--register-coco {name}_{split}={file}:{os.path.join(root, 'images')}")
    sets = (
        f"DATASETS.{key} \"('{name}_{split}',)\""
        for key, split in (("TRAIN", "train"), ("TEST", "val"))
    )
    return " \\\n        ".join([*lines, f"{' '.join(sets)} OUTPUT_DIR output/{name}"])


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--images", required=True, metavar="PATH", help="folder of images, or one image"
    )
    parser.add_argument(
        "--labels", required=True, metavar="PATH", help="folder of label images, or one"
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder to write; must not exist"
    )
    parser.add_argument(
        "--class-name", default="object", help="of all objects (default: %(default)s)"
    )
    parser.add_argument(
        "--val-fraction",
        type=float,
        default=0.25,
        help="share of the images for val, of the tiles of a single image (default: %(default)s)",
    )
    parser.add_argument(
        "--tile", type=int, default=0, help="cut images to about this side in pixels (default: not)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the draw of val (default: %(default)s)"
    )
    add_reading_options(parser)
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

#!/usr/bin/env python
"""Make a data set that trains of images and annotations, in whatever form they are.

    python tools/prepare.py --images raw --labels masks --output datasets/cell --class-name cell
    python tools/prepare.py --labels export/annotations.xml --images raw --output datasets/cell
    python tools/prepare.py --labels yolo --output datasets/cell --group-by "slide[0-9]+"
    python tools/prepare.py --images a.tif --labels a_mask.tif --output datasets/cell --tile 256

Read are label images, with masks of one object a file or of one class a file among them, masks of
Pascal VOC, LabelMe, YOLO's segmentation, CVAT for images, VIA, Label Studio and COCO's format. It
says what it found, writes the splits train and val in COCO's format, and ``contact_sheet.png`` to
look at. The command to train on them is printed at the end.
"""

import argparse
import os
import re
import shlex
import sys

import _quiet  # noqa: F401

from detectron2.data import DatasetCatalog

from dml_instance.data.coco import parse_registration
from dml_instance.data.forms.preparing import LEAST_TILE, SplitRules, prepare
from dml_instance.data.forms.preparing.splits import TRAIN, VAL
from dml_instance.data.forms.readers import DEFAULT_CLASS, FORMS, SourceRules
from dml_instance.data.images import add_reading_options, reading_rules
from dml_instance.modeling.criterion.rules import SeedLossRules


def main(args: argparse.Namespace) -> None:
    try:
        registrations(args.output)  # refuses a name that the training would refuse
        report = prepare(
            SourceRules(
                args.labels,
                args.images,
                class_names=tuple(args.class_name),
                class_table=args.classes,
                class_key=args.class_key,
                number_pieces=args.number_pieces,
                keep_boxes=args.keep_boxes,
                reading=reading_rules(args),
            ),
            args.output,
            form=args.form,
            splits=SplitRules(args.val_fraction, args.group_by, args.seed),
            tile=args.tile,
        )
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{report}; look at its contact_sheet.png. To train on them:\n")
    options = []
    if args.labelled_share < 1:
        options.append(f"MODEL.DML.SEED_LOSS.LABELLED_SHARE {args.labelled_share:g}")
    print(training_command(args.output, options))


def training_command(root: str, options: list[str]) -> str:
    """What a user types next for a data set that was written, with KEY VALUE options."""
    lines = [
        "    python tools/train_net.py --config-file configs/DSB2018/dml_efficientnet_lite0.yaml"
    ]
    sets = []
    for key, registration in zip(("TRAIN", "TEST"), registrations(root), strict=True):
        name, json_file, _ = parse_registration(registration)
        is_there = os.path.isfile(json_file)
        if is_there:
            lines.append(f"--register-coco {shlex.quote(registration)}")
        sets.append(f'DATASETS.{key} "' + (f"('{name}',)" if is_there else "()") + '"')
    last = " ".join([*sets, *options, f"OUTPUT_DIR output/{_name(root)}"])
    return " \\\n        ".join([*lines, last])


def registrations(root: str) -> list[str]:
    """What ``--register-coco`` takes for train and val of a data set, under names that are free.

    Raises:
        ValueError: for a folder that it cannot take.
    """
    found = []
    for split in (TRAIN, VAL):
        file = os.path.join(root, "annotations", f"instances_{split}.json")
        parts = (f"{_name(root)}_{split}", file, os.path.join(root, "images"))
        found.append("{}={}:{}".format(*parts))
        if parse_registration(found[-1]) != parts:
            raise ValueError(
                f"--output {root} has a colon where --register-coco cuts: choose another folder"
            )
    return found


def _name(root: str) -> str:
    """A name for a data set, by its folder: letters, digits, "_", "-" and "."."""
    name = re.sub(r"[^\w.-]", "_", os.path.basename(os.path.normpath(root)))
    known = DatasetCatalog.list()
    while any(f"{name}_{split}" in known for split in (TRAIN, VAL)):
        name = f"my_{name}"
    return name


def _labelled_share(text: str) -> float:
    """The type of its argument: what the training takes."""
    try:
        return SeedLossRules(labelled_share=float(text)).labelled_share
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--labels", required=True, metavar="PATH", help="folder or file of the annotations"
    )
    parser.add_argument(
        "--images",
        metavar="PATH",
        help="folder of the images, or one image (default: where the annotations say)",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder to write; must not exist"
    )
    parser.add_argument(
        "--form", choices=FORMS, help="of the annotations (default: what is found decides)"
    )
    parser.add_argument(
        "--class-name",
        nargs="+",
        default=[DEFAULT_CLASS],
        metavar="NAME",
        help="of objects whose class the annotations do not name; several for label files of one "
        f"class each, which end in it: a_cell.png (default: {DEFAULT_CLASS})",
    )
    parser.add_argument(
        "--classes",
        metavar="CSV",
        help="of label images and VOC masks: a table with the columns label and class, and maybe "
        "image",
    )
    parser.add_argument(
        "--class-key", metavar="NAME", help="of VIA: the attribute of regions that is the class"
    )
    parser.add_argument(
        "--number-pieces",
        action="store_true",
        help="of label images: each piece of a number is an object, for masks of 0 and 255",
    )
    parser.add_argument(
        "--keep-boxes",
        action="store_true",
        help="boxes are objects, not only round them (default: they are left out)",
    )
    parser.add_argument(
        "--labelled-share",
        type=_labelled_share,
        default=1.0,
        metavar="SHARE",
        help="about what share of the objects is labelled, in (0, 1]: the training is told not to "
        "take the others for background",
    )
    parser.add_argument(
        "--val-fraction",
        type=float,
        metavar="SHARE",
        help="of the images for val, of the tiles of a single image (default: 0.25, or as the "
        "annotations are split)",
    )
    parser.add_argument(
        "--group-by",
        metavar="REGEX",
        help="images in whose names it finds the same go to the same split",
    )
    parser.add_argument(
        "--tile",
        type=int,
        default=0,
        metavar="PIXELS",
        help=f"cut images to about this side, at least {LEAST_TILE} (default: not)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the draw of val (default: %(default)s)"
    )
    add_reading_options(parser)
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

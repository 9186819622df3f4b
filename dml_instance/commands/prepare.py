"""Make a data set that trains of images and annotations, in whatever form they are.

    dml prepare --images raw --labels masks --output datasets/cell --class-name cell
    dml prepare --labels export/annotations.xml --images raw --output datasets/cell
    dml prepare --labels yolo --output datasets/cell --group-by "slide[0-9]+"
    dml prepare --images a.tif --labels a_mask.tif --output datasets/cell --tile 256

Read are label images, with masks of one object a file or of one class a file among them, masks of
Pascal VOC, LabelMe, YOLO's segmentation, CVAT for images, VIA, Label Studio and COCO's format. It
says what it found, writes the splits train and val in COCO's format, and ``contact_sheet.png`` to
look at. The command to train on them is printed at the end.
"""

import argparse
import shlex
import sys

from ..data.forms.readers import DEFAULT_CLASS, SOURCE_FORMS, SourceRules
from ..data.preparing import LEAST_TILE, SplitRules, prepare
from ..engine import message_of
from ..modeling.criterion.rules import SeedLossRules
from ..options import add_reading_options, reading_rules
from .prepared import dataset_name, registrations


def main(args: argparse.Namespace) -> int:
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
            form=args.format,
            splits=SplitRules(args.val_fraction, args.group_by, args.seed),
            tile=args.tile,
        )
    except (OSError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    print(f"{report}; look at its contact_sheet.png. To train on them:\n")
    options = []
    if args.labelled_share < 1:
        options.append(f"MODEL.DML.SEED_LOSS.LABELLED_SHARE {args.labelled_share:g}")
    print(training_command(args.output, options))


def training_command(root: str, options: list[str]) -> str:
    """What a user types next for a data set that was written, with KEY VALUE options."""
    words = ["--data", shlex.quote(root), "--output", f"output/{dataset_name(root)}", *options]
    return f"    dml train {' '.join(words)}"


def _labelled_share(text: str) -> float:
    """The type of its argument: what the training takes."""
    try:
        return SeedLossRules(labelled_share=float(text)).labelled_share
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def argument_parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
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
        "--format", choices=SOURCE_FORMS, help="of the annotations (default: what is found decides)"
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

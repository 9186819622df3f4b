"""Segment images with a trained model, and write what is found in the forms of other programs.

    dml segment --model nuclei --input a.png b.png --output masks
    dml segment --model output/cell --input raw --output masks --format csv geojson rois
    python tools/predict.py --config-file output/cell/config.yaml --input raw --output masks

Folders are searched with their sub-folders. Forms, of which the first three are written by default:

    labels     labels/NAME.png, label image of 16 bits: 0 is background, 1, 2, 3 ... the objects,
               best score first; of more than 65,535 objects NAME.tif of 32 bits
    csv        objects.csv, a line for each object: image, label, class, score, area, centre and box
               in pixels
    coco       instances.json, masks in COCO's format: --register-coco takes it, once corrected, as
               training data
    labels32   labels32/NAME.tif of 32 bits
    geojson    geojson/NAME.geojson, outlines that QuPath imports
    rois       rois/NAME.zip, regions for the ROI Manager of ImageJ and Fiji

NAME is the image's, with its sub-folders. Each image is written when it is segmented, and stays,
whatever happens to a later one. A file that is no readable image is skipped; the last lines list
such files, and the exit status is 1.
"""

import argparse
import os
import sys

from detectron2.utils.logger import setup_logger

from ..data import build_test_mapper, register_given
from ..data.forms.results import (
    DEFAULT_FORMS,
    RESULT_FORMS,
    ResultImage,
    ResultWriter,
    result_files,
)
from ..data.input_files import check_apart, input_files, remarks_on_names
from ..engine import (
    Tally,
    find_all,
    given_model,
    load_model,
    message_of,
    min_score_of,
    objects_in,
    run_over_images,
)
from ..grouping import limits_of
from ..keys.classes import classes_of
from ..modeling import DMLInstance
from ..options import ModelArgumentParser, add_reading_options, add_score_option, reading_rules
from ..report import counted


def main(args: argparse.Namespace) -> int:
    """Segment everything; returns the exit status: 0 if no file was skipped."""
    setup_logger(name="dml_instance")
    try:
        register_given(args.register_coco)
        targets = [os.path.join(args.output, form.target) for form in RESULT_FORMS.values()]
        results = [args.output, *targets]
        files = {file.path: file for file in input_files(args.input, leave_out=results)}
        names = [file.name for file in files.values()]
        check_apart(files, result_files(args.output, args.format, names))
        rules = reading_rules(args)
        cfg, weights = given_model(args)
        model = load_model(cfg, weights)
        tally = Tally(min_score_of(cfg, args.min_score))
        replaced = [file.relative for file in files.values()] if args.overwrite else None
        writer = ResultWriter(args.output, classes_of(cfg), args.format, replaced=replaced)
    except (KeyError, OSError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    limits, most = limits_of(model), cfg.TEST.DETECTIONS_PER_IMAGE
    if isinstance(model, DMLInstance):
        most = None  # its grouping watches the limit by itself
    if "TEST.DETECTIONS_PER_IMAGE" not in args.opts:
        find_all(model)
    mapper = build_test_mapper(cfg, rules)

    def segment(record: dict) -> None:
        file = files[record["file_name"]]
        x = mapper(record)
        objects, scores = objects_in(model, x, tally.min_score)
        if len(scores) == most:
            what = f"{most} objects, perhaps not all: raise TEST.DETECTIONS_PER_IMAGE"
            limits.add("TEST.DETECTIONS_PER_IMAGE", file.path, what)
        writer.add(ResultImage(file.name, file.relative, (x["height"], x["width"])), objects)
        tally.count(file.relative, scores, len(objects))

    status = run_over_images(
        [{"file_name": path} for path in files],
        segment,
        "segmenting",
        tally,
        args.output,
        results=writer,
        remarks=lambda: [*limits.remarks, *writer.remarks, *remarks_on_names(list(files.values()))],
    )
    objects, images = counted(tally.objects, "object"), counted(tally.images, "image")
    print(f"{objects} in {images}: {args.output}")
    return status


def argument_parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = ModelArgumentParser(__doc__, prog)
    parser.add_argument(
        "--input", nargs="+", required=True, metavar="PATH", help="images, or folders of images"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the results")
    parser.add_argument(
        "--format",
        nargs="+",
        choices=RESULT_FORMS,
        default=DEFAULT_FORMS,
        metavar="FORM",
        help=f"one or several of {', '.join(RESULT_FORMS)} (default: {' '.join(DEFAULT_FORMS)})",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results of the same images in DIR"
    )
    add_score_option(parser)
    add_reading_options(parser)
    return parser

#!/usr/bin/env python
"""Segment images with a trained model, and write what is found in the forms of other programs.

    python tools/predict.py --config-file output/cells/config.yaml --input raw --output masks
    python tools/predict.py --config-file output/cells/config.yaml --input raw --output masks \\
        --format csv geojson rois
    python tools/predict.py --config-file configs/DSB2018/dml_slim_unet.yaml \\
        --weights dml://nuclei --input a.png b.png --output masks

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

import _quiet  # noqa: F401

from detectron2.utils.logger import setup_logger

from dml_instance.data import build_test_mapper, register_given
from dml_instance.data.forms.results import (
    DEFAULT_FORMS,
    FORMS,
    ResultImage,
    ResultWriter,
    found_objects,
    result_files,
)
from dml_instance.data.images import add_reading_options, reading_rules
from dml_instance.data.input_files import check_apart, input_files, remarks_on_names
from dml_instance.engine import (
    NO_DATA,
    ModelArgumentParser,
    Tally,
    add_score_option,
    load_trained,
    message_of,
    min_score_of,
    run_over_images,
    use_huge_pages,
)
from dml_instance.keys.classes import classes_of
from dml_instance.modeling import DMLInstance
from dml_instance.modeling.grouping.limits import limits_of


def main(args: argparse.Namespace) -> int:
    """Segment everything; returns the exit status: 0 if no file was skipped."""
    setup_logger(name="dml_instance")
    try:
        register_given(args.register_coco)
        results = [args.output, *(os.path.join(args.output, f.target) for f in FORMS.values())]
        files = {file.path: file for file in input_files(args.input, leave_out=results)}
        names = [file.name for file in files.values()]
        check_apart(files, result_files(args.output, args.format, names))
        rules = reading_rules(args)
        model, cfg = load_trained(args.config_file, args.weights, args.opts, needs=NO_DATA)
        tally = Tally(min_score_of(cfg, args.min_score))
        replaced = [file.relative for file in files.values()] if args.overwrite else None
        writer = ResultWriter(args.output, classes_of(cfg), args.format, replaced=replaced)
    except (KeyError, OSError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    limits, most = limits_of(model), cfg.TEST.DETECTIONS_PER_IMAGE
    if isinstance(model, DMLInstance):
        most = None  # its grouping watches the limit by itself
        if "TEST.DETECTIONS_PER_IMAGE" not in args.opts:
            # The key bounds what is scored; who segments wants all that is found.
            model.grouping.max_instances = None
    mapper = build_test_mapper(cfg, rules)

    def segment(record: dict) -> None:
        file = files[record["file_name"]]
        found = model([mapper(record)])[0]["instances"]
        if len(found) == most:
            what = f"{most} objects, perhaps not all: raise TEST.DETECTIONS_PER_IMAGE"
            limits.add("TEST.DETECTIONS_PER_IMAGE", file.path, what)
        objects = found_objects(found, tally.min_score)
        writer.add(ResultImage(file.name, file.relative, found.image_size), objects)
        tally.count(file.relative, found.scores, len(objects))

    status = run_over_images(
        [{"file_name": path} for path in files],
        segment,
        "segmenting",
        tally,
        args.output,
        results=writer,
        remarks=lambda: [*limits.remarks, *writer.remarks, *remarks_on_names(list(files.values()))],
    )
    print(f"{tally.objects} objects in {tally.images} images: {args.output}")
    return status


def argument_parser() -> argparse.ArgumentParser:
    parser = ModelArgumentParser(__doc__)
    parser.add_argument(
        "--input", nargs="+", required=True, metavar="PATH", help="images, or folders of images"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the results")
    parser.add_argument(
        "--format",
        nargs="+",
        choices=FORMS,
        default=DEFAULT_FORMS,
        metavar="FORM",
        help=f"one or several of {', '.join(FORMS)} (default: {' '.join(DEFAULT_FORMS)})",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results of the same images in DIR"
    )
    add_score_option(parser)
    add_reading_options(parser)
    return parser


if __name__ == "__main__":
    use_huge_pages()
    sys.exit(main(argument_parser().parse_args()))

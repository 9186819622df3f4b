#!/usr/bin/env python
"""Segment images with a trained model: label images, a table of objects, and COCO's format.

    python tools/predict.py --config-file output/cells/config.yaml --input raw --output masks
    python tools/predict.py --config-file configs/DSB2018/dml_slim_unet.yaml \\
        --weights dml://nuclei --input a.png b.png --output masks

Writes into the output folder

    labels/NAME.png   16-bit, 0 is background, 1, 2, 3 ... the objects, best score first
    objects.csv       a line for each object: image, label, class, score, area, centre and box in
                      pixels
    instances.json    the same with masks, in COCO's format: --register-coco takes it, once
                      corrected, as training data

A file that is no readable image is skipped and reported; the others are segmented.
"""

import argparse
import sys

from detectron2.utils.logger import setup_logger

from dml_instance.data import build_test_mapper, register_given
from dml_instance.data.forms.predictions import PredictionWriter
from dml_instance.data.images import add_reading_options, image_files, reading_rules
from dml_instance.engine import (
    add_model_options,
    class_names_of,
    for_each_image,
    load_trained,
    message_of,
    use_huge_pages,
)
from dml_instance.modeling import DMLInstance


def main(args: argparse.Namespace) -> int:
    """Segment everything; returns the exit status: 0 if at least one image was segmented."""
    setup_logger(name="dml_instance")
    try:
        register_given(args.register_coco)
        records = [{"file_name": file} for file in image_files(args.input)]
        rules = reading_rules(args)
        model, cfg = load_trained(args.config_file, args.weights, args.opts, needs_data=False)
    except (FileNotFoundError, KeyError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    if isinstance(model, DMLInstance) and "TEST.DETECTIONS_PER_IMAGE" not in args.opts:
        # The key bounds what is scored; who segments wants all that is found.
        model.grouping.max_instances = None
    mapper = build_test_mapper(cfg, rules)
    try:
        with PredictionWriter(args.output, class_names_of(cfg)) as writer:

            def segment(record: dict) -> None:
                found = model([mapper(record)])[0]["instances"]
                writer.add(record["file_name"], found, args.min_score)

            skipped = for_each_image(records, segment, "segmenting")
    except OSError as error:
        # The results cannot be written; what is wrong with an image is no OSError.
        sys.exit(f"error: {message_of(error)}")
    done = len(records) - skipped
    print(
        f"{len(writer)} objects in {done} images: {args.output}"
        + (f", {skipped} files skipped" if skipped else "")
    )
    return 0 if done else 1


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_options(parser)
    parser.add_argument(
        "--input", nargs="+", required=True, metavar="PATH", help="images, or folders of images"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the results")
    parser.add_argument(
        "--min-score",
        type=float,
        default=0.5,
        help="least score of an object (default: %(default)s)",
    )
    add_reading_options(parser)
    return parser


if __name__ == "__main__":
    use_huge_pages()
    sys.exit(main(argument_parser().parse_args()))

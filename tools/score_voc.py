#!/usr/bin/env python
"""Score saved predictions by mAP^r again, without the model that made them.

    python tools/score_voc.py voc_2012_instance_val \\
        output/voc/dml_R_50_voc_aug/inference/voc_2012_instance_val/voc_instance_predictions.json

The file is a list of COCO's results: image_id, category_id (index of the class), segmentation (RLE)
and score.
"""

import argparse
import json
import sys

import _quiet  # noqa: F401

from detectron2.data import DatasetCatalog, MetadataCatalog

from dml_instance.data import add_registration_option, register_given
from dml_instance.engine import message_of
from dml_instance.evaluation import score_predictions
from dml_instance.files import write_json
from dml_instance.report import class_table


def _is_result(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and {"image_id", "category_id", "segmentation", "score"} <= entry.keys()
    )


def main(args: argparse.Namespace) -> None:
    try:
        register_given(args.register_coco)
        if args.dataset not in DatasetCatalog.list():
            raise KeyError(
                f"data set {args.dataset!r} is not registered; known are "
                f"{', '.join(DatasetCatalog.list())}"
            )
        with open(args.predictions, encoding="utf-8") as file:
            predictions = json.load(file)
        if not isinstance(predictions, list) or not all(_is_result(entry) for entry in predictions):
            raise ValueError(
                "it is no list of COCO's results (image_id, category_id, segmentation, score)"
            )
        result = score_predictions(
            DatasetCatalog.get(args.dataset),
            predictions,
            MetadataCatalog.get(args.dataset).thing_classes,
        )
    except OSError as error:
        sys.exit(f"error: {message_of(error)}")
    except (KeyError, ValueError) as error:
        sys.exit(f"error: {args.predictions}: {message_of(error)}")
    print(class_table(result))
    if args.output:
        write_json(args.output, result)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", help="name of a registered data set")
    parser.add_argument("predictions", help="JSON file of predictions")
    parser.add_argument("--output", metavar="FILE.json", help="write the figures there as well")
    add_registration_option(parser)
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

#!/usr/bin/env python
"""Draw what a trained model sees.

    python tools/visualize.py --config-file configs/Shapes/dml_slim_unet.yaml \\
        --dataset shapes_val --number 8
    python tools/visualize.py --config-file output/cells/config.yaml \\
        --input a.png folder --output pictures

One picture an image, in the sub-folder of the image: input, embedding as colours, seediness with
seeds, instances, ground truth. A picture of the same name is replaced. A file that is no readable
image is skipped; the last lines list such files, and the exit status is 1.
"""

import argparse
import os
import sys

import _quiet  # noqa: F401

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.logger import setup_logger

from dml_instance.data import register_given
from dml_instance.data.images import (
    add_reading_options,
    evenly_spread,
    reading_rules,
    write_image,
)
from dml_instance.data.input_files import check_apart, input_files, named, remarks_on_names
from dml_instance.engine import (
    NO_DATA,
    TEST_DATA,
    ModelArgumentParser,
    Tally,
    add_score_option,
    count,
    load_config,
    load_model,
    message_of,
    metadata_of,
    min_score_of,
    run_over_images,
    use_huge_pages,
    weights_of,
)
from dml_instance.engine.pictures import picture_of


def main(args: argparse.Namespace) -> int:
    """Draw everything; returns the exit status: 0 if no file was skipped."""
    setup_logger(name="dml_instance")
    try:
        rules = reading_rules(args)
        register_given(args.register_coco, rules)
        needs = NO_DATA if args.input or args.dataset else TEST_DATA
        cfg = load_config(args.config_file, args.opts, needs=needs)
        output = args.output or os.path.join(cfg.OUTPUT_DIR, "pictures")
        if args.input:
            files = input_files(args.input, leave_out=[output])
            records = [{"file_name": file.path} for file in files]
            metadata = metadata_of(cfg)
        else:
            datasets = [args.dataset] if args.dataset else [*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN]
            if not datasets:
                raise ValueError("nothing to draw; give --input or --dataset")
            records, metadata = DatasetCatalog.get(datasets[0]), MetadataCatalog.get(datasets[0])
            files = named([record["file_name"] for record in records])
        pictures = {f.path: os.path.join(output, f"{f.name}.png") for f in files}
        check_apart(pictures, pictures.values())
        model = load_model(cfg, args.weights or weights_of(cfg, args.config_file))
        tally = Tally(min_score_of(cfg, args.min_score))
        os.makedirs(output, exist_ok=True)
    except (KeyError, OSError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    if args.number:
        records = evenly_spread(records, args.number)
    drawn = {record["file_name"] for record in records}

    def draw(record: dict) -> None:
        picture, scores = picture_of(model, cfg, record, metadata, tally.min_score, rules)
        path = pictures[record["file_name"]]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_image(path, picture[:, :, ::-1])
        tally.count(record["file_name"], scores, int((scores >= tally.min_score).sum()))

    remarks = remarks_on_names([file for file in files if file.path in drawn])
    status = run_over_images(records, draw, "drawing", tally, output, remarks=lambda: remarks)
    print(f"{tally.images} pictures in {output}")
    return status


def argument_parser() -> argparse.ArgumentParser:
    parser = ModelArgumentParser(__doc__)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--input", nargs="+", metavar="PATH", help="images, or folders of images")
    source.add_argument(
        "--dataset", metavar="NAME", help="registered data set (default: DATASETS.TEST of the yaml)"
    )
    parser.add_argument(
        "--number", type=count, default=0, help="draw only this many, evenly spread (default: all)"
    )
    add_score_option(parser)
    parser.add_argument(
        "--output", metavar="DIR", help="folder of the pictures (default: pictures in OUTPUT_DIR)"
    )
    add_reading_options(parser)
    return parser


if __name__ == "__main__":
    use_huge_pages()
    sys.exit(main(argument_parser().parse_args()))

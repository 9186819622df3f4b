#!/usr/bin/env python
"""Draw what a trained model sees.

    python tools/visualize.py --config-file configs/Shapes/dml_slim_unet.yaml \\
        --dataset shapes_val --number 8
    python tools/visualize.py --config-file output/cells/config.yaml \\
        --input a.png folder --output pictures

One picture an image: input, embedding as colours, seediness with seeds, instances, ground truth.
A file that is no readable image is skipped and reported; the others are drawn.
"""

import argparse
import os
import sys

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.logger import setup_logger

from dml_instance.data import register_given
from dml_instance.data.images import (
    add_reading_options,
    evenly_spread,
    image_files,
    reading_rules,
    stem_of,
    write_image,
)
from dml_instance.engine import (
    add_model_options,
    for_each_image,
    load_trained,
    message_of,
    metadata_of,
    use_huge_pages,
)
from dml_instance.engine.pictures import picture_of


def main(args: argparse.Namespace) -> int:
    """Draw everything; returns the exit status: 0 if at least one picture was drawn."""
    setup_logger(name="dml_instance")
    try:
        register_given(args.register_coco)
        rules = reading_rules(args)
        needs_data = not (args.input or args.dataset)
        model, cfg = load_trained(args.config_file, args.weights, args.opts, needs_data=needs_data)
        if args.input:
            records = [{"file_name": file} for file in image_files(args.input)]
            metadata = metadata_of(cfg)
        else:
            datasets = [args.dataset] if args.dataset else [*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN]
            if not datasets:
                raise ValueError("nothing to draw; give --input or --dataset")
            records, metadata = DatasetCatalog.get(datasets[0]), MetadataCatalog.get(datasets[0])
    except (FileNotFoundError, KeyError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    if args.number:
        records = evenly_spread(records, args.number)
    output = args.output or os.path.join(cfg.OUTPUT_DIR, "pictures")

    def draw(record: dict) -> None:
        picture = picture_of(model, cfg, record, metadata, args.min_score, rules)
        name = f"{stem_of(record['file_name'])}.png"
        write_image(os.path.join(output, name), picture[:, :, ::-1])

    try:
        os.makedirs(output, exist_ok=True)
        skipped = for_each_image(records, draw, "drawing")
    except OSError as error:
        # The pictures cannot be written; what is wrong with an image is no OSError.
        sys.exit(f"error: {message_of(error)}")
    drawn = len(records) - skipped
    print(f"{drawn} pictures in {output}" + (f", {skipped} files skipped" if skipped else ""))
    return 0 if drawn else 1


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_options(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--input", nargs="+", metavar="PATH", help="images, or folders of images")
    source.add_argument(
        "--dataset", metavar="NAME", help="registered data set (default: DATASETS.TEST of the yaml)"
    )
    parser.add_argument(
        "--number", type=int, default=0, help="draw only this many, evenly spread (default: all)"
    )
    parser.add_argument(
        "--min-score", type=float, default=0.3, help="least score of seeds and instances drawn"
    )
    parser.add_argument(
        "--output", metavar="DIR", help="folder of the pictures (default: pictures in OUTPUT_DIR)"
    )
    add_reading_options(parser)
    return parser


if __name__ == "__main__":
    use_huge_pages()
    sys.exit(main(argument_parser().parse_args()))

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

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.logger import setup_logger

from dml_instance.data import register_given
from dml_instance.data.input_files import check_apart, input_files, named
from dml_instance.engine import (
    Tally,
    add_model_options,
    add_score_option,
    for_each_image,
    list_of_skipped,
    load_config,
    load_model,
    message_of,
    metadata_of,
    min_score_of,
    use_huge_pages,
    weights_of,
)
from dml_instance.engine.pictures import picture_of
from dml_instance.images import (
    add_reading_options,
    evenly_spread,
    reading_rules,
    write_image,
)


def main(args: argparse.Namespace) -> int:
    """Draw everything; returns the exit status: 0 if no file was skipped."""
    setup_logger(name="dml_instance")
    try:
        rules = reading_rules(args)
        if args.number < 0:
            raise ValueError(f"--number is at least 0, got {args.number}")
        register_given(args.register_coco, rules)
        needs_data = not (args.input or args.dataset)
        cfg = load_config(args.config_file, args.opts, needs_data=needs_data)
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
    except (KeyError, OSError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    if args.number:
        records = evenly_spread(records, args.number)

    def draw(record: dict) -> None:
        picture, scores = picture_of(model, cfg, record, metadata, tally.min_score, rules)
        path = pictures[record["file_name"]]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_image(path, picture[:, :, ::-1])
        tally.count(record["file_name"], scores, int((scores >= tally.min_score).sum()))

    try:
        os.makedirs(output, exist_ok=True)
        skipped = for_each_image(records, draw, "drawing")
    except (OSError, MemoryError) as error:
        # The pictures cannot be written, or memory is short; what is wrong with an image is
        # neither.
        sys.exit(f"error: {message_of(error)}")
    except KeyboardInterrupt:
        sys.exit(f"interrupted; {tally.images} pictures are in {output}")
    for line in (*tally.remarks, *list_of_skipped(skipped)):
        print(line)
    print(f"{tally.images} pictures in {output}")
    return 1 if skipped else 0


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
    add_score_option(parser)
    parser.add_argument(
        "--output", metavar="DIR", help="folder of the pictures (default: pictures in OUTPUT_DIR)"
    )
    add_reading_options(parser)
    return parser


if __name__ == "__main__":
    use_huge_pages()
    sys.exit(main(argument_parser().parse_args()))

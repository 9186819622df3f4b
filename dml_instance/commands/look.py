"""Draw what a trained model sees.

    dml look --model nuclei --input a.png folder --output pictures
    dml look --model output/cell --data datasets/cell --output pictures
    dml look --model nuclei --input a.png --output pictures --explain
    python tools/visualize.py --config-file configs/Shapes/dml_slim_unet.yaml \\
        --dataset shapes_val --number 8

One picture an image, in the sub-folder of the image: input, embedding as colours, seediness with
seeds, instances, ground truth. With --explain a table of the same name says of every seed what
became of it, and by which rule it was dropped. What has the same name is replaced. A file that is
no readable image is skipped; the last lines list such files, and the exit status is 1.
"""

import argparse
import os
import sys

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.logger import setup_logger

from ..data import register_given
from ..data.input_files import check_apart, input_files, named, remarks_on_names
from ..engine import (
    NO_DATA,
    TEST_DATA,
    Tally,
    given_model,
    load_model,
    message_of,
    metadata_of,
    min_score_of,
    run_over_images,
)
from ..engine.account import account_of, as_csv
from ..engine.pictures import picture_of
from ..files import make_folder, replacing, write_text
from ..images import evenly_spread, write_image
from ..modeling import DMLInstance
from ..options import (
    ModelArgumentParser,
    add_reading_options,
    add_score_option,
    count_from_1,
    reading_rules,
)
from ..report import counted
from .prepared import register_prepared


def main(args: argparse.Namespace) -> int:
    """Draw everything; returns the exit status: 0 if no file was skipped."""
    setup_logger(name="dml_instance")
    try:
        rules = reading_rules(args)
        register_given(args.register_coco, rules)
        dataset = args.dataset if args.data is None else register_prepared(args.data, rules)
        needs = NO_DATA if args.input or dataset else TEST_DATA
        cfg, weights = given_model(args, needs=needs)
        output = args.output or os.path.join(cfg.OUTPUT_DIR, "pictures")
        if args.input:
            files = input_files(args.input, leave_out=[output])
            records = [{"file_name": file.path} for file in files]
            metadata = metadata_of(cfg)
        else:
            datasets = [dataset] if dataset else [*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN]
            if not datasets:
                raise ValueError("nothing to draw; give --input or --dataset")
            records, metadata = DatasetCatalog.get(datasets[0]), MetadataCatalog.get(datasets[0])
            files = named([record["file_name"] for record in records])
        pictures = {f.path: os.path.join(output, f"{f.name}.png") for f in files}
        check_apart(pictures, pictures.values())
        model = load_model(cfg, weights)
        if args.explain and not isinstance(model, DMLInstance):
            raise ValueError(
                f"--explain is about seeds, which a {type(model).__name__} has none of"
            )
        tally = Tally(min_score_of(cfg, args.min_score))
        make_folder(output)
    except (KeyError, OSError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    if args.number:
        records = evenly_spread(records, args.number)
    drawn = {record["file_name"] for record in records}

    def draw(record: dict) -> None:
        picture, scores = picture_of(model, cfg, record, metadata, tally.min_score, rules)
        path = pictures[record["file_name"]]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with replacing(path) as part:
            write_image(part, picture[:, :, ::-1])
            if args.explain:
                table = account_of(model, cfg, record, tally.min_score, rules)
                write_text(f"{os.path.splitext(path)[0]}.csv", as_csv(table))
        tally.count(record["file_name"], scores, int((scores >= tally.min_score).sum()))

    remarks = remarks_on_names([file for file in files if file.path in drawn])
    status = run_over_images(records, draw, "drawing", tally, output, remarks=lambda: remarks)
    print(f"{counted(tally.images, 'picture')} in {output}")
    return status


def argument_parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = ModelArgumentParser(__doc__, prog)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--input", nargs="+", metavar="PATH", help="images, or folders of images")
    source.add_argument(
        "--data", metavar="DIR", help="that `dml prepare` wrote: the images to evaluate on"
    )
    source.add_argument(
        "--dataset", metavar="NAME", help="registered data set (default: DATASETS.TEST of the yaml)"
    )
    parser.add_argument(
        "--number", type=count_from_1, help="draw only this many, evenly spread (default: all)"
    )
    parser.add_argument(
        "--explain", action="store_true", help="also a table of all seeds, NAME.csv"
    )
    add_score_option(parser)
    parser.add_argument(
        "--output", metavar="DIR", help="folder of the pictures (default: pictures in OUTPUT_DIR)"
    )
    add_reading_options(parser)
    return parser

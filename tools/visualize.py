#!/usr/bin/env python
"""Draw what a trained model sees: input, embedding as colours, seediness with seeds, instances,
ground truth.

    python tools/visualize.py --config-file configs/Shapes/dml_slim_unet.yaml --dataset shapes_val
    --number 8 python tools/visualize.py --config-file output/cells/config.yaml --input a.png folder
    --output pictures

A file that is no readable image is skipped and reported; the others are drawn.
"""

import argparse
import os
import sys

import cv2
import numpy as np
import torch
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.data.detection_utils import (
    annotations_to_instances,
    convert_image_to_rgb,
    read_image,
)
from detectron2.utils.logger import setup_logger

from dml_instance.data import build_test_mapper, register_given
from dml_instance.data.images import evenly_spread, image_files, stem_of
from dml_instance.modeling import DMLInstance
from dml_instance.modeling.grouping import class_probability, seediness
from dml_instance.modeling.meta_arch import ground_truth
from dml_instance.prediction import add_model_options, for_each_image, load_trained, metadata_of
from dml_instance.visualization import (
    draw_ground_truth,
    draw_instances,
    embedding_colors,
    panel,
    seediness_heat,
)


def picture_of(
    model: torch.nn.Module, cfg, record: dict, metadata: Metadata, min_score: float
) -> np.ndarray:
    """The panel of one record; a model of another architecture gets no embedding and no seediness."""
    image = read_image(record["file_name"], format=cfg.INPUT.FORMAT)
    size = image.shape[:2]
    rgb = np.ascontiguousarray(convert_image_to_rgb(image, cfg.INPUT.FORMAT)).astype(np.uint8)
    inputs = [build_test_mapper(cfg)(record)]

    pictures = [("input", rgb)]
    if isinstance(model, DMLInstance):
        scale = model.test_scales[-1]  # of several the finest, as a rule
        images = model.preprocess_image(inputs, scale)
        prediction = model.predict_pixels(images, scale)
        embedding, _, class_logits = prediction.of_image(0, images.image_sizes[0])
        seeds = model.grouping.seeds([prediction], [images.image_sizes[0]], 0)
        shown = seeds.position[seeds.score >= min_score].cpu().numpy()
        cell_size = np.array(size) / np.array(images.image_sizes[0]) * prediction.stride
        pictures += [
            ("embedding", embedding_colors(embedding, size)),
            (
                "seediness and seeds",
                seediness_heat(
                    seediness(class_probability(class_logits)), (shown + 0.5) * cell_size, size
                ),
            ),
        ]
    instances = model(inputs)[0]["instances"]
    pictures.append(("predicted instances", draw_instances(rgb, instances, metadata, min_score)))
    if "annotations" in record:
        masks, _ = ground_truth(
            annotations_to_instances(record["annotations"], size, "bitmask"), size
        )
        pictures.append(("ground truth", draw_ground_truth(rgb, masks, metadata)))
    return panel(pictures)


def main(args: argparse.Namespace) -> int:
    """Draw everything; returns the exit status: 0 if at least one picture was drawn."""
    try:
        register_given(args.register_coco)
        needs_data = not (args.input or args.dataset)
        model, cfg = load_trained(args.config_file, args.weights, args.opts, needs_data=needs_data)
        if args.input:
            records, metadata = (
                [{"file_name": file} for file in image_files(args.input)],
                metadata_of(cfg),
            )
        else:
            datasets = [args.dataset] if args.dataset else [*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN]
            if not datasets:
                raise ValueError("nothing to draw; give --input or --dataset")
            records, metadata = DatasetCatalog.get(datasets[0]), MetadataCatalog.get(datasets[0])
    except (FileNotFoundError, KeyError, ValueError) as error:
        sys.exit(f"error: {error.args[0]}")
    if args.number:
        records = evenly_spread(records, args.number)
    output = args.output or os.path.join(cfg.OUTPUT_DIR, "pictures")
    os.makedirs(output, exist_ok=True)

    def draw(record: dict) -> None:
        picture = picture_of(model, cfg, record, metadata, args.min_score)
        cv2.imwrite(os.path.join(output, f"{stem_of(record['source'])}.png"), picture[:, :, ::-1])

    skipped = for_each_image(records, draw, "drawing")
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
    return parser


if __name__ == "__main__":
    setup_logger(name="dml_instance")
    sys.exit(main(argument_parser().parse_args()))

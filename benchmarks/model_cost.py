"""What a model costs: parameters, multiply-adds, and the peak memory of a training step.

    python -m benchmarks.model_cost --config-file configs/VOC/dml_R_101_deeplabv2_os8_voc_aug.yaml
    python -m benchmarks.model_cost --config-file configs/VOC/mask_rcnn_R_50_FPN_voc_aug.yaml \\
        --size 512 512 --batch 2

Operations are fvcore's count of multiply-adds of one image's inference; of this project's model
without the grouping, which has next to none. What has no rule in fvcore (norms, activations) counts
nothing. Memory is the most that this process had resident, Python and PyTorch included.
"""

import argparse
import sys
import time

import cv2
import numpy as np
import torch
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

from dml_instance.engine import load_config, machine, message_of, use_huge_pages
from dml_instance.files import write_json

from .memory import peak_memory_mib
from .timing.operations import multiply_adds


def drawn_input(height: int, width: int, objects: int, num_classes: int) -> dict:
    """A training input of noise on which discs are annotated.

    Args:
        height, width: of the image, in pixels.
        objects: how many discs, whose classes take turns.
        num_classes: K.

    Returns:
        A dict as ``DatasetMapper`` gives it: ``image`` (3, height, width) float32 in [0, 255],
        ``instances`` with ``gt_masks``, ``gt_boxes`` and ``gt_classes``, ``height``, ``width``.
    """
    rng = np.random.default_rng(0)
    masks = np.zeros((objects, height, width), np.uint8)
    for mask in masks:
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(mask, centre, int(rng.integers(8, min(height, width) // 4 + 9)), 1, -1)
    instances = Instances((height, width))
    instances.gt_masks = BitMasks(torch.from_numpy(masks))
    instances.gt_boxes = Boxes(instances.gt_masks.get_bounding_boxes().tensor)
    instances.gt_classes = torch.arange(objects) % num_classes
    image = torch.from_numpy(rng.integers(0, 256, (3, height, width)).astype(np.float32))
    return {"image": image, "instances": instances, "height": height, "width": width}


def main(args: argparse.Namespace) -> None:
    try:
        cfg = load_config(args.config_file, ["MODEL.DEVICE", "cpu", *args.opts])
    except (FileNotFoundError, KeyError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    height, width = args.size
    model = build_model(cfg)
    classes = max(cfg.MODEL.DML.NUM_CLASSES, 1)
    cost = {
        "config": args.config_file,
        "size": [height, width],
        "batch": args.batch,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }

    model.train()
    batch = [drawn_input(height, width, args.objects, classes) for _ in range(args.batch)]
    before = peak_memory_mib()
    start = time.perf_counter()
    with EventStorage():
        sum(model(batch).values()).backward()
    cost["training_step_seconds"] = round(time.perf_counter() - start, 2)
    cost["training_step_peak_gib"] = round(peak_memory_mib() / 1024, 2)
    cost["peak_gib_before"] = round(before / 1024, 2)

    cost["gflops"] = round(multiply_adds(model.eval(), batch[0]) / 1e9, 3)
    cost["machine"] = machine()

    print(f"{cost['config']}, {height} x {width} pixels")
    millions = [f"{cost[key] / 1e6:.2f}" for key in ("parameters", "trained_parameters")]
    print(f"parameters: {millions[0]} million, {millions[1]} of them trained")
    print(f"inference of one image: {cost['gflops']:.1f} billion multiply-adds")
    print(
        f"training step of {args.batch}: {cost['training_step_seconds']:.1f} s, "
        f"{cost['training_step_peak_gib']:.2f} GiB of memory at most "
        f"({cost['peak_gib_before']:.2f} before it)"
    )
    if args.output:
        write_json(args.output, cost)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.model_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config-file", required=True, metavar="FILE", help="yaml of the model")
    parser.add_argument(
        "--size",
        nargs=2,
        type=int,
        default=[512, 512],
        metavar=("HEIGHT", "WIDTH"),
        help="of the image (default: 512 512)",
    )
    parser.add_argument(
        "--batch", type=int, default=1, help="images of the training step (default: 1)"
    )
    parser.add_argument("--objects", type=int, default=6, help="drawn into each image (default: 6)")
    parser.add_argument("--output", metavar="FILE.json", help="write the figures there as well")
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="KEY VALUE overrides of the config, last"
    )
    return parser


if __name__ == "__main__":
    use_huge_pages()
    main(argument_parser().parse_args())

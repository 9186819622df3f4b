#!/usr/bin/env python
"""The backbone of a detector, as weights for another model's backbone.

    python tools/extract_backbone.py weights/R-101-coco.pth \\
      detectron2://COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x/138205316/model_final_a3ec72.pkl
    python tools/train_net.py --config-file configs/VOC/dml_R_101_deeplabv2_os8_voc_aug.yaml \\
      MODEL.WEIGHTS weights/R-101-coco.pth

Detectron2's models on COCO have their ResNet inside a feature pyramid, under backbone.bottom_up;
here it is the backbone itself. Dilation instead of strides changes no weight, so a ResNet fits
whatever its output stride is.
"""

import argparse
import os
import pickle
import sys

import _quiet  # noqa: F401

import torch
from detectron2.utils.file_io import PathManager

from dml_instance.files import replacing

_PREFIXES = ("backbone.bottom_up.", "backbone.")


def backbone_of(weights: dict) -> dict[str, torch.Tensor]:
    """Weights of a detector to those of its ResNet, named ``backbone.*``.

    Raises:
        ValueError: where there is no ResNet among them.
    """
    for prefix in _PREFIXES:
        found = {
            name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)
        }
        kept = {name: value for name, value in found.items() if name.startswith(("stem.", "res"))}
        if kept:
            return {f"backbone.{name}": torch.as_tensor(value) for name, value in kept.items()}
    raise ValueError(
        f"no ResNet among its {len(weights)} weights: none is named "
        "backbone.[bottom_up.](stem|res*)"
    )


def main(args: argparse.Namespace) -> None:
    path = PathManager.get_local_path(args.source)
    if not os.path.isfile(path):
        sys.exit(f"error: no checkpoint at {args.source}")
    if path.endswith(".pkl"):
        with open(path, "rb") as file:
            checkpoint = pickle.load(file, encoding="latin1")
    else:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    try:
        weights = backbone_of(checkpoint.get("model", checkpoint))
    except ValueError as error:
        sys.exit(f"error: {args.source}: {error}")
    os.makedirs(os.path.dirname(os.path.abspath(args.output)), exist_ok=True)
    with replacing(args.output) as part:
        torch.save({"model": weights}, part)
    print(f"{len(weights)} weights in {args.output}")


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", help="file to write, .pth")
    parser.add_argument("source", help="checkpoint, .pth or .pkl, or detectron2://...")
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

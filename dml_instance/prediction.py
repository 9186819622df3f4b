"""Trained models on images of users: loading one, and going through files of which some may be broken."""

import argparse
import logging
import os
import tempfile
from collections.abc import Callable, Sequence

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog
from detectron2.utils.file_io import PathManager
from torch import nn
from tqdm import tqdm

from .data import add_registration_option
from .data.images import eight_bit_file
from .engine import Trainer, load_config

_logger = logging.getLogger(__name__)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Options of a tool that takes a trained model: ``--config-file``, ``--weights``, ``--register-coco``, ``opts``."""
    parser.add_argument(
        "--config-file",
        required=True,
        metavar="FILE",
        help="config.yaml of a training, or a yaml of configs/",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="checkpoint, or dml://NAME (default: model_final.pth in OUTPUT_DIR)",
    )
    add_registration_option(parser)
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="KEY VALUE overrides of the config, last"
    )


def load_trained(
    config_file: str, weights: str | None, options: Sequence[str] = (), *, needs_data: bool = True
) -> tuple[nn.Module, CfgNode]:
    """A trained model ready for inference, and its config.

    Args:
        config_file: a yaml of configs/, or the ``config.yaml`` that a training left in its
            OUTPUT_DIR.
        weights: a checkpoint or ``dml://NAME``; None: ``model_final.pth`` in OUTPUT_DIR.
        options: KEY VALUE overrides.
        needs_data: see ``load_config``.

    Raises:
        FileNotFoundError: for a missing yaml or missing weights; ValueError, KeyError: see
            ``load_config``.
    """
    cfg = load_config(config_file, options, needs_data=needs_data)
    weights = weights or os.path.join(cfg.OUTPUT_DIR, "model_final.pth")
    if not PathManager.isfile(weights):
        raise FileNotFoundError(f"no weights at {weights}; train first, or give --weights")
    model = Trainer.build_model(cfg).eval()
    DetectionCheckpointer(model).load(weights)
    return model, cfg


def metadata_of(cfg: CfgNode) -> Metadata:
    """Class names of the first data set of the config that is registered in this process; empty without one."""
    names = [
        name for name in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN) if name in MetadataCatalog.list()
    ]
    return MetadataCatalog.get(names[0]) if names else Metadata()


@torch.no_grad()
def for_each_image(records: Sequence[dict], act: Callable[[dict], None], title: str) -> int:
    """Call ``act`` with one record after the other, behind a progress bar, without gradients.

    A record whose file cannot be read, or which raises ValueError, is reported and skipped. What is
    deeper than 8 bits is given as an 8-bit copy in ``file_name``, stretched as
    tools/prepare_label_images.py does; ``source`` is the file of the user.

    Returns:
        How many were skipped.
    """
    skipped = 0
    with tempfile.TemporaryDirectory() as folder:
        for record in tqdm(records, desc=title, unit="image"):
            file = record["file_name"]
            try:
                act({**record, "file_name": eight_bit_file(file, folder), "source": file})
            except (OSError, RuntimeError, SyntaxError, ValueError) as error:
                # Pillow reports a broken PNG as SyntaxError, the mapper whatever went wrong as
                # RuntimeError.
                skipped += 1
                _logger.warning("skipped %s: %s: %s", file, type(error).__name__, error)
    return skipped

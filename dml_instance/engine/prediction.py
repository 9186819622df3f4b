"""Trained models on images of users: loading one, and going through files."""

import argparse
import logging
import os
from collections.abc import Callable, Mapping, Sequence

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog
from detectron2.utils.file_io import PathManager
from torch import nn
from tqdm import tqdm

from ..data import add_registration_option
from ..images import ImageFileError
from ..keys.classes import known_dataset
from ..model_zoo import facts_of
from ..modeling import DMLInstance, fuse_conv_norms
from .config import load_config
from .errors import is_out_of_memory
from .trainer import Trainer

_logger = logging.getLogger(__name__)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Options of a tool that takes a trained model.

    They are ``--config-file``, ``--weights``, ``--register-coco`` and ``opts``.
    """
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


def add_score_option(parser: argparse.ArgumentParser) -> None:
    """``--min-score``, of which ``min_score_of`` knows the default."""
    parser.add_argument(
        "--min-score",
        type=float,
        help="least score of an object, in [0, 1] (default: that which the training chose, else "
        "0.5)",
    )


def load_trained(
    config_file: str, weights: str | None, options: Sequence[str] = (), *, needs_data: bool = True
) -> tuple[nn.Module, CfgNode]:
    """A trained model ready for inference, with its norms fused, and its config.

    The config has the least score that a shipped model comes with, where it has none of its own.

    Args:
        config_file: a yaml of configs/, or the ``config.yaml`` that a training left in its
            OUTPUT_DIR.
        weights: a checkpoint or ``dml://NAME``; None: ``model_final.pth`` in OUTPUT_DIR, or, of a
            training whose folder was moved, beside its ``config.yaml``.
        options: KEY VALUE overrides.
        needs_data: see ``load_config``.

    Raises:
        FileNotFoundError: for a missing yaml or missing weights.
        ValueError, KeyError: see ``load_config`` and ``load_model``.
    """
    cfg = load_config(config_file, options, needs_data=needs_data)
    return load_model(cfg, weights or weights_of(cfg, config_file)), cfg


def weights_of(cfg: CfgNode, config_file: str) -> str:
    """``model_final.pth`` in OUTPUT_DIR; beside the config file where it is there alone."""
    name = "model_final.pth"
    places = (cfg.OUTPUT_DIR, os.path.dirname(config_file))
    found = (os.path.join(place, name) for place in places)
    return next(filter(PathManager.isfile, found), os.path.join(cfg.OUTPUT_DIR, name))


def load_model(cfg: CfgNode, weights: str) -> nn.Module:
    """The model of a config ready for inference, see ``load_trained``.

    Args:
        cfg: gets the least score that a shipped model comes with, where it has none of its own.
        weights: as there.

    Raises:
        FileNotFoundError: for missing weights.
        ValueError: for weights of another model, or a file that is damaged or holds none.
    """
    if not PathManager.isfile(weights):
        raise FileNotFoundError(f"no weights at {weights}; train first, or give --weights")
    if cfg.TEST.MIN_SCORE is None:
        cfg.TEST.MIN_SCORE = facts_of(weights).get("min_score")
    model = Trainer.build_model(cfg).eval()
    try:
        DetectionCheckpointer(model).load(weights)
    except MemoryError:
        raise
    except Exception as error:
        # Of what is no checkpoint torch and pickle raise RuntimeError, UnpicklingError and others;
        # of one for other layers Detectron2's log stumbles.
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{weights} cannot be loaded into the model of this config: it is damaged, no "
            f"checkpoint, or of another config ({type(error).__name__}: {reason})"
        ) from error
    if isinstance(model, DMLInstance):
        fuse_conv_norms(model)
    return model


def metadata_of(cfg: CfgNode) -> Metadata:
    """Of the first data set of the config that this process knows; empty without one."""
    name = known_dataset(cfg)
    return Metadata() if name is None else MetadataCatalog.get(name)


@torch.no_grad()
def for_each_image(
    records: Sequence[dict], act: Callable[[dict], None], title: str
) -> dict[str, str]:
    """Call ``act`` with one record after the other, behind a progress bar, without gradients.

    A file for which ``act`` raises ImageFileError, as the mapper does, is reported in the log and
    skipped. Any other error ends the loop, and the log says at which image.

    Args:
        records: with ``file_name`` at least.
        act: gets each record.
        title: of the progress bar.

    Returns:
        For each file that was skipped a line with its name and the reason.

    Raises:
        MemoryError: where the memory, or that of the GPU, does not suffice, with the file's name.
        Exception: whatever else ``act`` raises but ImageFileError.
    """
    skipped = {}
    for number, record in enumerate(tqdm(records, desc=title, unit="image"), start=1):
        file = record["file_name"]
        try:
            act(record)
        except ImageFileError as error:
            why = str(error)
            skipped[file] = why if file in why else f"{file}: {why}"
            _logger.warning("skipped %s", skipped[file])
        except Exception as error:
            _logger.error("stopped at %s, image %d of %d", file, number, len(records))
            if not is_out_of_memory(error):
                raise
            what = " ".join(str(error).split())
            raise MemoryError(
                f"out of memory at {file}: {what}. Leave it out, cut it, or make "
                "MODEL.DML.TILES.SIZE smaller"
            ) from error
    return skipped


def list_of_skipped(skipped: Mapping[str, str]) -> list[str]:
    """Lines on the files that ``for_each_image`` skipped, for the user; none without any."""
    if not skipped:
        return []
    return [f"{len(skipped)} files skipped:", *(f"  {why}" for why in skipped.values())]

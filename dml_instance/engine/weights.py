"""Which weights a run takes, and taking them: what is wrong with a file is said with its name."""

import contextlib
import logging
import os
from collections.abc import Iterator

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager
from torch import nn

from ..errors import in_one_line
from .checkpoints import latest_whole

_logger = logging.getLogger(__name__)

# Weights that Detectron2 offers, by its name for them.
_DETECTRON2 = "detectron2://"


def weights_of(cfg: CfgNode, config_file: str) -> str:
    """``model_final.pth`` in OUTPUT_DIR; beside the config file where it is there alone."""
    name = "model_final.pth"
    places = (cfg.OUTPUT_DIR, os.path.dirname(config_file))
    found = (os.path.join(place, name) for place in places)
    return next(filter(PathManager.isfile, found), os.path.join(cfg.OUTPUT_DIR, name))


def starting_weights(cfg: CfgNode, config_file: str, *, resume: bool, scores_only: bool) -> str:
    """The weights that a run of ``tools/train_net.py`` begins with.

    Args:
        cfg: of the run.
        config_file: that it came from.
        resume: whether the latest checkpoint in OUTPUT_DIR comes before MODEL.WEIGHTS.
        scores_only: whether a trained model is scored, without training: then ``weights_of`` says
            what stands for an empty MODEL.WEIGHTS.

    Returns:
        The file or address; empty for a training from nothing.

    Raises:
        FileNotFoundError: where it is not there.
        ValueError: as ``latest_whole``.
    """
    latest = DetectionCheckpointer(nn.Identity(), save_dir=cfg.OUTPUT_DIR)
    if resume and latest.has_checkpoint():
        return latest_whole(cfg.OUTPUT_DIR)
    weights = cfg.MODEL.WEIGHTS
    if scores_only and not weights:
        weights = weights_of(cfg, config_file)
    if weights:
        _check_there(weights)
    return weights


def load_weights(model: nn.Module, weights: str) -> None:
    """Load a checkpoint into the model that it is of.

    Raises:
        FileNotFoundError: for missing weights.
        ValueError: for weights of another model, or a file that is damaged or holds none.
    """
    _check_there(weights)
    with named_in_errors(weights):
        DetectionCheckpointer(model).load(weights)


@contextlib.contextmanager
def named_in_errors(weights: str) -> Iterator[None]:
    """Whatever goes wrong in loading weights inside the block becomes a ValueError of one line."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        # Of what is no checkpoint torch and pickle raise RuntimeError, UnpicklingError and others;
        # of one for other layers Detectron2's log stumbles.
        reason = in_one_line(error)
        raise ValueError(
            f"{weights} cannot be loaded into the model of this config: it is damaged, no "
            f"checkpoint, or of another config ({type(error).__name__}: {reason})"
        ) from error


def _check_there(weights: str) -> None:
    """Of weights that are about to be loaded: FileNotFoundError, and a warning where reading them
    may run code. Torch's own files are read as weights alone."""
    if weights.endswith(".pkl") and not weights.startswith(_DETECTRON2):
        _logger.warning(
            "%s is a pickle, as Detectron2's older models are: whoever made it can have this "
            "machine run anything as it is read",
            weights,
        )
    try:
        is_there = PathManager.isfile(weights)
    except NotImplementedError:
        is_there = True  # an address, of which only fetching it tells
    if not is_there:
        raise FileNotFoundError(
            f"no weights at {weights}; train first, or name others: --weights of predict and "
            "visualize, MODEL.WEIGHTS of train_net"
        )

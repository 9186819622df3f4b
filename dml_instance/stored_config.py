"""The config of a training inside its checkpoints, so that a checkpoint alone is a whole model."""

import os

import torch
from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager

from .files import replacing
from .version import __version__

_ENTRY = "dml_instance"


class StoredConfig:
    """What a checkpointer adds to each checkpoint: the config as yaml, and this project's version.

    A training that goes on keeps the config that it was started with.
    """

    def __init__(self, cfg: CfgNode):
        self._cfg = cfg

    def add_to(self, checkpointer) -> None:
        """Make it part of every checkpoint from now on; of fvcore's ``Checkpointer``."""
        checkpointer.add_checkpointable(_ENTRY, self)

    def state_dict(self) -> dict[str, str]:
        return entry_of(self._cfg)

    def load_state_dict(self, state_dict: dict[str, str]) -> None:
        """Nothing is taken over."""


def entry_of(cfg: CfgNode) -> dict[str, str]:
    """What a checkpoint holds of a config."""
    return {"config": cfg.dump(), "version": __version__}


def with_config(state: dict, cfg: CfgNode) -> dict:
    """The content of a checkpoint with a config in it."""
    return {**state, _ENTRY: entry_of(cfg)}


def config_of(weights: str) -> CfgNode | None:
    """The config in a checkpoint, as it was stored.

    Args:
        weights: a file, or what Detectron2's ``PathManager`` takes for one.

    Returns:
        None where there is none, and for a file that torch cannot read without running what is in
        it.
    """
    entry = _read(weights).get(_ENTRY)
    return None if entry is None else CfgNode.load_cfg(entry["config"])


def weights_in(weights: str) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint, by name; whatever goes wrong is raised.

    Args:
        weights: as of ``config_of``.
    """
    return _loaded(weights)["model"]


def store_min_score(weights: str, min_score: float) -> None:
    """Write TEST.MIN_SCORE into the config in a checkpoint, if there is one.

    Args:
        weights: a file.
        min_score: in [0, 1].
    """
    cfg = config_of(weights) if os.path.isfile(weights) else None
    if cfg is not None:
        cfg.TEST.MIN_SCORE = min_score
        state = _read(weights)
        with replacing(weights) as part:
            torch.save(with_config(state, cfg), part)


def _read(weights: str) -> dict:
    """The content of a checkpoint; nothing of what is none."""
    try:
        state = _loaded(weights)
    except MemoryError:
        raise
    except Exception:
        # torch and pickle raise RuntimeError, UnpicklingError and others; what is wrong is said
        # where the weights are loaded.
        return {}
    return state if isinstance(state, dict) else {}


def _loaded(weights: str):
    path = PathManager.get_local_path(weights)
    return torch.load(path, map_location="cpu", weights_only=True)

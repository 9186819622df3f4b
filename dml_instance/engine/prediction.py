"""Trained models, as tools load them."""

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog
from torch import nn

from ..keys.classes import known_dataset
from ..modeling import DMLInstance, fuse_conv_norms
from ..stored_config import config_of
from .config import ALL_DATA, load_config
from .trainer import Trainer
from .weights import load_weights, weights_of


def load_trained(
    config_file: str,
    weights: str | None,
    options: Sequence[str] = (),
    *,
    needs: Sequence[str] = ALL_DATA,
) -> tuple[nn.Module, CfgNode]:
    """A trained model ready for inference, with its norms fused, and its config.

    The config has the least score that the weights come with, where it has none of its own.

    Args:
        config_file: a yaml of configs/, or the ``config.yaml`` that a training left in its
            OUTPUT_DIR.
        weights: a checkpoint or ``dml://NAME``; None: ``model_final.pth`` in OUTPUT_DIR, or, of a
            training whose folder was moved, beside its ``config.yaml``.
        options: KEY VALUE overrides.
        needs: see ``load_config``.

    Raises:
        FileNotFoundError: for a missing yaml or missing weights.
        ValueError, KeyError: see ``load_config`` and ``load_model``.
    """
    cfg = load_config(config_file, options, needs=needs)
    return load_model(cfg, weights or weights_of(cfg, config_file)), cfg


def load_model(cfg: CfgNode, weights: str) -> nn.Module:
    """The model of a config ready for inference, see ``load_trained``.

    Args:
        cfg: gets the least score that the weights come with, where it has none of its own.
        weights: as there.

    Raises:
        FileNotFoundError, ValueError: as ``load_weights``.
    """
    if cfg.TEST.MIN_SCORE is None:
        stored = config_of(weights)
        cfg.TEST.MIN_SCORE = None if stored is None else stored.TEST.MIN_SCORE
    model = Trainer.build_model(cfg).eval()
    load_weights(model, weights)
    if isinstance(model, DMLInstance):
        fuse_conv_norms(model)
    return model


def metadata_of(cfg: CfgNode) -> Metadata:
    """Of the first data set of the config that this process knows; empty without one."""
    name = known_dataset(cfg)
    return Metadata() if name is None else MetadataCatalog.get(name)

"""Trained models, as tools load them."""

import argparse
import os
from collections.abc import Sequence

import torch
from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog
from torch import Tensor, nn

from ..data.forms.results import FoundObject, found_objects, objects_of
from ..keys.classes import known_dataset
from ..mask_classes import is_likeliest
from ..model_zoo import PREFIX, shipped_models
from ..modeling import DMLInstance, compute_in_bfloat16, fuse_conv_norms
from ..stored_config import config_of
from .checkpoints import going_on
from .config import ALL_DATA, NO_DATA, load_config
from .precision import infers_in_bfloat16
from .trainer import Trainer
from .weights import load_weights, weights_of


def find_model(source: str, options: Sequence[str] = ()) -> tuple[CfgNode, str]:
    """The config of a trained model, for a GPU where there is one, and its weights.

    Args:
        source: the name of a model that comes with the package, the OUTPUT_DIR of a training, or a
            checkpoint of one, which holds its config.
        options: KEY VALUE overrides.

    Raises:
        FileNotFoundError: where there is no such model, folder or file.
        ValueError: for a checkpoint that holds no config; and as ``load_config``.
    """
    weights, config = _found(source)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_config(config, ["MODEL.DEVICE", device, *options], needs=NO_DATA), weights


def _found(source: str) -> tuple[str, str | CfgNode]:
    """The weights of a model and its config, which may be a file."""
    if os.path.isdir(source):
        weights, config = (os.path.join(source, n) for n in ("model_final.pth", "config.yaml"))
        missing = [file for file in (weights, config) if not os.path.isfile(file)]
        if missing:
            raise FileNotFoundError(
                f"there is no {missing[0]}: {source} holds no ended training ({going_on(source)})"
            )
        return weights, config
    is_shipped = source in shipped_models()
    if not (is_shipped or os.path.isfile(source)):
        raise FileNotFoundError(
            f"{source} is neither a file or folder nor one of the models that come with the "
            f"package: {', '.join(shipped_models())}"
        )
    weights = f"{PREFIX}{source}" if is_shipped else source
    config = config_of(weights)
    if config is None:
        raise ValueError(
            f"{weights} holds no config: it is damaged, or no checkpoint of this project's "
            "training; give the OUTPUT_DIR of the training, with its config.yaml"
        )
    return weights, config


def given_model(args: argparse.Namespace, *, needs: Sequence[str] = NO_DATA) -> tuple[CfgNode, str]:
    """Config and weights of the model that a command line names.

    Args:
        args: of an ``options.ModelArgumentParser``. Without ``--weights`` those of
            ``--config-file`` are ``model_final.pth`` in OUTPUT_DIR, or, of a training whose folder
            was moved, beside its ``config.yaml``.
        needs: see ``load_config``; of ``--config-file``.

    Raises:
        FileNotFoundError, ValueError, KeyError: see ``find_model`` and ``load_config``.
    """
    if args.model is not None:
        if args.weights is not None:
            raise ValueError("--weights goes with --config-file: --model has weights of its own")
        return find_model(args.model, args.opts)
    cfg = load_config(args.config_file, args.opts, needs=needs)
    return cfg, args.weights or weights_of(cfg, args.config_file)


def load_trained(
    config_file: str,
    weights: str | None,
    options: Sequence[str] = (),
    *,
    needs: Sequence[str] = ALL_DATA,
) -> tuple[nn.Module, CfgNode]:
    """A trained model ready for inference, see ``load_model``, and its config.

    Args:
        config_file: a yaml of configs/, or the ``config.yaml`` that a training left in its
            OUTPUT_DIR.
        weights: a checkpoint or ``dml://NAME``; None: see ``weights_of``.
        options: KEY VALUE overrides.
        needs: see ``load_config``.

    Raises:
        FileNotFoundError: for a missing yaml or missing weights.
        ValueError, KeyError: see ``load_config`` and ``load_model``.
    """
    cfg = load_config(config_file, options, needs=needs)
    return load_model(cfg, weights or weights_of(cfg, config_file)), cfg


def load_model(cfg: CfgNode, weights: str) -> nn.Module:
    """The model of a config ready for inference: its norms are fused, and it is in the precision
    that ``TEST.CPU_BFLOAT16`` says.

    Args:
        cfg: gets the least score that the weights come with, where it has none of its own.
        weights: a checkpoint or ``dml://NAME``.

    Raises:
        FileNotFoundError, ValueError: as ``load_weights``; ValueError for TEST.CPU_BFLOAT16 as
            ``infers_in_bfloat16`` and ``compute_in_bfloat16``.
    """
    if cfg.TEST.MIN_SCORE is None:
        stored = config_of(weights)
        cfg.TEST.MIN_SCORE = None if stored is None else stored.TEST.MIN_SCORE
    # A backbone then wants no weights to start from, which need not be installed.
    building = cfg.clone()
    building.MODEL.WEIGHTS = weights
    model = Trainer.build_model(building).eval()
    load_weights(model, weights)
    if isinstance(model, DMLInstance):
        fuse_conv_norms(model)
        if infers_in_bfloat16(cfg):
            compute_in_bfloat16(model.network)
    return model


def find_all(model: nn.Module) -> None:
    """Have a ``DMLInstance`` return all objects that it finds, in place: TEST.DETECTIONS_PER_IMAGE
    bounds what is scored, and who segments wants all of them."""
    if isinstance(model, DMLInstance):
        model.grouping.max_instances = None


@torch.no_grad()
def objects_in(model: nn.Module, x: dict, min_score: float) -> tuple[list[FoundObject], Tensor]:
    """The objects of an image, their masks in the windows that they fill.

    Of a ``DMLInstance`` memory goes with their area; other models, and a grouping without a method
    ``find``, make a mask of the whole image for each.

    Args:
        model: in evaluation mode.
        x: Detectron2's input dict, with ``height`` and ``width``.
        min_score: objects under it are left out.

    Returns:
        Them, by descending score; and the scores (N,) of all that the model found.
    """
    if isinstance(model, DMLInstance) and hasattr(model.grouping, "find"):
        found = model.find(x)
        return objects_of(found, min_score), torch.from_numpy(found.scores)
    instances = model([x])[0]["instances"]
    return found_objects(instances, min_score), instances.scores[is_likeliest(instances)]


def metadata_of(cfg: CfgNode) -> Metadata:
    """Of the first data set of the config that this process knows; empty without one."""
    name = known_dataset(cfg)
    return Metadata() if name is None else MetadataCatalog.get(name)

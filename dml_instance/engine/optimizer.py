"""Detectron2's SGD, or AdamW with a rate of its own for the backbone."""

import torch
from detectron2.config import CfgNode
from detectron2.solver import build
from torch import nn

# What SOLVER.ADAMW can have of its own.
ADAMW_KEYS = ("BASE_LR", "WEIGHT_DECAY")

# How the names of a backbone's parameters begin: in Detectron2's models, and in this project's.
_BACKBONES = ("backbone.", "network.backbone.")


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that ``SOLVER.OPTIMIZER`` names.

    "SGD" is Detectron2's own. "AdamW" has the rate and weight decay of ``SOLVER.ADAMW``, or, where
    those are None, of ``SOLVER``, as it has the clipping of gradients; the parameters of
    ``model.backbone`` learn at ``SOLVER.BACKBONE_MULTIPLIER`` times the rate.

    Raises:
        ValueError: for another name, a multiplier that is not positive, or one beside SGD.
    """
    name = cfg.SOLVER.OPTIMIZER
    factor = cfg.SOLVER.BACKBONE_MULTIPLIER
    if factor <= 0 or (name == "SGD" and factor != 1):
        raise ValueError(
            "SOLVER.BACKBONE_MULTIPLIER is positive, and 1 unless SOLVER.OPTIMIZER is "
            f'"AdamW", got {factor} and {name!r}'
        )
    if name == "SGD":
        return build.build_optimizer(cfg, model)
    if name != "AdamW":
        raise ValueError(f'SOLVER.OPTIMIZER is "SGD" or "AdamW", got {name!r}')
    rate, decay = (
        cfg.SOLVER[key] if cfg.SOLVER.ADAMW[key] is None else cfg.SOLVER.ADAMW[key]
        for key in ADAMW_KEYS
    )
    parameters = build.get_default_optimizer_params(
        model,
        base_lr=rate,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
        weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
        lr_factor_func=lambda name: factor if name.startswith(_BACKBONES) else 1.0,
    )
    return build.maybe_add_gradient_clipping(cfg, torch.optim.AdamW)(
        parameters, lr=rate, weight_decay=decay
    )

"""Detectron2's SGD, or AdamW with a rate of its own for the backbone, and Muon beside it."""

import detectron2.layers
import torch
from detectron2.config import CfgNode
from detectron2.solver import build
from torch import nn

from .muon import MuonAdamW

# What SOLVER.ADAMW can have of its own.
ADAMW_KEYS = ("BASE_LR", "WEIGHT_DECAY")

# How the names of a backbone's parameters begin: in Detectron2's models, and in this project's.
_BACKBONES = ("backbone.", "network.backbone.")

# What Detectron2's FPN adds to a backbone: hidden layers, though nothing follows them in their
# module.
_PYRAMIDS = tuple(f"{name}fpn_" for name in _BACKBONES)


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that ``SOLVER.OPTIMIZER`` names.

    "SGD" is Detectron2's own. "AdamW" has the rate and weight decay of ``SOLVER.ADAMW``, or, where
    those are None, of ``SOLVER``, as it has the clipping of gradients; the parameters of
    ``model.backbone`` learn at ``SOLVER.BACKBONE_MULTIPLIER`` times the rate. "Muon" is the same,
    but for ``hidden_kernels``, which learn by ``MuonAdamW`` at the rate ``SOLVER.MUON.BASE_LR``.

    Raises:
        ValueError: for another name, a multiplier or rate that is not positive, a multiplier beside
            SGD, or a model without hidden kernels under "Muon".
    """
    name = cfg.SOLVER.OPTIMIZER
    factor = cfg.SOLVER.BACKBONE_MULTIPLIER
    if factor <= 0 or (name == "SGD" and factor != 1):
        raise ValueError(
            "SOLVER.BACKBONE_MULTIPLIER is positive, and 1 unless SOLVER.OPTIMIZER is "
            f'"AdamW" or "Muon", got {factor} and {name!r}'
        )
    if name == "SGD":
        return build.build_optimizer(cfg, model)
    if name not in ("AdamW", "Muon"):
        raise ValueError(f'SOLVER.OPTIMIZER is "SGD", "AdamW" or "Muon", got {name!r}')
    rate, decay = (
        cfg.SOLVER[key] if cfg.SOLVER.ADAMW[key] is None else cfg.SOLVER.ADAMW[key]
        for key in ADAMW_KEYS
    )
    groups = build.get_default_optimizer_params(
        model,
        base_lr=rate,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
        weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
        lr_factor_func=lambda name: factor if name.startswith(_BACKBONES) else 1.0,
    )
    kind = torch.optim.AdamW
    if name == "Muon":
        kind = MuonAdamW
        groups = _with_orthogonal_group(groups, hidden_kernels(model), cfg.SOLVER.MUON.BASE_LR)
    return build.maybe_add_gradient_clipping(cfg, kind)(groups, lr=rate, weight_decay=decay)


def hidden_kernels(model: nn.Module) -> list[nn.Parameter]:
    """The kernels that are trained of a model's convolutions outside the backbone, and in an FPN
    round it.

    Left out are those that predict, which have neither norm nor activation, and those of one
    channel a group.
    """
    return [
        module.weight
        for name, module in model.named_modules()
        if isinstance(module, detectron2.layers.Conv2d)
        and module.groups == 1
        and module.weight.requires_grad
        and _is_hidden(f"{name}.weight", module)
    ]


def _is_hidden(name: str, conv: detectron2.layers.Conv2d) -> bool:
    if name.startswith(_BACKBONES):
        return name.startswith(_PYRAMIDS)
    return conv.norm is not None or conv.activation is not None


def _with_orthogonal_group(
    groups: list[dict], kernels: list[nn.Parameter], rate: float
) -> list[dict]:
    """The same groups without these kernels, and one of them."""
    if not kernels:
        raise ValueError(
            'SOLVER.OPTIMIZER "Muon" is for convolutions with a norm or an activation outside the '
            'backbone, and for FPN, and this model has none: set it to "AdamW"'
        )
    if rate <= 0:
        raise ValueError(f"SOLVER.MUON.BASE_LR is positive, got {rate}")
    taken = {id(kernel) for kernel in kernels}
    others = []
    for group in groups:
        left = [weight for weight in group["params"] if id(weight) not in taken]
        if left:
            others.append({**group, "params": left})
    return [*others, {"params": kernels, "lr": rate, "is_orthogonal": True}]

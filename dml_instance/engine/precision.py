"""Training steps in half precision: bfloat16 on processors that have instructions for it, and what
Detectron2's mixed precision computes in on CUDA."""

import torch
from detectron2.config import CfgNode
from torch import nn

_PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def amp_precision(cfg: CfgNode) -> torch.dtype:
    """What ``SOLVER.AMP.PRECISION`` names; ValueError for another name."""
    name = cfg.SOLVER.AMP.PRECISION
    if name not in _PRECISIONS:
        raise ValueError(f"SOLVER.AMP.PRECISION is one of {list(_PRECISIONS)}, got {name!r}")
    return _PRECISIONS[name]


def trains_in_bfloat16(cfg: CfgNode) -> bool:
    """Whether training steps on this machine run under bfloat16 autocast: on the CPU by
    ``SOLVER.AMP.CPU_BFLOAT16``, on CUDA by ``SOLVER.AMP.ENABLED`` and ``SOLVER.AMP.PRECISION``.

    Raises:
        ValueError: for another value than "on", "off" or "auto", and as ``amp_precision``.
    """
    choice = cfg.SOLVER.AMP.CPU_BFLOAT16
    if choice not in ("on", "off", "auto"):
        raise ValueError(f'SOLVER.AMP.CPU_BFLOAT16 is "on", "off" or "auto", got {choice!r}')
    if cfg.MODEL.DEVICE != "cpu":
        return cfg.SOLVER.AMP.ENABLED and amp_precision(cfg) == torch.bfloat16
    if choice == "off":
        return False
    # Without these instructions bfloat16 is emulated, slower than float32.
    can = getattr(torch.cpu, "get_capabilities", dict)()
    return choice == "on" or can.get("avx512_bf16", False) or can.get("amx_bf16", False)


class BFloat16Forward:
    """A model's forward function, under bfloat16 autocast while the model is in training mode.

    Detectron2's own mixed precision needs CUDA. Wrapping the forward function alone keeps the
    backward pass out.
    """

    def __init__(self, model: nn.Module):
        self._model = model
        self._forward = model.forward

    def __call__(self, *args, **kwargs):
        with torch.autocast("cpu", torch.bfloat16, enabled=self._model.training):
            return self._forward(*args, **kwargs)

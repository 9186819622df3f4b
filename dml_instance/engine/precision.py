"""Training steps in bfloat16 on processors that have instructions for it."""

import torch
from detectron2.config import CfgNode
from torch import nn


def trains_in_bfloat16(cfg: CfgNode) -> bool:
    """Whether training steps on this machine run under bfloat16 autocast, by
    ``SOLVER.AMP.CPU_BFLOAT16``.

    Raises:
        ValueError: for another value than "on", "off" or "auto".
    """
    choice = cfg.SOLVER.AMP.CPU_BFLOAT16
    if choice not in ("on", "off", "auto"):
        raise ValueError(f'SOLVER.AMP.CPU_BFLOAT16 is "on", "off" or "auto", got {choice!r}')
    if choice == "off" or cfg.MODEL.DEVICE != "cpu":
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

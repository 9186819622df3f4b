"""Training steps and inference in half precision: bfloat16 on processors that are quicker in it,
and what Detectron2's mixed precision computes in on CUDA."""

import functools
import time

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.utils import comm
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
    _check_choice("SOLVER.AMP.CPU_BFLOAT16", cfg.SOLVER.AMP.CPU_BFLOAT16)
    if cfg.MODEL.DEVICE != "cpu":
        return cfg.SOLVER.AMP.ENABLED and amp_precision(cfg) == torch.bfloat16
    return _is_chosen(cfg.SOLVER.AMP.CPU_BFLOAT16)


def infers_in_bfloat16(cfg: CfgNode) -> bool:
    """Whether inference on this machine is in bfloat16: on the CPU alone, by
    ``TEST.CPU_BFLOAT16``.

    Raises:
        ValueError: for another value than "on", "off" or "auto".
    """
    _check_choice("TEST.CPU_BFLOAT16", cfg.TEST.CPU_BFLOAT16)
    return cfg.MODEL.DEVICE == "cpu" and _is_chosen(cfg.TEST.CPU_BFLOAT16)


def _check_choice(key: str, choice: str) -> None:
    if choice not in ("on", "off", "auto"):
        raise ValueError(f'{key} is "on", "off" or "auto", got {choice!r}')


def _is_chosen(choice: str) -> bool:
    """Whether a key of that value has this CPU compute in bfloat16."""
    return _all_are_quicker_in_bfloat16() if choice == "auto" else choice == "on"


def precision_name(cfg: CfgNode) -> str:
    """What training steps compute in on this machine: "float32", "float16" or "bfloat16"."""
    if trains_in_bfloat16(cfg):
        return "bfloat16"
    return cfg.SOLVER.AMP.PRECISION if cfg.SOLVER.AMP.ENABLED else "float32"


# Once for all: a run says several times what it trains in.
@functools.cache
def _all_are_quicker_in_bfloat16() -> bool:
    """Whether the CPUs of all processes are, which all have to do the same: they call it together
    the first time."""
    return all(comm.all_gather(_is_quicker_in_bfloat16()))


def _is_quicker_in_bfloat16() -> bool:
    """Whether a convolution on this CPU is, clearly. With AVX-512 alone some processors of Intel
    multiply bfloat16 at half the speed of float32, some of AMD at twice."""
    # Without these instructions bfloat16 is emulated, slower than float32; an older torch does not
    # say which there are.
    if hasattr(torch.cpu, "get_capabilities"):
        can = torch.cpu.get_capabilities()
        if not (can.get("avx512_bf16") or can.get("amx_bf16")):
            return False
    return _convolution_seconds(torch.bfloat16) < 0.8 * _convolution_seconds(torch.float32)


def _convolution_seconds(dtype: torch.dtype) -> float:
    """The quickest of ten, some milliseconds each."""
    images, kernels = (
        torch.zeros(4, 64, 64, 64, dtype=dtype),
        torch.zeros(64, 64, 3, 3, dtype=dtype),
    )
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        F.conv2d(images, kernels, padding=1)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def set_precision(cfg: CfgNode, model: nn.Module) -> None:
    """Have the training steps of a model on the CPU run in bfloat16, or in float32 as it was built,
    by ``trains_in_bfloat16``."""
    if isinstance(model.__dict__.get("forward"), BFloat16Forward):
        del model.forward
    if cfg.MODEL.DEVICE == "cpu" and trains_in_bfloat16(cfg):
        model.forward = BFloat16Forward(model)


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

"""A model whose training goes on, as it will be used."""

import contextlib
from collections.abc import Iterator

from detectron2.config import CfgNode
from torch import nn

from ..modeling import DMLInstance, compute_in_bfloat16, fused_copy
from .precision import infers_in_bfloat16


def as_used(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """A copy of a ``DMLInstance`` as tools will use it: its norms are fused, and it is in the
    precision that ``TEST.CPU_BFLOAT16`` says. Any other model itself.

    Args:
        cfg: that built it.
        model: also one behind DistributedDataParallel.

    Raises:
        ValueError: as ``infers_in_bfloat16`` and ``compute_in_bfloat16``.
    """
    model = getattr(model, "module", model)
    if not isinstance(model, DMLInstance):
        return model
    model = fused_copy(model)
    if infers_in_bfloat16(cfg):
        compute_in_bfloat16(model.network)
    return model


@contextlib.contextmanager
def at_inference(cfg: CfgNode, model: nn.Module) -> Iterator[nn.Module]:
    """The model in evaluation mode, as it is scored; what was in training mode is so again after
    the ``with`` block.

    Of a ``DMLInstance`` it is ``as_used``, whose limits count for themselves.

    Args:
        cfg, model: as of ``as_used``.
    """
    model = as_used(cfg, model)
    was_training = model.training
    try:
        yield model.eval()
    finally:
        model.train(was_training)

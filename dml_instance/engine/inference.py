"""A model whose training goes on, as it will be used."""

import contextlib
from collections.abc import Iterator

from torch import nn

from ..modeling import DMLInstance, fused_copy


@contextlib.contextmanager
def at_inference(model: nn.Module) -> Iterator[nn.Module]:
    """The model in evaluation mode, as it is scored; what was in training mode is so again after
    the ``with`` block.

    Of a ``DMLInstance`` it is a copy with its norms fused, whose limits count for themselves.

    Args:
        model: also one behind DistributedDataParallel.
    """
    model = getattr(model, "module", model)
    if isinstance(model, DMLInstance):
        yield fused_copy(model)
        return
    was_training = model.training
    try:
        yield model.eval()
    finally:
        model.train(was_training)

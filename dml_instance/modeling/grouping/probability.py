"""Logits of the seed head to the probabilities that seeds are chosen and masks are scored by."""

from torch import Tensor

# A logit whose sigmoid is 0 in every floating dtype.
_SURELY_NOT = -1e4


def class_probability(class_logits: Tensor) -> Tensor:
    """C_pc^tau (paper, classification): the probability of every class for the mask that would be
    grown from each cell.

    Args:
        class_logits: (T, K + 1, h, w).

    Returns:
        (T, K, h, w) float32 in [0, 1], without background; 0 where a logit is not finite.
    """
    logits = class_logits.detach().float()
    if logits.shape[1] == 2:  # a softmax of two, at a fraction of its time
        margin = logits[:, 1:] - logits[:, :1]
        return margin.nan_to_num_(*[_SURELY_NOT] * 3).sigmoid_()
    return logits.softmax(dim=1)[:, 1:].nan_to_num(0.0)

"""The one definition of "same object": how alike two embeddings are, and which threshold makes them
one object.

Everything here works on the squared distance ``d = ||e_p - e_q||^2`` (>= 0) and computes in float32
whatever dtype it is given, since ``exp(d)`` leaves the range of float16 at d = 11.

    sigma(d)       = 2 / (1 + exp(d))            1 at d = 0, to 0 far away (paper, embedding)
    log sigma      = log 2 - softplus(d)
    log(1 - sigma) = log tanh(d / 2)
    sigma >= tau  <=>  d <= log(2 / tau - 1)

``dml_instance/grouping`` has the same for arrays: the distance as compiled loops in ``kernels.py``,
sigma and its threshold in ``metric.py``; tests hold them together.

The paper is Fathi et al., arXiv:1703.10277.

Shapes: D embedding channels, P and Q pixels, h x w grid cells.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..grouping.metric import distance_threshold as distance_threshold

# Keeps log(1 - sigma) and its gradient finite where two different objects coincide: log tanh((d +
# margin) / 2) is at least -5.3 and its slope at most 1 / sinh(margin) = 100.
COINCIDENCE_MARGIN = 0.01


def pairwise_squared_distance(
    a: Tensor, b: Tensor, distance_scale: Tensor | None = None, chosen: Tensor | None = None
) -> Tensor:
    """Squared distances between two sets of embeddings.

    Args:
        a: (P, D) embeddings of any floating dtype.
        b: (Q, D) embeddings.
        distance_scale: (P,) > 0, factors of the distances from each of ``a``; 1 if None.
        chosen: (P, R) int64, which of ``b`` each of ``a`` is compared with; all of them if None.

    Returns:
        (P, Q), or (P, R), float32, >= 0. Memory is P x Q: the (P, Q, D) differences are never
        formed.
    """
    a, b = a.float(), b.float()
    # Distances do not change when everything moves; centred, the expansion below cancels least.
    centre = b.detach().mean(dim=0, keepdim=True) if len(b) else 0.0
    a, b = a - centre, b - centre
    # Autocast would run the product in half precision, and the difference of large numbers needs
    # the digits.
    with torch.autocast(a.device.type, enabled=False):
        product = a @ b.T
    length = b.square().sum(1)[None]
    if chosen is not None:
        product, length = product.gather(1, chosen), length[0][chosen]
    distance = (a.square().sum(1)[:, None] + length - 2 * product).clamp(min=0)
    return distance if distance_scale is None else distance_scale.float()[:, None] * distance


def similarity(squared_distance: Tensor) -> Tensor:
    """sigma(d) in [0, 1], float32, same shape as ``squared_distance``."""
    return 2 * torch.sigmoid(-squared_distance.float())


def log_similarity(squared_distance: Tensor) -> Tensor:
    """log sigma(d) in (-inf, 0], float32; its gradient lies in [-1, -1/2]."""
    return math.log(2) - F.softplus(squared_distance.float())


def log_dissimilarity(squared_distance: Tensor, margin: float = COINCIDENCE_MARGIN) -> Tensor:
    """log(1 - sigma(d + margin)), float32, finite with finite gradient from d = 0 on.

    Args:
        squared_distance: any shape, >= 0.
        margin: added to ``d``; at 0 the value at d = 0 would be -inf.
    """
    shifted = squared_distance.float() + margin
    # log tanh(x / 2) = log(1 - e^-x) - log(1 + e^-x): exact for small x through expm1, and 0 for
    # large x.
    return torch.log(-torch.expm1(-shifted)) - torch.log1p(torch.exp(-shifted))


def self_similarity(
    embedding: Tensor,
    offsets: Sequence[tuple[int, int]],
    step: int = 1,
    distance_scale: Tensor | None = None,
) -> Tensor:
    """How alike each grid cell is to the cells that lie at fixed offsets from it.

    Args:
        embedding: (B, D, h, w).
        offsets: N of (rows, columns) in cells.
        step: only every so many cells, along both axes, are asked.
        distance_scale: (B, h, w) > 0, factors of the distances from each cell; 1 if None.

    Returns:
        (B, N, ceil(h / step), ceil(w / step)) float32 in [0, 1]; 0 where the offset leaves the
        grid. Memory is that, and one copy of the embedding.
    """
    height, width = embedding.shape[-2:]
    reach = max((max(abs(row), abs(column)) for row, column in offsets), default=0)
    # The channels of a cell side by side: on a CPU twice as fast. Not a number is alike to nothing:
    # it marks what lies outside, and a comparison with it is replaced below.
    padded = F.pad(
        embedding.float().permute(0, 2, 3, 1), [0, 0] + [reach] * 4, value=torch.nan
    ).contiguous()

    def shifted(row: int, column: int) -> Tensor:
        rows, columns = (
            slice(reach + shift, reach + shift + side, step)
            for shift, side in ((row, height), (column, width))
        )
        return padded[:, rows, columns]

    centre = shifted(0, 0).contiguous()
    distance = torch.stack(
        [(shifted(*offset) - centre).square_().sum(dim=-1) for offset in offsets], dim=1
    )
    if distance_scale is not None:
        distance *= distance_scale.float()[:, None, ::step, ::step]
    return similarity(distance).nan_to_num_(0.0)

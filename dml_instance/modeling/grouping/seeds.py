"""From maps to seeds: seediness, candidates, and the greedy choice between score and diversity.

Shapes: D embedding channels, T thresholds, K classes, h x w grid cells, P candidates, N seeds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..structures import ImageMaps, Seeds
from . import kernels
from .rules import GroupingRules

# A logit whose sigmoid is 0 in every floating dtype.
_SURELY_NOT = -1e4


@dataclass(frozen=True)
class Candidates:
    """Pixels that may become seeds, of all pyramid scales together.

    Attributes:
        embedding: (P, D).
        distance_scale: (P,) > 0.
        coordinates: (P, 2) float, row and column in pixels of the network's input at scale 1.
        position: (P, 2) int64, row and column in the grid of the scale.
        seediness: (P,) in [0, 1].
        tau_index, pred_class, level: (P,) int64, as in ``Seeds``.
    """

    embedding: Tensor
    distance_scale: Tensor
    coordinates: Tensor
    position: Tensor
    seediness: Tensor
    tau_index: Tensor
    pred_class: Tensor
    level: Tensor

    def __len__(self):
        return len(self.seediness)

    @classmethod
    def cat(cls, parts: list["Candidates"]) -> "Candidates":
        """The candidates of several scales as one."""
        return cls(
            **{name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])}
        )


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


def seediness(probability: Tensor) -> Tensor:
    """S_p = max_tau max_{c >= 1} C_pc^tau (paper, classification).

    Args:
        probability: (T, K, h, w) from ``class_probability``.

    Returns:
        (h, w) float32 in [0, 1].
    """
    return probability.flatten(0, 1).amax(dim=0)


def find_candidates(
    maps: ImageMaps, probability: Tensor, level: int, rules: GroupingRules
) -> Candidates:
    """The cells of one scale that may become seeds.

    Args:
        maps: of one image at this scale.
        probability: (T, K, h, w) from ``class_probability``.
        level: index of the scale.
        rules: ``candidates``, ``peak_radius`` and ``min_seediness`` count. Peaks are those of the
            seediness smoothed over 3 x 3 cells, which steadies them.

    Returns:
        Candidates; cells with an embedding that is not finite are never among them.
    """
    score = seediness(probability)
    usable = score >= rules.min_seediness
    if rules.candidates == "peaks":
        rows, columns = (
            _in_square(score.new_ones(shape), 3, torch.add, 0.0)
            for shape in ((len(score), 1), score[:1].shape)
        )
        score = _in_square(score, 3, torch.add, 0.0) / (rows * columns)
        peak_size = 2 * max(round(rules.peak_radius / maps.stride), 1) + 1
        usable &= score == _in_square(score, peak_size, torch.maximum, -math.inf)
    # What is asked of the candidates alone, as it would take longer than all the rest if asked of
    # every cell: which are finite, and for which threshold and class S is the maximum.
    position = usable.nonzero()
    rows, columns = position.unbind(1)
    embeddings = maps.embedding[:, rows, columns].T.float()
    factors = maps.distance_scale[rows, columns]
    best = probability[:, :, rows, columns].flatten(0, 1).argmax(dim=0)
    num_classes = probability.shape[1]
    is_finite = embeddings.isfinite().all(dim=1) & factors.isfinite()
    candidates = Candidates(
        embedding=embeddings,
        distance_scale=factors,
        coordinates=(position + 0.5) * (maps.stride / maps.scale),
        position=position,
        seediness=score[rows, columns],
        tau_index=best // num_classes,
        pred_class=best % num_classes,
        level=torch.full_like(rows, level),
    )
    return Candidates(**{name: column[is_finite] for name, column in vars(candidates).items()})


def find_all_candidates(
    pyramid: Sequence[ImageMaps], probabilities: Sequence[Tensor], rules: GroupingRules
) -> Candidates:
    """``find_candidates`` of all scales together."""
    parts = zip(pyramid, probabilities, strict=True)
    return Candidates.cat(
        [find_candidates(maps, p, level, rules) for level, (maps, p) in enumerate(parts)]
    )


def _in_square(
    values: Tensor, size: int, combine: Callable[[Tensor, Tensor], Tensor], outside: float
) -> Tensor:
    """What an associative function makes of the values in a square of ``size`` (odd) cells round
    each cell of (h, w).

    Rows and columns one after the other, by shifted copies: on a CPU ten times as fast as PyTorch's
    pooling.
    """
    reach = size // 2
    for axis in (0, 1):
        padded = F.pad(values, (0, 0, reach, reach) if axis == 0 else (reach, reach), value=outside)
        shifted = [padded.narrow(axis, shift, values.shape[axis]) for shift in range(size)]
        values = reduce(combine, shifted)
    return values


def select_seeds(
    candidates: Candidates, rules: GroupingRules, *, limit: int, context: float
) -> Seeds:
    """Greedy seeds that balance score and diversity (paper, seeds).

    The first seed is the candidate with the highest S. Then

        p_t = argmax_p [ log S_p + alpha log D(p, {p_1 .. p_{t-1}}) ]

    with D the smallest distance to a chosen seed of the same scale (embeddings of two scales do not
    compare): 1 - sigma in [0, 1], or the distance ||e_p - e_q||, as ``rules.diversity`` says. A
    candidate that has no chosen seed to be compared with counts as far from all. Where all
    candidates become seeds there is nothing to decide, and they are ordered by S alone.

    Args:
        candidates: P of them.
        rules: ``alpha`` and ``diversity`` count.
        limit: N at most.
        context: seeds further than this many pixels away in the image (in rows or in columns) are
            not compared; negative: all are.

    Returns:
        Seeds in the order of choice. Time N x P x D, memory P x D.
    """
    log_score = candidates.seediness.clamp(min=torch.finfo(torch.float32).tiny).log()
    if rules.alpha == 0 or len(candidates) <= limit:
        chosen = log_score.argsort(descending=True, stable=True)[:limit]
    else:
        maps = candidates.embedding[:, None], candidates.distance_scale[:, None]
        columns = log_score, candidates.level, candidates.coordinates
        indices = kernels.choose(
            tuple(as_array(values) for values in maps),
            *(as_array(values) for values in columns),
            *(limit, float(rules.alpha), rules.diversity == "dissimilarity", float(context)),
        )
        chosen = torch.from_numpy(indices).to(log_score.device)
    return Seeds(
        position=candidates.position[chosen],
        tau_index=candidates.tau_index[chosen],
        pred_class=candidates.pred_class[chosen],
        score=candidates.seediness[chosen],
        level=candidates.level[chosen],
    )


def as_array(values: Tensor) -> np.ndarray:
    """A tensor of any device as a contiguous array, without its gradient."""
    return values.detach().cpu().contiguous().numpy()

"""From pixel predictions to seeds: seediness, candidates, and the greedy choice between score and diversity.

Shapes: D embedding channels, T thresholds, K classes, h x w grid cells, P candidates, N seeds.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..similarity import similarity
from ..structures import Seeds


@dataclass(frozen=True)
class Candidates:
    """Pixels that may become seeds, of all pyramid scales together.

    Attributes:
        embedding: (P, D).
        distance_scale: (P,) > 0.
        place: (P, 2) float, row and column in pixels of the network's input at scale 1.
        position: (P, 2) int64, row and column in the grid of the scale.
        seediness: (P,) in [0, 1].
        tau_index, pred_class, level: (P,) int64, as in ``Seeds``.
    """

    embedding: Tensor
    distance_scale: Tensor
    place: Tensor
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
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def class_probability(class_logits: Tensor) -> Tensor:
    """C_pc^tau (paper, section 3.2): the probability of every class for the mask that would be grown from each cell.

    Args:
        class_logits: (T, K + 1, h, w).

    Returns:
        (T, K, h, w) float32 in [0, 1], without background; 0 where a logit is not finite.
    """
    logits = class_logits.detach().float()
    if logits.shape[1] == 2:  # a softmax of two, at a fraction of its time
        margin = logits[:, 1:] - logits[:, :1]
        return margin.sigmoid().masked_fill_(~margin.isfinite(), 0.0)
    return logits.softmax(dim=1)[:, 1:].nan_to_num(0.0)


def seediness(probability: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """S_p = max_tau max_{c >= 1} C_pc^tau, and where the maximum is taken (paper, section 3.2).

    Args:
        probability: (T, K, h, w) from ``class_probability``.

    Returns:
        seediness (h, w) float32 in [0, 1], tau_index (h, w) int64, pred_class (h, w) int64 in [0, K).
    """
    best, index = probability.flatten(0, 1).max(dim=0)
    num_classes = probability.shape[1]
    return best, index // num_classes, index % num_classes


def find_candidates(
    embedding: Tensor,
    distance_scale: Tensor,
    probability: Tensor,
    *,
    level: int,
    cell_size: float,
    peaks_only: bool,
    peak_size: int,
    min_seediness: float,
) -> Candidates:
    """The cells of one scale that may become seeds.

    Args:
        embedding: (D, h, w).
        distance_scale: (h, w).
        probability: (T, K, h, w) from ``class_probability``.
        level: index of the scale.
        cell_size: pixels of the network's input at scale 1 that a cell spans.
        peaks_only: keep only local maxima of the seediness smoothed over 3 x 3 cells, which steadies them.
        peak_size: side in cells, odd, of the square in which a peak is the maximum.
        min_seediness: cells under it are dropped.

    Returns:
        Candidates; cells with an embedding that is not finite are never among them.
    """
    score, tau_index, pred_class = seediness(probability)
    usable = score >= min_seediness
    if peaks_only:
        smooth = F.avg_pool2d(score[None, None], 3, stride=1, padding=1, count_include_pad=False)[0, 0]
        highest = F.max_pool2d(smooth[None, None], peak_size, stride=1, padding=peak_size // 2)[0, 0]
        usable &= smooth == highest
        score = smooth
    position = usable.nonzero()
    # Asked of the candidates alone, as it would take longer than all the rest if asked of every cell.
    rows, columns = position.unbind(1)
    is_finite = embedding[:, rows, columns].isfinite().all(dim=0) & distance_scale[rows, columns].isfinite()
    position = position[is_finite]
    rows, columns = position.unbind(1)
    return Candidates(
        embedding=embedding[:, rows, columns].T.float(),
        distance_scale=distance_scale[rows, columns],
        place=(position + 0.5) * cell_size,
        position=position,
        seediness=score[rows, columns],
        tau_index=tau_index[rows, columns],
        pred_class=pred_class[rows, columns],
        level=torch.full_like(rows, level),
    )


def select_seeds(candidates: Candidates, *, max_seeds: int, alpha: float, dissimilarity: bool, context: float) -> Seeds:
    """Greedy seeds that balance score and diversity (paper, section 3.3).

    The first seed is the candidate with the highest S. Then

        p_t = argmax_p [ log S_p + alpha log D(p, {p_1 .. p_{t-1}}) ]

    with D the smallest distance to a chosen seed of the same scale (embeddings of two scales do not compare).
    A candidate that has no chosen seed to be compared with counts as far from all.

    Args:
        candidates: P of them.
        max_seeds: N at most.
        alpha: >= 0; 0 orders the candidates by S alone.
        dissimilarity: D is 1 - sigma in [0, 1]; otherwise the distance ||e_p - e_q||.
        context: seeds further than this many pixels away in the image (in rows or in columns) are not compared;
            negative: all are.

    Returns:
        Seeds in the order of choice. Time N x P x D, memory P x D.
    """
    count = min(max_seeds, len(candidates))
    log_score = candidates.seediness.clamp(min=torch.finfo(torch.float32).tiny).log()
    if alpha == 0:
        chosen = log_score.argsort(descending=True, stable=True)[:count]
    else:
        chosen = _choose_greedily(candidates, log_score, count, alpha, dissimilarity, context)
    return Seeds(
        position=candidates.position[chosen],
        tau_index=candidates.tau_index[chosen],
        pred_class=candidates.pred_class[chosen],
        score=candidates.seediness[chosen],
        level=candidates.level[chosen],
    )


def _choose_greedily(
    candidates: Candidates, log_score: Tensor, count: int, alpha: float, dissimilarity: bool, context: float
) -> Tensor:
    """Indices (count,) into the candidates, in the order of choice; see ``select_seeds``."""
    embedding = candidates.embedding - candidates.embedding.mean(dim=0, keepdim=True)
    # "Far from all" has to be a number: with an infinite D every such candidate would tie, whatever its score.
    log_diversity = torch.full_like(log_score, 0.0 if dissimilarity else math.log(1e4))
    is_left = torch.zeros_like(log_score)
    chosen = torch.empty(count, dtype=torch.int64, device=log_score.device)
    for step in range(count):
        index = (log_score + alpha * log_diversity + is_left).argmax()
        chosen[step] = index
        is_left[index] = -math.inf
        squared = (embedding - embedding[index]).square().sum(dim=1) * candidates.distance_scale[index]
        diversity = 1 - similarity(squared) if dissimilarity else squared.sqrt()
        to_seed = diversity.clamp(min=torch.finfo(torch.float32).tiny).log()
        is_compared = candidates.level == candidates.level[index]
        if context >= 0:
            is_compared &= (candidates.place - candidates.place[index]).abs().amax(dim=1) <= context
        log_diversity = torch.where(is_compared, torch.minimum(log_diversity, to_seed), log_diversity)
    return chosen

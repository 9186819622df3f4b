"""What grown masks are worth, and of which class they are. NumPy in, NumPy out.

Shapes: T thresholds, K classes, h x w grid cells, N seeds, n masks, C cells of all masks together.
"""

from collections.abc import Sequence

import numpy as np

from .growing import GrownMasks
from .metric import similarity
from .rules import GroupingRules
from .seeds import Seeds

# A class with a smaller share of the votes of a mask is not one that it may be of.
_LEAST_SHARE = 0.01


def classify(
    masks: GrownMasks, seeds: Seeds, probabilities: Sequence[np.ndarray], rules: GroupingRules
) -> tuple[np.ndarray, np.ndarray]:
    """What class each mask may be of, and its score as one.

    Args:
        masks: n of them.
        seeds: the n that they were grown from.
        probabilities: (T, K, h, w) for every scale, of each class for the mask grown from a cell.
        rules: ``class_by``, ``vote_exponent``, ``classes_per_mask``, ``score`` and
            ``small_mask_cells`` count.

    Returns:
        Classes (n, k) int64, the likeliest first, and scores (n, k) float64 in [0, 1], 0 where a
        mask may be of fewer; k is at least 1 and at most ``classes_per_mask``.
    """
    classes, scores = seeds.pred_class[:, None], seeds.score.astype(np.float64)[:, None]
    if rules.class_by == "vote":
        scores = seed_probability(probabilities, masks)[:, None]
        if probabilities[0].shape[1] > 1:  # with one class there is nothing to vote on
            classes, share = vote_classes(probabilities, masks, rules.classes_per_mask)
            may_be = share >= _LEAST_SHARE
            may_be[:, 0] = True  # the likeliest of very many classes may have less
            scores = np.where(may_be, scores * share**rules.vote_exponent, 0)
    worth = small_mask_factor(masks, rules.small_mask_cells)
    if rules.score == "seediness_similarity":
        worth *= masks.total(similarity(masks.squared_distance)) / masks.area
    return classes, scores * worth[:, None]


def seed_probability(probabilities: Sequence[np.ndarray], masks: GrownMasks) -> np.ndarray:
    """The probability of an object of any class at the seed of each mask.

    Args:
        probabilities: (T, K, h, w) for every scale, of each class for the mask grown from a cell.
        masks: n of them.

    Returns:
        (n,) float64 in [0, 1].
    """
    result = np.zeros(len(masks.seed))
    for level, probability in enumerate(probabilities):
        here = masks.level == level
        rows, columns = masks.position[here].T
        of_seeds = probability[masks.tau_index[here], :, rows, columns]
        result[here] = of_seeds.sum(axis=1).clip(max=1)
    return result


def vote_classes(
    probabilities: Sequence[np.ndarray], masks: GrownMasks, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """The classes that the cells of each mask vote for.

    Args:
        probabilities: (T, K, h, w) for every scale, of each class for the mask grown from a cell;
            they and background's add up to 1, so that cells whose own mask is poor count little.
        masks: n of them.
        most: k is at most so many.

    Returns:
        For each the k classes with the largest shares of the votes, (n, k) int64, and these shares,
        (n, k) float64, in descending order.
    """
    level, tau = np.repeat([masks.level, masks.tau_index], masks.area, axis=1)
    votes = np.empty((len(masks.cells), probabilities[0].shape[1]), dtype=np.float32)
    for index, probability in enumerate(probabilities):
        here = level == index
        rows, columns = masks.cells[here].T
        votes[here] = probability[tau[here], :, rows, columns]
    total = masks.total(votes)
    share = total / total.sum(axis=1, keepdims=True).clip(min=np.finfo(np.float32).tiny)
    classes = np.argsort(-share, axis=1, kind="stable")[:, :most]
    return classes, np.take_along_axis(share, classes, axis=1)


def small_mask_factor(masks: GrownMasks, small_mask_cells: float) -> np.ndarray:
    """A / (A + ``small_mask_cells``) of masks of A cells, (n,) float64 in (0, 1]."""
    return masks.area / (masks.area + small_mask_cells)

"""What grown masks are worth, and of which class they are. NumPy in, NumPy out.

Shapes: T thresholds, K classes, h x w grid cells, N seeds, n masks, C cells of all masks together.
"""

from collections.abc import Sequence

import numpy as np

from .growing import GrownMasks
from .metric import similarity
from .rules import GroupingRules
from .seeds import Seeds


def classify(
    masks: GrownMasks, seeds: Seeds, probabilities: Sequence[np.ndarray], rules: GroupingRules
) -> tuple[np.ndarray, np.ndarray]:
    """Class and score of each mask.

    Args:
        masks: n of them.
        seeds: the n that they were grown from.
        probabilities: (T, K, h, w) for every scale, of each class for the mask grown from a cell.
        rules: ``class_by``, ``score`` and ``small_mask_cells`` count.

    Returns:
        Classes (n,) int64, and scores (n,) float64 in [0, 1].
    """
    classes, scores = seeds.pred_class, seeds.score.astype(np.float64)
    if rules.class_by == "vote":
        scores = seed_probability(probabilities, seeds.tau_index, masks)
        if probabilities[0].shape[1] > 1:  # with one class there is nothing to vote on
            classes, share = vote_classes(probabilities, seeds.tau_index, masks)
            scores *= share
    if rules.score == "seediness_similarity":
        scores *= masks.total(similarity(masks.squared_distance)) / masks.area
    return classes, scores * small_mask_factor(masks, rules.small_mask_cells)


def seed_probability(
    probabilities: Sequence[np.ndarray], tau_index: np.ndarray, masks: GrownMasks
) -> np.ndarray:
    """The probability of an object of any class at the seed of each mask.

    Args:
        probabilities: (T, K, h, w) for every scale, of each class for the mask grown from a cell.
        tau_index: (n,) int64, which threshold each mask was grown with.
        masks: n of them.

    Returns:
        (n,) float64 in [0, 1].
    """
    result = np.zeros(len(masks.seed))
    for level, probability in enumerate(probabilities):
        here = masks.level == level
        rows, columns = masks.position[here].T
        of_seeds = probability[tau_index[here], :, rows, columns]
        result[here] = of_seeds.sum(axis=1).clip(max=1)
    return result


def vote_classes(
    probabilities: Sequence[np.ndarray], tau_index: np.ndarray, masks: GrownMasks
) -> tuple[np.ndarray, np.ndarray]:
    """The class that the cells of each mask agree on.

    Args:
        probabilities: (T, K, h, w) for every scale, of each class for the mask grown from a cell;
            they and background's add up to 1, so that cells whose own mask is poor count little.
        tau_index: (n,) int64, which threshold each mask was grown with.
        masks: n of them.

    Returns:
        For each the class with the largest share of the votes, (n,) int64, and that share, (n,)
        float64.
    """
    level, tau = np.repeat([masks.level, tau_index], masks.area, axis=1)
    votes = np.empty((len(masks.cells), probabilities[0].shape[1]), dtype=np.float32)
    for index, probability in enumerate(probabilities):
        here = level == index
        rows, columns = masks.cells[here].T
        votes[here] = probability[tau[here], :, rows, columns]
    total = masks.total(votes)
    share = total.max(axis=1) / total.sum(axis=1).clip(min=np.finfo(np.float32).tiny)
    return total.argmax(axis=1), share


def small_mask_factor(masks: GrownMasks, small_mask_cells: float) -> np.ndarray:
    """A / (A + ``small_mask_cells``) of masks of A cells, (n,) float64 in (0, 1]."""
    return masks.area / (masks.area + small_mask_cells)

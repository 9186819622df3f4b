"""What has grown in an image, with class and score by the rules of a grouping."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..similarity import similarity
from ..structures import Seeds
from .growing import Grids, GrowingSeeds, GrownMasks
from .rules import GroupingRules
from .scoring import seed_probability, small_mask_factor, vote_classes


class Grown(NamedTuple):
    """What has grown in an image, before it is ranked and drawn.

    Attributes:
        seeds: N, in the order of choice.
        order: (N,) int64, the index in ``seeds`` of each in the order of growing.
        growing: the same seeds in that order.
        grids: that masks grew in.
        masks: n that stayed; their seeds count in the order of growing.
        classes: (n,) int64 in [0, K).
        scores: (n,) float64 in [0, 1].
    """

    seeds: Seeds
    order: np.ndarray
    growing: GrowingSeeds
    grids: Grids
    masks: GrownMasks
    classes: np.ndarray
    scores: np.ndarray


def classify_masks(
    rules: GroupingRules,
    masks: GrownMasks,
    probabilities: Sequence[np.ndarray],
    *,
    tau_index: np.ndarray,
    seediness: np.ndarray,
    seed_class: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Class and score of each of n masks.

    Args:
        rules: ``class_by``, ``score`` and ``small_mask_cells`` count.
        masks: n of them.
        probabilities: (T, K, h, w) for every scale, of each class for the mask grown from a cell.
        tau_index, seediness, seed_class: (n,) each, of the seeds of the masks.

    Returns:
        Class (n,) int64 in [0, K) and score (n,) float64 in [0, 1].
    """
    classes, scores = seed_class, seediness.astype(np.float64)
    if rules.class_by == "vote":
        scores = seed_probability(probabilities, tau_index, masks)
        if probabilities[0].shape[1] > 1:  # with one class there is nothing to vote on
            classes, share = vote_classes(probabilities, tau_index, masks)
            scores *= share
    if rules.score == "seediness_similarity":
        alike = similarity(torch.from_numpy(masks.squared_distance)).numpy()
        scores = scores * (masks.total(alike) / masks.area)
    return classes, scores * small_mask_factor(masks, rules.small_mask_cells)

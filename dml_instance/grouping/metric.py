"""The similarity of two cells, as far as the grouping asks for it.

``modeling/similarity.py``, which training optimises, has the same as functions of tensors with
gradients, and ``kernels.py`` the distance as compiled loops; tests hold the three together.
"""

import math

import numpy as np


def similarity(squared_distance: np.ndarray) -> np.ndarray:
    """sigma(d) = 2 / (1 + exp(d)) of squared distances float32 >= 0: float32 in [0, 1]."""
    with np.errstate(over="ignore"):  # of a distance over 88, to an infinity: its similarity is 0
        return 2 / (1 + np.exp(squared_distance))


def distance_threshold(tau: float) -> float:
    """The squared distance at which sigma equals ``tau``; raises ValueError unless 0 < tau < 1."""
    if not 0 < tau < 1:
        raise ValueError(
            f"a similarity threshold, of MODEL.DML.TAUS, lies strictly between 0 and 1, got {tau}"
        )
    return math.log(2 / tau - 1)

"""From maps to seeds: seediness, candidates, and the choice by score, or by score and diversity.

Shapes: D embedding channels, T thresholds, K classes, h x w grid cells, P candidates, N seeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import reduce

import numpy as np

from . import kernels
from .maps import GridMaps
from .rules import GroupingRules

# Cells that are searched at once, so that a large grid needs no copies of itself.
_CELLS_AT_ONCE = 2**20


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pixels that may become seeds, of all pyramid scales together.

    Attributes:
        embedding: (P, D) float32.
        distance_scale: (P,) float32 > 0.
        coordinates: (P, 2) float32, row and column in pixels of the network's input at scale 1.
        position: (P, 2) int64, row and column in the grid of the scale.
        seediness: (P,) float32 in [0, 1].
        tau_index, pred_class, level: (P,) int64, as in ``Seeds``.
    """

    embedding: np.ndarray
    distance_scale: np.ndarray
    coordinates: np.ndarray
    position: np.ndarray
    seediness: np.ndarray
    tau_index: np.ndarray
    pred_class: np.ndarray
    level: np.ndarray

    def __len__(self):
        return len(self.seediness)

    def __getitem__(self, chosen: np.ndarray) -> "Candidates":
        """Some of the candidates, by a mask or by indices."""
        return Candidates(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def cat(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """The candidates of several scales as one."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True, eq=False)
class Seeds:
    """Pixels to grow masks from.

    Attributes:
        position: (N, 2) int64, (row, column) in the grid of its pyramid scale.
        tau_index: (N,) int64, which threshold the mask is grown with.
        pred_class: (N,) int64 in [0, K).
        score: (N,) float32 seediness in [0, 1].
        level: (N,) int64, index of the pyramid scale.

    Raises:
        ValueError: for fields of different lengths or shapes.
    """

    position: np.ndarray
    tau_index: np.ndarray
    pred_class: np.ndarray
    score: np.ndarray
    level: np.ndarray

    def __post_init__(self):
        lengths = {name: len(value) for name, value in vars(self).items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"every field of Seeds needs one entry a seed, got {lengths}")
        if self.position.ndim != 2 or self.position.shape[1] != 2:
            raise ValueError(f"position must be (N, 2), got {self.position.shape}")

    def __len__(self):
        return len(self.score)

    def __getitem__(self, chosen: np.ndarray) -> "Seeds":
        """Some of the seeds, by a mask or by indices."""
        return Seeds(*(getattr(self, field.name)[chosen] for field in fields(self)))


def seediness(probability: np.ndarray) -> np.ndarray:
    """S_p = max_tau max_{c >= 1} C_pc^tau (paper, classification).

    Args:
        probability: (T, K, h, w), as in ``GridMaps``.

    Returns:
        (h, w) float32 in [0, 1].
    """
    return probability.max(axis=(0, 1))


def find_candidates(maps: GridMaps, level: int, rules: GroupingRules) -> Candidates:
    """The cells of one scale that may become seeds.

    Args:
        maps: of one image at this scale.
        level: index of the scale.
        rules: ``candidates``, ``peak_radius`` and ``min_seediness`` count. Peaks are those of the
            seediness smoothed over 3 x 3 cells, which steadies them.

    Returns:
        Candidates, row by row; cells with an embedding that is not finite are never among them.
        Memory beside them: 20 bytes a cell, of at most a few million cells at once.
    """
    height, width = maps.distance_scale.shape
    rows = max(_CELLS_AT_ONCE // max(width, 1), 1)
    bands = range(0, max(height, 1), rows)
    return Candidates.cat(
        [_of_rows(maps, level, rules, first, min(first + rows, height)) for first in bands]
    )


def _of_rows(maps: GridMaps, level: int, rules: GroupingRules, first: int, last: int) -> Candidates:
    """The candidates in the rows [first, last)."""
    radius = max(round(rules.peak_radius / maps.stride), 1)
    # What decides on a row: the rows that its peaks are compared with, smoothed.
    top, bottom = max(first - radius - 1, 0), last + radius + 1
    score = seediness(maps.probability[:, :, top:bottom])
    usable = score >= rules.min_seediness
    if rules.candidates == "peaks":
        counted = (
            _in_square(np.ones(shape, np.float32), 3, np.add, 0.0)
            for shape in ((len(score), 1), score[:1].shape)
        )
        score = _in_square(score, 3, np.add, 0.0) / np.multiply(*counted)
        usable &= score == _in_square(score, 2 * radius + 1, np.maximum, -np.inf)
    # What is asked of the candidates alone, as it would take longer than all the rest if asked of
    # every cell: which are finite, and for which threshold and class S is the maximum.
    position = np.argwhere(usable[first - top : last - top])
    seen = score[position[:, 0] + first - top, position[:, 1]]
    position[:, 0] += first
    rows, columns = position.T
    num_taus, num_classes = maps.probability.shape[:2]
    probability = maps.probability[:, :, rows, columns]
    best = probability.reshape(num_taus * num_classes, len(position)).argmax(axis=0)
    pixels = np.float32(maps.stride / maps.scale)
    candidates = Candidates(
        embedding=maps.embedding[rows, columns],
        distance_scale=maps.distance_scale[rows, columns],
        coordinates=(position.astype(np.float32) + np.float32(0.5)) * pixels,
        position=position,
        seediness=seen,
        tau_index=best // num_classes,
        pred_class=best % num_classes,
        level=np.full(len(position), level, dtype=np.int64),
    )
    is_finite = np.isfinite(candidates.embedding).all(axis=1)
    return candidates[is_finite & np.isfinite(candidates.distance_scale)]


def find_all_candidates(pyramid: Sequence[GridMaps], rules: GroupingRules) -> Candidates:
    """``find_candidates`` of all scales together."""
    return Candidates.cat(
        [find_candidates(maps, level, rules) for level, maps in enumerate(pyramid)]
    )


def _in_square(
    values: np.ndarray,
    size: int,
    combine: Callable[[np.ndarray, np.ndarray], np.ndarray],
    outside: float,
) -> np.ndarray:
    """What an associative function makes of the values in a square of ``size`` (odd) cells round
    each cell of (h, w).

    Rows and columns one after the other, by shifted copies.
    """
    reach = size // 2
    for axis in (0, 1):
        margins = [(reach, reach), (0, 0)] if axis == 0 else [(0, 0), (reach, reach)]
        padded = np.pad(values, margins, constant_values=outside)
        parts = [slice(shift, shift + values.shape[axis]) for shift in range(size)]
        shifted = [padded[part] if axis == 0 else padded[:, part] for part in parts]
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
    candidates become seeds, and where ``rules.wants_diversity`` is False, S alone orders them.

    Args:
        candidates: P of them.
        rules: ``wants_diversity``, ``alpha`` and ``diversity`` count.
        limit: N at most.
        context: seeds further than this many pixels away in the image (in rows or in columns) are
            not compared; negative: all are.

    Returns:
        Seeds in the order of choice. Time N x P x D, by S alone P log P; memory P x D.
    """
    if not rules.wants_diversity or len(candidates) <= limit:
        chosen = np.argsort(-candidates.seediness, kind="stable")[:limit]
    else:
        chosen = kernels.choose(
            (candidates.embedding[:, None], candidates.distance_scale[:, None]),
            np.log(np.maximum(candidates.seediness, np.finfo(np.float32).tiny)),
            candidates.level,
            candidates.coordinates,
            limit,
            float(rules.alpha),
            rules.diversity == "dissimilarity",
            float(context),
        )
    return Seeds(
        position=candidates.position[chosen],
        tau_index=candidates.tau_index[chosen],
        pred_class=candidates.pred_class[chosen],
        score=candidates.seediness[chosen],
        level=candidates.level[chosen],
    )

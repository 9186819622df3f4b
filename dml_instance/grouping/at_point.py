"""One mask from any point of an image: what a click grows, and how alike everything is to a point.

NumPy in, NumPy out. What the network says is computed once an image and kept; a mask then takes
milliseconds.

Shapes: T thresholds, K classes, h x w grid cells, H x W pixels of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .grouping import GroupingSettings, gaps_of, grids_of
from .growing import (
    Grids,
    GrowingSeeds,
    GrownMasks,
    GrowthRules,
    grow_masks,
    grow_shifted_masks,
    seeds_at,
)
from .maps import GridMaps, cell_size
from .metric import distance_threshold, similarity
from .rendering import draw_masks
from .rules import GroupingRules
from .scoring import classify
from .seeds import Seeds

# Cells whose similarity is worked out at once, so that a large grid needs no second copy of itself.
_CELLS_AT_ONCE = 2**18


class PointChoice(NamedTuple):
    """How the model itself would grow a mask from a point.

    Attributes:
        level: index of the scale.
        cell: (row, column) in its grid.
        tau_index: which threshold.
        pred_class: in [0, K).
        seediness: the probability of that class for that threshold, in [0, 1].
    """

    level: int
    cell: tuple[int, int]
    tau_index: int
    pred_class: int
    seediness: float


class PointMask(NamedTuple):
    """The mask that grows from a point.

    Attributes:
        pixels: (h, w) bool, the part of the image that the mask just fills.
        corner: row and column of its first pixel in the image.
        tau: the least similarity to the point within it.
        pred_class: in [0, K).
        score: in [0, 1], as an object that was found would have it.
    """

    pixels: np.ndarray
    corner: tuple[int, int]
    tau: float
    pred_class: int
    score: float


@dataclass(frozen=True)
class PointGround:
    """All that masks of one image grow in, whatever point they grow from.

    Attributes:
        grids: the maps of the network, one entry a scale.
        probabilities: (T, K, h, w) float32 for every scale, of each class for the mask grown from a
            cell.
        taus: the T thresholds that the model knows.
        gaps: (scales, K) int64, cells bridged within a mask of each class; see ``GrowingSeeds``.
        cell_sizes: for every scale the pixels a cell, (vertical, horizontal).
        image_size: (H, W).
        rules: of the grouping.
    """

    grids: Grids
    probabilities: tuple[np.ndarray, ...]
    taus: tuple[float, ...]
    gaps: np.ndarray
    cell_sizes: tuple[tuple[float, float], ...]
    image_size: tuple[int, int]
    rules: GroupingRules

    @classmethod
    def of(
        cls,
        pyramid: Sequence[GridMaps],
        output_size: tuple[int, int],
        settings: GroupingSettings,
    ) -> "PointGround":
        """What masks of an image grow in; the arguments are those of ``group``."""
        return cls(
            grids_of(pyramid, settings.rules),
            tuple(maps.probability for maps in pyramid),
            settings.taus,
            gaps_of(pyramid, settings),
            tuple(cell_size(maps.stride, maps.image_size, output_size) for maps in pyramid),
            (output_size[0], output_size[1]),
            settings.rules,
        )

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        *maps, of_object = self.grids
        # Of one class they are the probabilities themselves.
        pairs = zip(of_object, self.probabilities, strict=True)
        copies = [values for values, whole in pairs if not np.may_share_memory(values, whole)]
        return sum(values.nbytes for of in (*maps, self.probabilities, copies) for values in of)

    def cell_of(self, point: Sequence[float], level: int) -> tuple[int, int]:
        """The cell of a scale that a point, (row, column) in pixels, lies in.

        Raises:
            ValueError: for a point outside of the image.
        """
        if not all(0 <= x < side for x, side in zip(point, self.image_size, strict=True)):
            raise ValueError(
                f"the point {tuple(point)} (row, column) lies outside of the image, which is "
                f"{self.image_size[0]} x {self.image_size[1]} pixels"
            )
        shape = self.grids.distance_scales[level].shape
        row, column = (
            min(int(x / size), side - 1)
            for x, size, side in zip(point, self.cell_sizes[level], shape, strict=True)
        )
        return row, column

    def choice(self, point: Sequence[float]) -> PointChoice:
        """Scale, threshold and class that the model finds likeliest at a point.

        Args:
            point: (row, column) in pixels, in the image.
        """
        choices = []
        for level, probability in enumerate(self.probabilities):
            cell = self.cell_of(point, level)
            here = probability[:, :, cell[0], cell[1]]
            tau_index, pred_class = np.unravel_index(here.argmax(), here.shape)
            seediness = float(here[tau_index, pred_class])
            choices.append(PointChoice(level, cell, int(tau_index), int(pred_class), seediness))
        return max(choices, key=lambda choice: choice.seediness)

    def grow(self, point: Sequence[float], tau: float | None = None) -> PointMask | None:
        """The object at a point, or what is as similar to it as ``tau`` says.

        Distances count by the point's own scale of distance, from the point or, with
        ``MODEL.DML.GROUPING.MEAN_SHIFTS``, from the mean of the object that the model sees there;
        gaps are bridged as in masks of the point's likeliest class.

        Args:
            point: (row, column) in pixels, in the image.
            tau: in (0, 1); None: the model's choice.

        Returns:
            The mask, drawn as the model's own are; None where nothing grows: a point whose
            embedding is not finite, or a mask that covers the centre of no pixel.

        Raises:
            ValueError: for a point outside of the image, or a tau out of its range.
        """
        threshold = None if tau is None else distance_threshold(tau)
        choice = self.choice(point)
        masks = self._object_at(choice)
        if len(masks.seed) and tau is not None:
            nearest = np.array([np.abs(np.array(self.taus) - tau).argmin()])
            origin = masks.cells[[masks.squared_distance.argmin()]].astype(np.int64)
            seeds = self._seed(choice)._replace(
                **{"origin": origin, "centre": masks.centre},
                **{"tau_index": nearest, "threshold": np.array([threshold])},
            )
            masks = grow_masks(self.grids, seeds, max_overlap=1.0)
        _, drawn = draw_masks(
            masks,
            np.arange(len(masks.seed)),
            self.grids,
            cell_sizes=self.cell_sizes,
            output_size=self.image_size,
            interpolate=self.rules.mask_resolution == "output",
            limit=1,
        )
        if len(drawn) == 0:
            return None
        seed = Seeds(
            masks.position,
            masks.tau_index,
            np.array([choice.pred_class]),
            np.array([choice.seediness], dtype=np.float32),
            masks.level,
        )
        ((found, *_),), ((score, *_),) = classify(masks, seed, self.probabilities, self.rules)
        left, top, _, _ = drawn.boxes[0].tolist()
        if tau is None:
            tau = self.taus[masks.tau_index[0]]
        return PointMask(drawn[0], (top, left), float(tau), int(found), float(score))

    def _object_at(self, choice: PointChoice) -> GrownMasks:
        """What the model itself grows from a point; no mask where nothing does."""
        # One seed: nothing to choose from.
        alone = GrowthRules(
            self._thresholds, self.rules.mean_shifts, 1, 1.0, lambda masks: np.ones(len(masks.seed))
        )
        return grow_shifted_masks(self.grids, self._seed(choice), alone)

    def _seed(self, choice: PointChoice) -> GrowingSeeds:
        """A point as the one seed that masks are grown from."""
        return seeds_at(
            self.grids,
            np.array([choice.cell]),
            level=np.array([choice.level]),
            tau_index=np.array([choice.tau_index]),
            threshold=self._thresholds[[choice.tau_index]],
            gap=self.gaps[choice.level, choice.pred_class][None],
        )

    @property
    def _thresholds(self) -> np.ndarray:
        return np.array([distance_threshold(tau) for tau in self.taus])

    def similarity(self, point: Sequence[float]) -> np.ndarray:
        """sigma from a point, or from the mean of the object that ``grow`` measures from, to every
        cell of its likeliest scale, (h, w) float32 in [0, 1]; 0 where an embedding is not
        finite."""
        choice = self.choice(point)
        masks, level, cell = self._object_at(choice), choice.level, choice.cell
        embedding, scale = self.grids.embeddings[level], self.grids.distance_scales[level][cell]
        centre = masks.centre[0] if len(masks.seed) else embedding[cell]
        result = np.empty(embedding.shape[:2], np.float32)
        rows = max(_CELLS_AT_ONCE // embedding.shape[1], 1)
        for first in range(0, len(embedding), rows):
            part = embedding[first : first + rows]
            squared = np.square(part - centre).sum(axis=2) * scale
            result[first : first + rows] = similarity(squared)
        return np.nan_to_num(result, copy=False)

"""Masks grown from seeds on the grid of a head, each inside a window that follows its size.

Time and memory go with the area of the objects, and not with the image times their number. Shapes: D embedding
channels, h x w grid cells, n seeds, r x c cells of a window.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..masks import connected_parts, touch_inner_border

# Half the side, in cells, of the first window; it doubles until the mask fits.
_FIRST_REACH = 8

# Embedding values that are copied into windows at once: 8 MiB.
_VALUES_AT_ONCE = 2**21


@dataclass(frozen=True)
class GrownMask:
    """A mask on the grid of one scale.

    Attributes:
        window: the (rows, columns) of the grid that the arrays cover.
        part: (r, c) bool, the cells of the mask.
        squared_distance: (r, c) float32, to the seed.
        threshold: squared distance up to which a cell is similar enough.
    """

    window: tuple[slice, slice]
    part: np.ndarray
    squared_distance: np.ndarray
    threshold: float

    @property
    def start(self) -> tuple[int, int]:
        """(row, column) of the window's first cell."""
        return self.window[0].start, self.window[1].start


class Grid:
    """The embedding of one image at one scale, on the CPU, to grow masks in."""

    def __init__(self, embedding: Tensor, distance_scale: Tensor):
        """
        Args:
            embedding: (D, h, w), any device and floating dtype.
            distance_scale: (h, w) > 0.
        """
        self.embedding = np.ascontiguousarray(embedding.detach().float().cpu().numpy())
        self.distance_scale = distance_scale.detach().float().cpu().numpy()
        self.shape = self.embedding.shape[1:]

    def distances(self, positions: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances from seeds to the cells round them.

        Args:
            positions: (n, 2) int64, (row, column).
            reach: cells to each side; near the grid's edge the window moves inwards instead.

        Returns:
            starts (n, 2) int64 of the windows, and distances (n, r, c) float32. Memory n x r x c x D.
        """
        sides = np.minimum(2 * reach + 1, self.shape)
        starts = np.clip(positions - reach, 0, self.shape - sides)
        windows = np.lib.stride_tricks.sliding_window_view(self.embedding, tuple(sides), axis=(1, 2))
        difference = windows[:, starts[:, 0], starts[:, 1]]
        rows, columns = positions.T
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite belongs to no mask
            difference -= self.embedding[:, rows, columns][:, :, None, None]
            np.square(difference, out=difference)
            return starts, difference.sum(axis=0) * self.distance_scale[rows, columns][:, None, None]


def grow_masks(
    grid: Grid, seeds: np.ndarray, thresholds: np.ndarray, gap: int, largest_reach: float = np.inf
) -> list[GrownMask | None]:
    """m(p, tau) = { q : sigma(p, q) >= tau } of each seed, or the part of it that is connected to the seed.

    Args:
        grid: to grow in.
        seeds: (n, 2) int64, (row, column).
        thresholds: (n,) float64, the squared distance at which sigma is tau.
        gap: cells bridged, see ``connected_parts``; negative: the whole mask, wherever it lies.
        largest_reach: in cells; a mask that does not fit a window of so many to each side of its seed is given up.

    Returns:
        One for each seed, None where it was given up; its part is never empty for a finite seed, which always belongs
        to it.
    """
    masks: list[GrownMask | None] = [None] * len(seeds)
    left, reach = np.arange(len(seeds)), max(grid.shape) if gap < 0 else _FIRST_REACH + gap
    while len(left) and reach <= largest_reach:
        window = np.minimum(2 * reach + 1, grid.shape).prod()
        at_once = max(int(_VALUES_AT_ONCE // (window * len(grid.embedding))), 1)
        larger = []
        for lot in np.split(left, range(at_once, len(left), at_once)):
            starts, distances = grid.distances(seeds[lot], reach)
            parts = distances <= thresholds[lot, None, None]
            if gap >= 0:
                parts = connected_parts(parts, seeds[lot] - starts, gap)
                # A piece just outside could still be bridged to this one, hence the margin.
                is_cut = touch_inner_border(parts, starts, grid.shape, margin=gap + 1)
                larger.append(lot[is_cut])
            else:
                is_cut = np.zeros(len(lot), dtype=bool)
            rows, columns = distances.shape[1:]
            for place in np.flatnonzero(~is_cut).tolist():
                top, left_column = starts[place].tolist()
                masks[lot[place]] = GrownMask(
                    (slice(top, top + rows), slice(left_column, left_column + columns)),
                    parts[place],
                    distances[place],
                    thresholds[lot[place]],
                )
        left, reach = np.concatenate([*larger, left[:0]]), 2 * reach
    return masks

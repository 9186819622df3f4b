"""Masks grown from seeds on the grid of a head, each inside a window that follows its size.

Time and memory go with the area of the objects, and not with the image times their number. Shapes: D embedding
channels, h x w grid cells, n seeds, r x c cells of a window.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..masks import connected_part, touches_inner_border
from ..similarity import distance_threshold

# Half the side, in cells, of the first window; it doubles until the mask fits.
FIRST_REACH = 12


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


def grow_mask(
    grid: Grid,
    seed: tuple[int, int],
    tau: float,
    gap: int,
    first: tuple[np.ndarray, np.ndarray] | None = None,
) -> GrownMask:
    """m(p, tau) = { q : sigma(p, q) >= tau }, or the part of it that is connected to the seed.

    Args:
        grid: to grow in.
        seed: (row, column).
        tau: similarity threshold.
        gap: cells bridged, see ``connected_part``; negative: the whole mask, wherever it lies.
        first: start (2,) and distances (r, c) of the first window to try, where they are known already.

    Returns:
        The mask; its part is never empty for a finite seed, which always belongs to it.
    """
    threshold = distance_threshold(tau)
    reach = max(grid.shape) if gap < 0 else FIRST_REACH + gap
    while True:
        if first is None:
            starts, distances = grid.distances(np.array([seed]), reach)
            first = starts[0], distances[0]
        (top, left), distance = first[0].tolist(), first[1]
        window = slice(top, top + distance.shape[0]), slice(left, left + distance.shape[1])
        near = distance <= threshold
        if gap < 0:
            return GrownMask(window, near, distance, threshold)
        part = connected_part(near, (seed[0] - top, seed[1] - left), gap)
        # A piece just outside could still be bridged to this one, hence the margin.
        if not touches_inner_border(part, window, grid.shape, margin=gap + 1):
            return GrownMask(window, part, distance, threshold)
        reach, first = 2 * reach, None

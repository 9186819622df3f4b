"""Masks grown from seeds on the grid of a head, each inside a window that follows its size.

Time and memory go with the area of the objects, and not with the image times their number. Shapes: D embedding
channels, h x w grid cells, n seeds, r x c cells of a window.
"""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from ..masks import bounding_boxes, connected_parts

# Half the sides, in cells, of the windows tried one after the other until a mask fits; beyond them they double.
_REACHES = np.array([8, 12, 16, 24, 32])

_DIRECTIONS = np.array([(-1, 0), (0, -1), (0, 1), (1, 0)])

# Embedding values that are copied into windows at once: 4 MiB.
_VALUES_AT_ONCE = 2**20


class GrownMask(NamedTuple):
    """A mask on the grid of one scale.

    Attributes:
        window: the (rows, columns) of the grid that the arrays cover.
        part: (r, c) bool, the cells of the mask.
        area: how many they are.
        squared_distance: (r, c) float32, to the seed.
        threshold: squared distance up to which a cell is similar enough.
    """

    window: tuple[slice, slice]
    part: np.ndarray
    area: int
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
        return starts, self.squared_distances(positions, windows[:, starts[:, 0], starts[:, 1]])

    def squared_distances(self, positions: np.ndarray, near: np.ndarray) -> np.ndarray:
        """Squared distances from seeds to embeddings.

        Args:
            positions: (n, 2) int64, (row, column) of the seeds.
            near: (D, n, a, b) embeddings, overwritten.

        Returns:
            (n, a, b) float32, not finite where an embedding is not.
        """
        rows, columns = positions.T
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite belongs to no mask
            near -= self.embedding[:, rows, columns][:, :, None, None]
            np.square(near, out=near)
            return near.sum(axis=0) * self.distance_scale[rows, columns][:, None, None]


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
    reach = np.full(len(seeds), max(grid.shape)) if gap < 0 else _guessed_reach(grid, seeds, thresholds) + gap
    left = np.flatnonzero(reach <= largest_reach)
    while len(left):
        # Smallest windows first: what does not fit joins the next larger ones.
        smallest = reach[left].min()
        lot, left = left[reach[left] == smallest], left[reach[left] > smallest]
        window = np.minimum(2 * smallest + 1, grid.shape)
        at_once = max(int(_VALUES_AT_ONCE // (window.prod() * len(grid.embedding))), 1)
        for some in np.split(lot, range(at_once, len(lot), at_once)):
            starts, distances = grid.distances(seeds[some], smallest)
            parts = distances <= thresholds[some, None, None]
            if gap >= 0:
                parts = connected_parts(parts, seeds[some] - starts, gap)
            # (row, column) of the first cell of each part, and of the first beyond it.
            first, last = np.split(bounding_boxes(parts)[:, [1, 0, 3, 2]], 2, axis=1)
            # A piece just outside could still be bridged to this one, hence the margin.
            is_cut = ((starts > 0) & (first <= gap)) | ((starts + window < grid.shape) & (last >= window - gap))
            is_cut = is_cut.any(axis=1) & (first < last).all(axis=1) & (gap >= 0)
            first, last = _margined(first, last, window)
            areas = np.count_nonzero(parts, axis=(1, 2)).tolist()
            bounds = np.concatenate([first, last, starts + first, starts + last], axis=1).tolist()
            for place in np.flatnonzero(~is_cut).tolist():
                top, left_side, bottom, right_side, *in_grid = bounds[place]
                masks[some[place]] = GrownMask(
                    (slice(in_grid[0], in_grid[2]), slice(in_grid[1], in_grid[3])),
                    parts[place, top:bottom, left_side:right_side],
                    areas[place],
                    distances[place, top:bottom, left_side:right_side],
                    thresholds[some[place]],
                )
            reach[some] = next((r + gap for r in _REACHES if r + gap > smallest), 2 * smallest)
            left = np.concatenate([left, some[is_cut & (reach[some] <= largest_reach)]])
    return masks


def _guessed_reach(grid: Grid, seeds: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(n,) int64: for each seed the first of ``_REACHES`` at which no cell straight up, down or aside is similar."""
    places = seeds[:, None, None] + _REACHES[:-1, None, None] * _DIRECTIONS
    is_inside = ((places >= 0) & (places < grid.shape)).all(axis=3)
    rows, columns = np.where(is_inside[..., None], places, 0).transpose(3, 0, 1, 2)
    distances = grid.squared_distances(seeds, grid.embedding[:, rows, columns])
    is_similar = ((distances <= thresholds[:, None, None]) & is_inside).any(axis=2)
    return _REACHES[is_similar.cumprod(axis=1).sum(axis=1)]


def _margined(first: np.ndarray, last: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes one cell wider than parts, for the cut between two cells, in few different sizes, which are drawn together.

    Args:
        first, last: (n, 2) int64, (row, column) of the first cell and of the first beyond.
        window: (2,) rows and columns that boxes stay within.

    Returns:
        The same of the boxes.
    """
    first, last = (first - 1).clip(0), np.minimum(last + 1, window)
    size = last - first
    step = 2 ** np.maximum(np.log2(size.clip(1)).astype(np.int64) - 2, 2)  # quarters of a power of two, at least 4
    size = np.minimum(-(-size // step) * step, window)
    first = np.minimum(first, window - size)
    return first, first + size

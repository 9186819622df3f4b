"""A large image at another size, of which windows are made when they are asked for.

Resized and normalised at once an image takes 12 bytes a pixel, two or three times on the way. Made
window by window it stays what it is, as a rule 3 bytes a pixel.

Shapes: C channels, H x W pixels of the image, h x w of a window of it resized.
"""

import math
from functools import cached_property

import torch
from torch import Tensor

# Pixels that the statistics are worked out of at once.
_AT_ONCE = 2**22


class ScaledImage:
    """An image resized bilinearly, and averaged where it becomes smaller; see
    ``torch.nn.functional.interpolate`` with ``antialias``, of which it differs by rounding.

    Attributes:
        size: (height, width), resized.
    """

    def __init__(self, image: Tensor, size: tuple[int, int]):
        """
        Args:
            image: (C, H, W), any number type.
            size: (height, width) wanted.
        """
        self.size = size
        self._image = image

    def window(self, rows: slice, columns: slice) -> Tensor:
        """(C, h, w) float32, in the layout ``channels_last``: the pixels of a window.

        Args:
            rows, columns: with start and stop, within ``size``.
        """
        taps = [
            _taps(length, wanted, part, self._image.device)
            for length, wanted, part in zip(
                self._image.shape[1:], self.size, (rows, columns), strict=True
            )
        ]
        (first_row, last_row, *_), (first_column, last_column, *_) = taps
        seen = self._image[:, first_row:last_row, first_column:last_column]
        seen = seen.permute(1, 2, 0).float().contiguous()
        for axis, (_, _, places, weights) in enumerate(taps):
            if places is not None:
                seen = _weighted(seen, axis, places, weights)
        return seen.permute(2, 0, 1)

    @cached_property
    def mean_and_deviation(self) -> tuple[Tensor, Tensor]:
        """(C, 1, 1) float32 each, of all pixels of a channel; the deviation is that of the
        population.

        Nothing is resized for it. Where a pixel is the sum of w_i x_i, its square is that of
        w_i w_j x_i x_j: summed up over all pixels, of each product of two neighbours so much.
        """
        height, width = self._image.shape[1:]
        of_rows, of_columns = (
            _summed(length, wanted, self._image.device)
            for length, wanted in zip((height, width), self.size, strict=True)
        )
        # About a value near the mean squares cancel least; weights add up to 1.
        step = max(height // 64, 1), max(width // 64, 1)
        shift = self._image[:, :: step[0], :: step[1]].float().mean(dim=(1, 2), keepdim=True)
        sums = torch.zeros((2, self._image.shape[0]), dtype=torch.float64, device=shift.device)
        rows = max(_AT_ONCE // width, 1)
        for first in range(0, height, rows):
            seen = self._image[:, first : first + rows + len(of_rows[1]) - 1].float() - shift
            part = slice(first, min(first + rows, height))
            count = part.stop - first
            sums[0] += ((seen[:, :count] @ of_columns[0]) @ of_rows[0][part]).double()
            for down, by_row in enumerate(of_rows[1]):
                upper = seen[:, : max(min(count, seen.shape[1] - down), 0)]
                lower = seen[:, down : down + upper.shape[1]]
                by_row = by_row[first : first + upper.shape[1]]
                for right, by_column in enumerate(of_columns[1]):
                    weights = by_column[: width - right]
                    pairs = [(upper[..., : width - right], lower[..., right:])]
                    if down and right:
                        pairs.append((upper[..., right:], lower[..., : width - right]))
                    for one, other in pairs:
                        product = ((one * other) @ weights) @ by_row
                        sums[1] += product.double() * (2 if down or right else 1)
        mean, square = sums / (self.size[0] * self.size[1])
        deviation = (square - mean**2).clamp(min=0).sqrt()
        return shift + mean.float()[:, None, None], deviation.float()[:, None, None]


def _summed(length: int, wanted: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What the pixels along an axis weigh in all pixels of it resized, (length,) float32; and what
    the products of a pixel and the one k further on do, (K, length) float32."""
    first, _, places, weights = _taps(length, wanted, slice(0, wanted), device)
    if places is None:
        return torch.ones(length, device=device), torch.ones((1, length), device=device)
    places, weights = places + first, weights.double()
    alone = weights.new_zeros(length).index_add_(0, places.flatten(), weights.flatten())
    taps = weights.shape[1]
    products = weights.new_zeros((taps, length))
    for i in range(taps):
        for j in range(i, taps):
            # A place beyond the image has no weight.
            products[j - i].index_add_(0, places[:, i], weights[:, i] * weights[:, j])
    return alone.float(), products.float()


def _taps(
    length: int, wanted: int, part: slice, device: torch.device
) -> tuple[int, int, Tensor | None, Tensor | None]:
    """Which pixels along an axis make up those of a window.

    Args:
        length: pixels of the image.
        wanted: of it resized.
        part: the window, in pixels of it resized.

    Returns:
        The first pixel that is needed and the first beyond the last; and for the n pixels of the
        window places (n, k) int64, counted from there, and their weights (n, k) float32, which add
        up to 1. None each where the size stays the same.
    """
    if length == wanted:
        return part.start, part.stop, None, None
    ratio = length / wanted
    reach = max(ratio, 1.0)
    centre = (torch.arange(part.start, part.stop, dtype=torch.float64) + 0.5) * ratio
    lowest = (centre - reach + 0.5).floor().clamp(min=0).long()
    places = lowest[:, None] + torch.arange(math.ceil(2 * reach))
    weights = (1 - (places + 0.5 - centre[:, None]).abs() / reach).clamp(min=0)
    weights[places >= length] = 0
    weights /= weights.sum(dim=1, keepdim=True)
    places.clamp_(max=length - 1)
    first, last = int(places[0, 0]), int(places[-1, -1]) + 1
    return first, last, (places - first).to(device), weights.float().to(device)


def _weighted(values: Tensor, axis: int, places: Tensor, weights: Tensor) -> Tensor:
    """Sums of what lies at some places along an axis: (h, w, C), places and weights (n, k)."""
    shape = [1, 1, 1]
    shape[axis] = -1
    total = None
    for place, weight in zip(places.T, weights.T, strict=True):
        part = values.index_select(axis, place).mul_(weight.view(shape))
        total = part if total is None else total.add_(part)
    return total

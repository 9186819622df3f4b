"""The masks of an image's objects, each in the window that it just fills.

Shapes: G objects, H x W pixels of the image, h x w of a window, P pixels of all windows together.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor


class ObjectMasks:
    """What Detectron2's ``BitMasks`` hold, at the memory of the objects' windows: of 5,000 objects
    in an image of 1,500 x 1,500 pixels a few megabytes, and not 11 GB.

    A field of ``Instances``: it has a length, can be indexed, and moves to a device.

    Attributes:
        size: (H, W).
        corner: (G, 2) int64, row and column of the first pixel of each window.
        extent: (G, 2) int64, its height and width; 0 and 0 of a mask without a pixel.
        start: (G + 1,) int64; window i has the pixels from start[i] to start[i + 1].
        pixels: (P,) bool, those of all windows, row by row.
    """

    def __init__(self, size: Sequence[int], corner: Tensor, extent: Tensor, pixels: Tensor):
        self.size = (int(size[0]), int(size[1]))
        self.corner, self.extent, self.pixels = corner, extent, pixels
        self.start = torch.cat([extent.new_zeros(1), extent.prod(dim=1).cumsum(0)])

    @classmethod
    def of(cls, masks: Tensor) -> "ObjectMasks":
        """From (G, H, W) bool."""
        corner, extent = [], []
        for axis in (2, 1):
            is_filled = masks.any(dim=axis).byte()
            length = is_filled.shape[1]
            first = is_filled.argmax(dim=1) if length else is_filled.sum(dim=1)
            last = length - is_filled.flip(1).argmax(dim=1) if length else first
            has_pixels = is_filled.any(dim=1)
            corner.append(first * has_pixels)
            extent.append((last - first) * has_pixels)
        result = cls(
            masks.shape[1:],
            torch.stack(corner, 1),
            torch.stack(extent, 1),
            masks.new_zeros(0),
        )
        result.pixels = masks.new_zeros(int(result.start[-1]))
        owner, *place = masks.nonzero(as_tuple=True)
        row, column = (p - result.corner[owner, axis] for axis, p in enumerate(place))
        result.pixels[result.start[owner] + row * result.extent[owner, 1] + column] = True
        return result

    @classmethod
    def of_windows(
        cls, windows: Sequence[np.ndarray], corners: Sequence[Sequence[int]], size: Sequence[int]
    ) -> "ObjectMasks":
        """From (h, w) bool for each object, the row and column of its first pixel, and (H, W)."""
        extents = [window.shape for window in windows]
        corner, extent = (
            torch.tensor(values, dtype=torch.int64).reshape(-1, 2) for values in (corners, extents)
        )
        flat = [np.ravel(window).astype(bool) for window in windows]
        pixels = np.concatenate(flat) if flat else np.zeros(0, dtype=bool)
        return cls(size, corner, extent, torch.from_numpy(pixels))

    def __len__(self):
        return len(self.corner)

    def __repr__(self) -> str:
        return f"ObjectMasks({len(self)} in {self.size[0]} x {self.size[1]} pixels)"

    def __getitem__(self, chosen: int | slice | Tensor) -> "ObjectMasks | Tensor":
        """Of an index the mask (h, w) bool in its window; of a slice, a mask of the objects or
        several indices these objects."""
        if isinstance(chosen, int):
            if not 0 <= chosen < len(self):
                raise IndexError(f"there are {len(self)} objects, from 0, got {chosen}")
            first, last = self.start[chosen : chosen + 2].tolist()
            return self.pixels[first:last].view(*self.extent[chosen].tolist())
        index = torch.arange(len(self), device=self.corner.device)[chosen]
        parts = [self.pixels[first:last] for first, last in self._spans(index)]
        pixels = torch.cat(parts) if parts else self.pixels[:0]
        return ObjectMasks(self.size, self.corner[index], self.extent[index], pixels)

    def _spans(self, index: Tensor) -> Iterator[list[int]]:
        return iter(torch.stack([self.start[index], self.start[index + 1]], 1).tolist())

    def to(self, *args, **options) -> "ObjectMasks":
        """On another device, as ``Tensor.to`` takes it."""
        fields = (self.corner, self.extent, self.pixels)
        return ObjectMasks(self.size, *(values.to(*args, **options) for values in fields))

    @property
    def device(self) -> torch.device:
        return self.pixels.device

    @property
    def tensor(self) -> Tensor:
        """(G, H, W) bool, as ``BitMasks`` have it; takes the memory that this class does not."""
        whole = self.pixels.new_zeros((len(self), *self.size))
        owner, row, column = self.places
        whole[owner, row, column] = True
        return whole

    @property
    def places(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of every pixel of every mask the object, and row and column in the image; (n,) int64
        each."""
        index = self.pixels.nonzero()[:, 0]
        owner = torch.repeat_interleave(self.start.diff())[index]
        inner = index - self.start[owner]
        width = self.extent[owner, 1]
        row = torch.div(inner, width, rounding_mode="floor")
        return owner, self.corner[owner, 0] + row, self.corner[owner, 1] + inner - row * width

    def resized(self, size: Sequence[int]) -> "ObjectMasks":
        """At another image size (H', W'), by the nearest pixel; itself where it has this size."""
        if self.size == tuple(size):
            return self
        sources = [
            torch.nn.functional.interpolate(
                torch.arange(length, dtype=torch.float32)[None, None],
                size=wanted,
                mode="nearest-exact",
            )[0, 0].long()
            for length, wanted in zip(self.size, size, strict=True)
        ]
        windows, corners = [], []
        for index, (corner, extent) in enumerate(
            zip(self.corner.tolist(), self.extent.tolist(), strict=True)
        ):
            # The pixels of the new image whose source lies in the window.
            seen = [
                ((source >= first) & (source < first + length)).nonzero()[:, 0]
                for source, first, length in zip(sources, corner, extent, strict=True)
            ]
            rows, columns = (
                source[places] - first
                for source, places, first in zip(sources, seen, corner, strict=True)
            )
            windows.append(self[index].cpu()[rows][:, columns].numpy())
            corners.append([int(places[0]) if len(places) else 0 for places in seen])
        return ObjectMasks.of_windows(windows, corners, size).to(self.device)

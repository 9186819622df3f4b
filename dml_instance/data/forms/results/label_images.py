"""Label images: 0 is background, 1, 2, 3 ... the objects."""

import contextlib
import os
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import tifffile

from ....images import MAX_PIXELS, write_image
from ....keys.classes import Classes
from .form import ResultForm, ResultImage
from .found import FoundObject

_MOST_OF_16_BITS = 2**16 - 1
# Rows of a TIFF that are painted and packed at once.
_STRIP = 512
# Bytes from which on TIFF needs 64 bits to count them, with room to spare.
_LARGE_FILE = 2**31


class LabelImages(ResultForm):
    """``labels/NAME.png`` of 16 bits; of more than 65,535 objects, or 100 million pixels,
    ``labels/NAME.tif`` of 32, painted strip by strip.

    Where two masks overlap, the pixel is of the better object. A file of the image with the other
    ending, of an earlier run, is removed.
    """

    target = "labels"
    endings = (".png", ".tif")
    is_deep = False

    def __init__(self, folder: str, classes: Classes):
        super().__init__(folder, classes)
        # Pixels, objects that lost some, and objects that lost all.
        self._lost = np.zeros(3, int)

    @contextlib.contextmanager
    def adding(self, image: ResultImage, objects: Sequence[FoundObject]) -> Iterator[None]:
        is_large = image.size[0] * image.size[1] > MAX_PIXELS
        deep = self.is_deep or is_large or len(objects) > _MOST_OF_16_BITS
        painting = _Painting(objects, image.size, np.uint32 if deep else np.uint16)
        ending = ".tif" if deep else ".png"
        with self.replaced(image, ending) as part:
            if deep:
                tifffile.imwrite(
                    part,
                    (zlib.compress(band) for band in painting.bands(_STRIP)),
                    shape=image.size,
                    dtype=painting.kind,
                    rowsperstrip=_STRIP,
                    compression="zlib",
                    bigtiff=painting.kind.itemsize * image.size[0] * image.size[1] > _LARGE_FILE,
                )
            else:
                write_image(part, next(painting.bands(image.size[0])))
            yield
        self._lost += painting.lost
        for other in set(self.endings) - {ending}:
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(self.path, f"{image.name}{other}"))

    @property
    def remark(self) -> str:
        pixels, objects, gone = self._lost
        if not objects:
            return ""
        return (
            f"in label images {objects} objects lost {pixels} pixels to better ones that they "
            f"overlap, and {gone} of them all; the other forms keep them whole"
        )


class DeepLabelImages(LabelImages):
    """``labels32/NAME.tif`` of 32 bits, whatever the number of objects."""

    target = "labels32"
    endings = (".tif",)
    is_deep = True


class _Painting:
    """The label image of one image, band by band.

    Attributes:
        kind: type of its numbers.
    """

    def __init__(self, objects: Sequence[FoundObject], size: tuple[int, int], kind: type):
        self.kind = np.dtype(kind)
        self._objects, self._size = objects, size
        self._shown, self._hidden = np.zeros((2, len(objects)), int)

    def bands(self, rows: int) -> Iterator[np.ndarray]:
        """(h, W) each, from the top down.

        Args:
            rows: h at most.
        """
        height, width = self._size
        spans = np.array([(o.window[0].start, o.window[0].stop) for o in self._objects])
        starts, stops = spans.reshape(-1, 2).T
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            band = np.zeros((bottom - top, width), self.kind)
            for index in np.flatnonzero((starts < bottom) & (stops > top)):
                self._paint(index, band, top)
            yield band

    def _paint(self, index: int, band: np.ndarray, top: int) -> None:
        """Where nothing better is, the object's number."""
        found = self._objects[index]
        rows, columns = found.window
        first, last = max(rows.start, top), min(rows.stop, top + len(band))
        mask = found.mask[first - rows.start : last - rows.start]
        seen = band[first - top : last - top, columns]
        free = mask & (seen == 0)
        seen[free] = found.label
        shown = np.count_nonzero(free)
        self._shown[index] += shown
        self._hidden[index] += np.count_nonzero(mask) - shown

    @property
    def lost(self) -> np.ndarray:
        """Of the bands so far: pixels that better objects hide, objects that have such, and objects
        of which nothing is seen; (3,) int."""
        hidden, shown = self._hidden, self._shown
        return np.array([hidden.sum(), np.count_nonzero(hidden), np.count_nonzero(shown == 0)])

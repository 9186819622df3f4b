"""Label images: 0 is background, 1, 2, 3 ... the objects."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tifffile

from ....images import write_image
from ....keys.classes import Classes
from .form import ResultForm, ResultImage
from .found import FoundObject

_MOST_OF_16_BITS = 2**16 - 1


class LabelImages(ResultForm):
    """``labels/NAME.png`` of 16 bits; of more than 65,535 objects ``labels/NAME.tif`` of 32.

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
        deep = self.is_deep or len(objects) > _MOST_OF_16_BITS
        labels = np.zeros(image.size, np.uint32 if deep else np.uint16)
        lost = np.zeros(3, int)
        for found in objects:
            mask, seen = found.mask, labels[found.window]
            free = mask & (seen == 0)
            seen[free] = found.label
            hidden = int(mask.sum()) - int(free.sum())
            lost += [hidden, hidden > 0, not free.any()]
        ending = ".tif" if deep else ".png"
        with self.replaced(image, ending) as part:
            if deep:
                tifffile.imwrite(part, labels, compression="zlib")
            else:
                write_image(part, labels)
            yield
        self._lost += lost
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

"""Image files of users: which there are, and writing them."""

import os
from collections.abc import Sequence

import cv2
import numpy as np

from ..files import naming

# What is taken for an image in a folder. Pillow and tifffile know hundreds, those of documents,
# films and arrays among them; a file that is given itself may have any ending. Zarr's are folders.
IMAGE_ENDINGS = (
    *(".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".jp2", ".pgm", ".ppm"),
    *(".btf", ".tf8", ".lsm", ".svs", ".scn", ".ndpi", ".qptiff", ".zarr"),
)


def evenly_spread(entries: Sequence, count: int) -> list:
    """``count`` >= 1 of the entries, from the first to the last; all where there are no more."""
    places = np.linspace(0, len(entries) - 1, min(count, len(entries))).round().astype(int)
    return [entries[place] for place in places]


def is_image_name(name: str) -> bool:
    """Whether a file name ends like one of IMAGE_ENDINGS, in any case."""
    return name.lower().endswith(IMAGE_ENDINGS)


def write_image(file: str, image: np.ndarray) -> None:
    """Write an image in the format of the file's ending.

    Args:
        file: in a folder that exists.
        image: (H, W) or (H, W, 3), uint8 or uint16, colours in the order blue, green, red.

    Raises:
        OSError: if it cannot be written, with the file's name.
    """
    # OpenCV's own writer says nothing of a full disk, and leaves an empty file.
    is_done, data = cv2.imencode(os.path.splitext(file)[1], image)
    if not is_done:
        raise OSError(f"cannot write {file}")
    with naming(file), open(file, "wb") as stream:
        stream.write(data)

"""Image files: which there are, and one reader for all."""

from .files import (
    IMAGE_ENDINGS,
    evenly_spread,
    is_image_name,
    write_image,
)
from .intensities import Stretch, to_eight_bit
from .reading import ImageHeader, image_header, image_size, is_plain, read_image, read_labels
from .rules import MAX_PIXELS, PLAIN, ReadingRules
from .windows import ImageWindows
from .zarr_folder import is_zarr

__all__ = [
    "IMAGE_ENDINGS",
    "MAX_PIXELS",
    "PLAIN",
    "ImageHeader",
    "ImageWindows",
    "ReadingRules",
    "Stretch",
    "evenly_spread",
    "image_header",
    "image_size",
    "is_image_name",
    "is_plain",
    "is_zarr",
    "read_image",
    "read_labels",
    "to_eight_bit",
    "write_image",
]

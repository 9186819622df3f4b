"""Image files: which there are, and one reader for all."""

from .files import (
    IMAGE_ENDINGS,
    evenly_spread,
    is_image_name,
    write_image,
)
from .intensities import to_eight_bit
from .reading import image_size, is_plain, read_image, read_labels
from .rules import MAX_PIXELS, PLAIN, ReadingRules

__all__ = [
    "IMAGE_ENDINGS",
    "MAX_PIXELS",
    "PLAIN",
    "ReadingRules",
    "evenly_spread",
    "image_size",
    "is_image_name",
    "is_plain",
    "read_image",
    "read_labels",
    "to_eight_bit",
    "write_image",
]

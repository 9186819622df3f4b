"""Image files: which there are, and one reader for all."""

from .files import (
    IMAGE_ENDINGS,
    evenly_spread,
    is_image_name,
    write_image,
)
from .intensities import to_eight_bit
from .reading import ImageHeader, image_header, image_size, is_plain, read_image, read_labels
from .rules import PLAIN, ReadingRules, add_reading_options, reading_rules
from .source import ImageFileError

__all__ = [
    "IMAGE_ENDINGS",
    "PLAIN",
    "ImageFileError",
    "ImageHeader",
    "ReadingRules",
    "add_reading_options",
    "evenly_spread",
    "image_header",
    "image_size",
    "is_image_name",
    "is_plain",
    "read_image",
    "read_labels",
    "reading_rules",
    "to_eight_bit",
    "write_image",
]

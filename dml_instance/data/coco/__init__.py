"""Files in COCO's format: their check, their registration with Detectron2, and writing them.

How they are read to be split or cut is one of ``forms.readers``, and how results go out one of
``forms.results``.
"""

from .check import CheckedCoco, check_coco, check_parsed, is_coco
from .registration import (
    CocoFile,
    checked_file,
    parse_registration,
    register_checked,
    register_coco,
    register_given,
)
from .writer import CocoWriter, annotation_of, counts_line

__all__ = [
    "CheckedCoco",
    "CocoFile",
    "CocoWriter",
    "annotation_of",
    "check_coco",
    "check_parsed",
    "checked_file",
    "counts_line",
    "is_coco",
    "parse_registration",
    "register_checked",
    "register_coco",
    "register_given",
]

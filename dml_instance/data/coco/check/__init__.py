"""One check of a COCO annotation file: what is wrong is refused by name, what follows is filled in.

``check`` goes through the lists of a file, ``masks`` through one segmentation, ``fields`` reads
single values, and ``findings`` puts into words what was found.
"""

from .check import CheckedCoco, check_coco, check_parsed, is_coco

__all__ = ["CheckedCoco", "check_coco", "check_parsed", "is_coco"]

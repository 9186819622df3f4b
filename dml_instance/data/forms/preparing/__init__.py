"""Annotations of any form to a data set that trains: splits, tiles, and a page to look at."""

from .prepare import prepare
from .splits import SplitRules
from .tiles import LEAST_TILE

__all__ = ["LEAST_TILE", "SplitRules", "prepare"]

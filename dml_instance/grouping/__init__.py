"""From the maps of an image to its instances: NumPy in, NumPy out.

Neither torch nor Detectron2 is imported: ``modeling.grouping`` calls this with the maps of a
network of torch, and ``runtime`` with those of an exported one.
"""

from .at_point import PointChoice, PointGround, PointMask
from .explaining import RULES, SeedAccount, explain, shown
from .grouping import FoundInstances, GroupingSettings, group, group_for_ranking, seeds_of
from .limits import ReachedLimits, limits_of
from .maps import GridMaps
from .rendering import WindowMasks
from .rules import GroupingRules
from .seeds import Seeds, seediness

__all__ = [
    "RULES",
    "FoundInstances",
    "GridMaps",
    "GroupingRules",
    "GroupingSettings",
    "PointChoice",
    "PointGround",
    "PointMask",
    "ReachedLimits",
    "SeedAccount",
    "Seeds",
    "WindowMasks",
    "explain",
    "group",
    "group_for_ranking",
    "limits_of",
    "seediness",
    "seeds_of",
    "shown",
]

"""Inference: from the maps of an image to its instances."""

from .at_point import PointGround, PointMask
from .explaining import RULES, SeedAccount, explain
from .grouping import GROUPING_REGISTRY, InstanceGrouping, build_grouping
from .rules import GroupingRules

__all__ = [
    "GROUPING_REGISTRY",
    "RULES",
    "GroupingRules",
    "InstanceGrouping",
    "PointGround",
    "PointMask",
    "SeedAccount",
    "build_grouping",
    "explain",
]

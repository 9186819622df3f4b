"""Inference: from the maps of an image to its instances."""

from .grouping import GROUPING_REGISTRY, InstanceGrouping, build_grouping
from .rules import GroupingRules

__all__ = ["GROUPING_REGISTRY", "GroupingRules", "InstanceGrouping", "build_grouping"]

"""Inference: from the maps of an image to its instances, as a part of the model."""

from ...grouping import GroupingRules
from .arrays import as_arrays, joined_arrays
from .grouping import GROUPING_REGISTRY, InstanceGrouping, build_grouping, explain
from .probability import class_probability

__all__ = [
    "GROUPING_REGISTRY",
    "GroupingRules",
    "InstanceGrouping",
    "as_arrays",
    "build_grouping",
    "class_probability",
    "explain",
    "joined_arrays",
]

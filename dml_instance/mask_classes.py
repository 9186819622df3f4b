"""Masks that are predicted once for each class that they may be of."""

import torch
from detectron2.structures import Instances
from torch import Tensor


def is_likeliest(instances: Instances) -> Tensor:
    """(N,) bool, which instances are their mask as its likeliest class: the objects, to be drawn or
    written.

    A ``DMLInstance`` says so by a field of this name, see ``InstanceGrouping.forward``; where there
    is no such field, all are.
    """
    if instances.has("is_likeliest"):
        return instances.is_likeliest
    return torch.ones_like(instances.scores, dtype=torch.bool)

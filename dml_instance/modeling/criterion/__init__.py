"""Training: from maps and ground truth to losses."""

from .criterion import CRITERION_REGISTRY, DMLCriterion, build_criterion
from .rules import CriterionRules, MaskLossRules, PairLossRules, SeedLossRules

__all__ = [
    "CRITERION_REGISTRY",
    "CriterionRules",
    "DMLCriterion",
    "MaskLossRules",
    "PairLossRules",
    "SeedLossRules",
    "build_criterion",
]

"""Exported models at work, without torch and Detectron2.

    from dml_instance.runtime import load

    model = load("folder")  # that dml export wrote
    result = model("image.png")

onnxruntime runs the network; the grouping is the one that a model of torch calls.
"""

from .model import ExportedModel, load
from .result import Mask, Result
from .rules import ClassRules, ImageRules, ModelRules, NetworkRules, read_rules, write_rules

__all__ = [
    "ClassRules",
    "ExportedModel",
    "ImageRules",
    "Mask",
    "ModelRules",
    "NetworkRules",
    "Result",
    "load",
    "read_rules",
    "write_rules",
]

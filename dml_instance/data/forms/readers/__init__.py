"""Readers of annotations, a module for each form; all yield images with run-length masks."""

from .drawing import BOX
from .forms import SOURCE_FORMS, read_annotations
from .label_images import INVERTED
from .rules import DEFAULT_CLASS, SourceRules

__all__ = ["BOX", "DEFAULT_CLASS", "INVERTED", "SOURCE_FORMS", "SourceRules", "read_annotations"]

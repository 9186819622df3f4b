"""Readers of annotations, a module for each form; all yield images with run-length masks."""

from .drawing import BOX
from .forms import FORMS, read_annotations
from .rules import SourceRules

__all__ = ["BOX", "FORMS", "SourceRules", "read_annotations"]

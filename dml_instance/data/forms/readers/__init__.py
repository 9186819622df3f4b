"""Readers of annotations, a module for each form; all yield images with run-length masks."""

from .drawing import BOX
from .forms import FORMS, form_of
from .rules import DEFAULT_CLASS, SourceRules

__all__ = ["BOX", "DEFAULT_CLASS", "FORMS", "SourceRules", "form_of"]

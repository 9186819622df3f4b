"""Forms in which results go out: what a model found, written image by image."""

from .form import ResultForm, ResultImage
from .found import FoundObject, found_objects, objects_of
from .table import object_row
from .writer import DEFAULT_FORMS, RESULT_FORMS, ResultWriter, result_files

__all__ = [
    "DEFAULT_FORMS",
    "RESULT_FORMS",
    "FoundObject",
    "ResultForm",
    "ResultImage",
    "ResultWriter",
    "found_objects",
    "object_row",
    "objects_of",
    "result_files",
]

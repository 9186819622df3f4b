"""The forms that annotations come in: which one a folder or file is of, and its reader."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

from ....errors import FileError
from ....images import is_image_name
from ...annotated import AnnotatedImage
from ...coco import is_coco
from ...json_file import JsonFile
from . import coco, cvat, label_images, label_studio, labelme, via, voc_masks, yolo
from .exports import files_below, parsed_json
from .rules import SourceRules

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Form:
    """A form of annotations.

    Attributes:
        title: what people call it.
        read: yields its images; of a form in JSON it takes a file that was parsed before, too.
        options: fields of ``SourceRules`` that it heeds beside the paths.
        has_images_beside: images without annotations lie in one folder with them.
    """

    title: str
    read: Callable[..., Iterator[AnnotatedImage]]
    options: tuple[str, ...] = ()
    has_images_beside: bool = False


SOURCE_FORMS = {
    "labels": Form(
        label_images.FORM,
        label_images.read_label_images,
        ("class_names", "class_table", "number_pieces"),
    ),
    "voc": Form(voc_masks.FORM, voc_masks.read_voc_masks, ("class_table",)),
    "coco": Form(coco.FORM, coco.read_coco),
    "yolo": Form(yolo.FORM, yolo.read_yolo, ("keep_boxes",)),
    "labelme": Form(labelme.FORM, labelme.read_labelme, ("keep_boxes",), has_images_beside=True),
    "cvat": Form(cvat.FORM, cvat.read_cvat, ("keep_boxes",)),
    "via": Form(via.FORM, via.read_via, ("class_names", "class_key", "keep_boxes")),
    "label-studio": Form(
        label_studio.FORM, label_studio.read_label_studio, ("class_names", "keep_boxes")
    ),
}
_OF_JSON = {
    "coco": is_coco,
    "labelme": labelme.is_labelme,
    "label-studio": label_studio.is_label_studio,
    "via": via.is_via,
}
# The options of tools/prepare.py that set fields of SourceRules.
_OPTIONS = {
    "class_names": "--class-name",
    "class_table": "--classes",
    "class_key": "--class-key",
    "number_pieces": "--number-pieces",
    "keep_boxes": "--keep-boxes",
}


def read_annotations(
    rules: SourceRules, name: str | None = None
) -> tuple[Form, Iterator[AnnotatedImage]]:
    """The form of some annotations, and their images, each read when it is asked for.

    A JSON file that tells the form is not parsed again.

    Args:
        rules: where they lie.
        name: a key of SOURCE_FORMS; None: what is found there decides.

    Raises:
        FileError: where no form is found.
        ValueError: for an option that the form has no use for.
    """
    known = None
    if name is None:
        name, known = _detected(rules.labels)
    form = SOURCE_FORMS[name]
    _check_options(form, rules)
    return form, form.read(rules) if known is None else form.read(rules, known)


def _check_options(form: Form, rules: SourceRules) -> None:
    """ValueError for an option that a form has no use for."""
    for field in fields(rules):
        option = _OPTIONS.get(field.name)
        is_set = option and getattr(rules, field.name) != field.default
        if is_set and field.name not in form.options:
            raise ValueError(
                f"{option} is of no use for {form.title}: leave it out, or give another --format"
            )
    if len(rules.class_names) > 1 and form.title != label_images.FORM:
        raise ValueError(f"{form.title} takes one --class-name, for objects that have none")


def _detected(path: str) -> tuple[str, JsonFile | None]:
    """The form of a folder or a file, a key of SOURCE_FORMS, by what it holds, and the JSON file
    that told it; FileError for no form."""
    if os.path.isfile(path) and is_image_name(path):
        return "labels", None
    if voc_masks.voc_folder(path):
        return "voc", None
    if yolo.yolo_file(path):
        return "yolo", None
    if cvat.cvat_files(path):
        return "cvat", None
    if via.is_via_csv(path):
        return "via", None
    broken = []
    for file in files_below(path, ".json"):
        try:
            known = parsed_json(file)
        except FileError as error:
            if os.path.isfile(path):
                raise
            broken.append(error)
            continue
        for name, is_of in _OF_JSON.items():
            if is_of(known.content):
                return name, known
    # Not said before: where the form is one of JSON, its reader has a word on them.
    for error in broken:
        _logger.warning("passed over: %s", error)
    if any(is_image_name(file) for file in files_below(path, "")):
        return "labels", None
    titles = ", ".join(form.title for form in SOURCE_FORMS.values())
    raise FileError(
        f"{path} holds nothing that is known: {titles}. Unpack it where it is an archive, or give "
        "the folder or file of the annotations"
    )

"""The forms that annotations come in: which one a folder or file is of, and its reader."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

from ....images import is_image_name
from ..annotated import AnnotatedImage, FormError
from . import coco, cvat, label_images, label_studio, labelme, via, voc_masks, yolo
from .exports import files_below, parsed_json
from .rules import SourceRules

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Form:
    """A form of annotations.

    Attributes:
        title: what people call it.
        read: yields its images.
        options: fields of ``SourceRules`` that it heeds beside the paths.
        has_images_beside: images without annotations lie in one folder with them.
    """

    title: str
    read: Callable[[SourceRules], Iterator[AnnotatedImage]]
    options: tuple[str, ...] = ()
    has_images_beside: bool = False


FORMS = {
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
    "coco": coco.is_coco,
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


def form_of(rules: SourceRules, name: str | None = None) -> Form:
    """The form of some annotations.

    Args:
        rules: where they lie.
        name: a key of FORMS; None: what is found there decides.

    Raises:
        FormError: where no form is found.
        ValueError: for an option that the form has no use for.
    """
    form = FORMS[name or detected_form(rules.labels)]
    for field in fields(rules):
        option = _OPTIONS.get(field.name)
        is_set = option and getattr(rules, field.name) != field.default
        if is_set and field.name not in form.options:
            raise ValueError(
                f"{option} is of no use for {form.title}: leave it out, or give another --form"
            )
    if len(rules.class_names) > 1 and form.title != label_images.FORM:
        raise ValueError(f"{form.title} takes one --class-name, for objects that have none")
    return form


def detected_form(path: str) -> str:
    """The form, a key of FORMS, of a folder or a file, by what it holds; FormError for none."""
    if os.path.isfile(path) and is_image_name(path):
        return "labels"
    if voc_masks.voc_folder(path):
        return "voc"
    if yolo.yolo_file(path):
        return "yolo"
    if cvat.cvat_files(path):
        return "cvat"
    if via.is_via_csv(path):
        return "via"
    for file in files_below(path, ".json"):
        try:
            content = parsed_json(file)
        except FormError as error:
            if os.path.isfile(path):
                raise
            _logger.warning("passed over: %s", error)
            continue
        for name, is_of in _OF_JSON.items():
            if is_of(content):
                return name
    if any(is_image_name(file) for file in files_below(path, "")):
        return "labels"
    titles = ", ".join(form.title for form in FORMS.values())
    raise FormError(
        f"{path} holds nothing that is known: {titles}. Unpack it where it is an archive, or give "
        "the folder or file of the annotations"
    )

"""What a model finds in images, in the forms that other programs read."""

import os
from collections.abc import Collection, Sequence
from contextlib import ExitStack

from ....files import make_folder
from ....keys.classes import Classes
from ....report import counted
from .coco import Coco
from .form import ResultForm, ResultImage
from .found import FoundObject
from .geojson import GeoJson
from .label_images import DeepLabelImages, LabelImages
from .rois import Rois
from .table import Table

RESULT_FORMS: dict[str, type[ResultForm]] = {
    "labels": LabelImages,
    "labels32": DeepLabelImages,
    "csv": Table,
    "coco": Coco,
    "geojson": GeoJson,
    "rois": Rois,
}
DEFAULT_FORMS = ("labels", "csv", "coco")


def result_files(folder: str, forms: Sequence[str], names: Sequence[str]) -> list[str]:
    """The files that the results of images may go to, but for those that all images share.

    Args:
        folder, forms: as of ``ResultWriter``.
        names: of the images, see ``ResultImage``.
    """
    return [
        os.path.join(folder, RESULT_FORMS[form].target, f"{name}{ending}")
        for form in forms
        for ending in RESULT_FORMS[form].endings
        for name in names
    ]


class ResultWriter:
    """Writes into a folder in several forms. Used in a ``with`` block.

    An image is written in all forms when it is added, and stays, whatever goes wrong later. One
    that cannot be written in one of them is in none, and earlier files of it stay.
    """

    def __init__(
        self,
        folder: str,
        classes: Classes,
        forms: Sequence[str] = DEFAULT_FORMS,
        *,
        replaced: Collection[str] | None = None,
    ):
        """
        Args:
            folder: is made where it does not exist.
            classes: of the model.
            forms: keys of RESULT_FORMS.
            replaced: the images, by ``file_name``, of which earlier results are replaced; None: no
                result is.

        Raises:
            FileExistsError: without ``replaced``, where there are results in one of the forms; with
                it, where a file that all images share has results of others, or is something else;
                or for a file in the place of the folder.
        """
        self._forms = [RESULT_FORMS[form](folder, classes) for form in dict.fromkeys(forms)]
        there = [form for form in self._forms if os.path.exists(form.path)]
        if there and replaced is None:
            raise FileExistsError(
                f"{there[0].path} exists already; give another --output, or --overwrite to replace "
                "results of the same images"
            )
        for form in there:
            _check_replaced(form, replaced)
        make_folder(folder)

    def __enter__(self):
        return self

    def add(self, image: ResultImage, objects: Sequence[FoundObject]) -> None:
        """Write one image; raises OSError where that fails."""
        with ExitStack() as forms:
            for form in self._forms:
                forms.enter_context(form.adding(image, objects))

    @property
    def remarks(self) -> list[str]:
        """On what some form could not hold; what two forms say alike once."""
        return list(dict.fromkeys(form.remark for form in self._forms if form.remark))

    def __exit__(self, *_):
        with ExitStack() as forms:
            for form in self._forms:
                forms.callback(form.close)


def _check_replaced(form: ResultForm, images: Collection[str]) -> None:
    """FileExistsError where a form would take away more than earlier results of some images."""
    cure = "give another --output, or move it elsewhere"
    try:
        others = sorted(form.images_there().difference(images))
    except ValueError as error:
        raise FileExistsError(f"{error}, and would be replaced: {cure}") from error
    if others:
        raise FileExistsError(
            f"{form.path} has results of {counted(len(others), 'image')} not given now "
            f"({', '.join(others[:3])}{' ...' if len(others) > 3 else ''}), and would lose them: "
            f"{cure}"
        )

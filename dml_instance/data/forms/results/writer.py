"""What a model finds in images, in the forms that other programs read."""

import os
from collections.abc import Sequence

from ....keys.classes import Classes
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

    An image is written in all forms when it is added, and stays, whatever goes wrong later.
    """

    def __init__(
        self,
        folder: str,
        classes: Classes,
        forms: Sequence[str] = DEFAULT_FORMS,
        *,
        overwrite: bool = False,
    ):
        """
        Args:
            folder: is made where it does not exist.
            classes: of the model.
            forms: keys of RESULT_FORMS.
            overwrite: files of the same name are replaced.

        Raises:
            FileExistsError: without ``overwrite``, where there are results in one of the forms; or
                for a file in the place of the folder.
        """
        self._forms = [RESULT_FORMS[form](folder, classes) for form in dict.fromkeys(forms)]
        there = [form.path for form in self._forms if os.path.exists(form.path)]
        if there and not overwrite:
            raise FileExistsError(
                f"{there[0]} exists already; give another --output, or --overwrite to replace "
                "results of the same name"
            )
        os.makedirs(folder, exist_ok=True)

    def __enter__(self):
        return self

    def add(self, image: ResultImage, objects: Sequence[FoundObject]) -> None:
        """Write one image; raises OSError where that fails."""
        for form in self._forms:
            form.add(image, objects)

    @property
    def remarks(self) -> list[str]:
        """On what some form could not hold; what two forms say alike once."""
        return list(dict.fromkeys(form.remark for form in self._forms if form.remark))

    def __exit__(self, *_):
        for form in self._forms:
            form.close()

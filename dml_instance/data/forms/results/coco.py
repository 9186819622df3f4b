"""COCO's format."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from ....files import GrowingFile
from ....keys.classes import Classes
from ...coco import annotation_of
from .form import ResultForm, ResultImage
from .found import FoundObject

# The list of images stands at the end, so that each addition writes all of it. Of N images at most
# N / _SHARE wait for that, and what is written grows as N and not as its square.
_SHARE = 64


class Coco(ResultForm):
    """``instances.json``: images, objects with masks (RLE) and scores, and categories.

    Categories have the ids of the training data. The file is complete at any time; each of the
    first 64 images is in it when it is added, later ones at the latest when they are a 64th of all,
    or at the end.
    """

    target = "instances.json"

    def __init__(self, folder: str, classes: Classes):
        super().__init__(folder, classes)
        self._images: list[str] = []
        self._count = self._written = 0
        self._waiting: list[str] = []

    @contextmanager
    def adding(self, image: ResultImage, objects: Sequence[FoundObject]) -> Iterator[None]:
        height, width = image.size
        image_id = len(self._images) + 1
        entry = {"id": image_id, "file_name": image.file_name, "height": height, "width": width}
        annotations = [
            json.dumps(self._annotation(image, image_id, number, found))
            for number, found in enumerate(objects, self._count + 1)
        ]
        images, waiting = [*self._images, json.dumps(entry)], [*self._waiting, *annotations]
        if len(images) - self._written > self._written // _SHARE:
            with self._writing(images, waiting):
                yield
            self._written, waiting = len(images), []
        else:
            yield
        self._images, self._waiting = images, waiting
        self._count += len(annotations)

    def close(self) -> None:
        if len(self._images) > self._written:
            with self._writing(self._images, self._waiting):
                self._written = len(self._images)
        super().close()

    def images_there(self) -> set[str]:
        try:
            with open(self.path, encoding="utf-8") as file:
                return {image["file_name"] for image in json.load(file)["images"]}
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{self.path} is not in COCO's format") from error

    def _writing(
        self, images: Sequence[str], annotations: Sequence[str]
    ) -> AbstractContextManager[None]:
        self.file = self.file or GrowingFile(self.path, self._head())
        is_first = self._count == len(self._waiting)
        between = "" if is_first or not annotations else ",\n"
        return self.file.adding(
            between + ",\n".join(annotations), '\n],\n"images": [\n' + ",\n".join(images) + "\n]}\n"
        )

    def _head(self) -> str:
        pairs = zip(self.classes.category_ids, self.classes.names, strict=True)
        categories = [{"id": identity, "name": name} for identity, name in pairs]
        return f'{{"categories": {json.dumps(categories)},\n"annotations": [\n'

    def _annotation(
        self, image: ResultImage, image_id: int, number: int, found: FoundObject
    ) -> dict:
        category_id = self.classes.category_ids[found.class_index]
        return {
            "id": number,
            "image_id": image_id,
            **annotation_of(found.mask, category_id, found.corner, image.size),
            "score": round(found.score, 4),
        }

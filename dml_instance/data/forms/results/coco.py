"""COCO's format."""

import json
from collections.abc import Sequence

from ....files import GrowingFile
from ....rle import encoded_part
from .form import ResultForm, ResultImage
from .found import FoundObject


class Coco(ResultForm):
    """``instances.json``: images, objects with masks (RLE) and scores, and categories.

    Categories have the ids of the training data. The file is complete after each image; the list of
    images comes last and is written anew each time.
    """

    target = "instances.json"

    def __init__(self, folder, classes):
        super().__init__(folder, classes)
        self._images: list[str] = []
        self._count = 0

    def add(self, image: ResultImage, objects: Sequence[FoundObject]) -> None:
        height, width = image.size
        image_id = len(self._images) + 1
        entry = {"id": image_id, "file_name": image.file_name, "height": height, "width": width}
        annotations = [
            json.dumps(self._annotation(image, image_id, number, found))
            for number, found in enumerate(objects, self._count + 1)
        ]
        images = [*self._images, json.dumps(entry)]
        self.file = self.file or GrowingFile(self.path, self._head())
        between = ",\n" if self._count and annotations else ""
        self.file.add(
            between + ",\n".join(annotations), '\n],\n"images": [\n' + ",\n".join(images) + "\n]}\n"
        )
        self._images, self._count = images, self._count + len(annotations)

    def _head(self) -> str:
        pairs = zip(self.classes.category_ids, self.classes.names, strict=True)
        categories = [{"id": identity, "name": name} for identity, name in pairs]
        return f'{{"categories": {json.dumps(categories)},\n"annotations": [\n'

    def _annotation(
        self, image: ResultImage, image_id: int, number: int, found: FoundObject
    ) -> dict:
        mask, (top, left) = found.mask, found.corner
        return {
            "id": number,
            "image_id": image_id,
            "category_id": self.classes.category_ids[found.class_index],
            "segmentation": encoded_part(mask, found.corner, image.size),
            "bbox": [float(length) for length in (left, top, *mask.shape[::-1])],
            "area": int(mask.sum()),
            "iscrowd": 0,
            "score": round(found.score, 4),
        }

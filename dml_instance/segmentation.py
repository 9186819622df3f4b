"""What a model finds in an image: its objects, as arrays, as a table, as files, as a picture.

Shapes: H x W pixels of the image, N objects.
"""

import base64
import html
import math
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .data.forms.results import (
    DEFAULT_FORMS,
    RESULT_FORMS,
    FoundObject,
    ResultImage,
    ResultWriter,
    object_row,
)
from .files import replacing
from .images import write_image
from .keys.classes import Classes
from .visualization import draw_masks

# The form that a file of this ending is written in.
_FORM_OF_ENDING = {
    ".png": "labels",
    ".tif": "labels32",
    ".tiff": "labels32",
    ".csv": "csv",
    ".json": "coco",
    ".geojson": "geojson",
    ".zip": "rois",
}
# Of a picture in a notebook, in pixels: its side, and what an object needs for its name.
_LARGEST_SIDE = 1024
_ROOM_FOR_A_NAME = 100 * 100


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The objects of one image, best score first.

    Masks are kept in the windows that they fill: memory goes with the area of the objects.

    Attributes:
        image: (H, W, 3) uint8, red, green and blue.
        objects: each with ``label`` (from 1 on), ``class_index``, ``score``, ``window`` (rows and
            columns), ``mask`` (h, w) bool in the window, and ``outline``, a shapely polygon.
        model_classes: the K classes of the model: ``names``, and ``category_ids`` for COCO files.
        name: of the image's file, in tables and COCO files.

    Example:
        Three discs, drawn:

        >>> import cv2
        >>> import numpy as np
        >>> import dml_instance
        >>> image = np.zeros((96, 128), np.uint8)
        >>> for centre in (30, 30), (70, 60), (100, 25):
        ...     _ = cv2.circle(image, centre, 10, 200, -1)
        >>> result = dml_instance.load("nuclei", device="cpu")(image)
        >>> len(result)
        3
    """

    image: np.ndarray
    objects: tuple[FoundObject, ...]
    model_classes: Classes
    name: str = "image.png"

    def __len__(self) -> int:
        return len(self.objects)

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"Segmentation({len(self)} objects in {height} x {width} pixels: {self._counts()})"

    @property
    def labels(self) -> np.ndarray:
        """(H, W) int32: 0 is background, 1 ... N the objects; where two overlap, the better one.

        >>> result.labels.shape, np.unique(result.labels).tolist()
        ((96, 128), [0, 1, 2, 3])
        """
        labels = np.zeros(self.image.shape[:2], np.int32)
        for found in reversed(self.objects):
            labels[found.window][found.mask] = found.label
        return labels

    @property
    def masks(self) -> np.ndarray:
        """(N, H, W) bool. Takes N x H x W bytes: ``objects`` has each mask in its own window.

        >>> result.masks.shape
        (3, 96, 128)
        """
        if not self.objects:
            return np.zeros((0, *self.image.shape[:2]), bool)
        return np.stack([self._whole(found) for found in self.objects])

    @property
    def scores(self) -> np.ndarray:
        """(N,) float32 in [0, 1], falling.

        >>> bool((result.scores > 0.5).all())
        True
        """
        return np.array([found.score for found in self.objects], np.float32)

    @property
    def classes(self) -> list[str]:
        """(N,) names.

        >>> result.classes
        ['nucleus', 'nucleus', 'nucleus']
        """
        return [self.model_classes.names[found.class_index] for found in self.objects]

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) int64: left, top, right, bottom in pixels, the last two beyond the mask.

        >>> widths = result.boxes[:, 2] - result.boxes[:, 0]
        >>> bool((abs(widths - 20) <= 3).all())
        True
        """
        windows = (found.window for found in self.objects)
        boxes = [(c.start, r.start, c.stop, r.stop) for r, c in windows]
        return np.array(boxes, np.int64).reshape(-1, 4)

    def table(self) -> list[dict]:
        """A row for each object, with the columns of ``objects.csv``; pandas takes it as it is.

        >>> [(row["label"], row["class"]) for row in result.table()]
        [(1, 'nucleus'), (2, 'nucleus'), (3, 'nucleus')]
        """
        image = self._result_image()
        return [object_row(image, found, self.model_classes) for found in self.objects]

    def save(
        self, path: str, forms: Sequence[str] = DEFAULT_FORMS, *, overwrite: bool = False
    ) -> None:
        """Write the objects into a file, whose ending says in which form, or into a folder.

        A file with the ending png is a label image of 16 bits, tif one of 32, csv a table, json in
        COCO's format, geojson outlines for QuPath, zip regions for ImageJ. It is replaced.

        Args:
            path: of the file; without ending, of the folder.
            forms: that are written into a folder, as by ``dml segment --format``.
            overwrite: results of an image of this name in the folder are replaced.

        Raises:
            ValueError: for another ending, or more objects than 16 bits can number.
            FileExistsError: for results in the folder, without ``overwrite``; with it, for a file
                that has those of other images, too.

        Example:
            >>> result.save("found.geojson")
            >>> result.save("found", ["csv"])
        """
        ending = os.path.splitext(path)[1].lower()
        if not ending:
            self._write(path, forms, overwrite)
            return
        if ending not in _FORM_OF_ENDING:
            raise ValueError(f"{path}: one of {', '.join(_FORM_OF_ENDING)} says the form")
        parent = os.path.dirname(os.path.abspath(path))
        os.makedirs(parent, exist_ok=True)
        form = _FORM_OF_ENDING[ending]
        with tempfile.TemporaryDirectory(dir=parent, prefix=".dml-") as folder:
            self._write(folder, [form], True)
            (written,) = (file for file in Path(folder).rglob("*") if file.is_file())
            if ending == ".png" and written.suffix != ".png":
                raise ValueError(f"{path}: {len(self)} objects want 32 bits; save them as .tif")
            os.replace(written, path)

    def plot(self, path: str | None = None, *, names: bool = True) -> np.ndarray:
        """The image with its objects, drawn by Detectron2's ``Visualizer``.

        Args:
            path: of a PNG or JPEG to write, too.
            names: class and score stand at each object.

        Returns:
            (H, W, 3) uint8, red, green and blue.

        Raises:
            OSError: if the picture cannot be written.

        Example:
            >>> result.plot("found.png").shape
            (96, 128, 3)
        """
        texts = [f"{n} {s:.0%}" for n, s in zip(self.classes, self.scores, strict=True)]
        picture = draw_masks(
            self.image, map(self._whole, self.objects), texts=texts if names else None
        )
        if path is not None:
            with replacing(path) as part:
                write_image(part, picture[..., ::-1])
        return picture

    def _repr_html_(self) -> str:
        has_room = len(self) * _ROOM_FOR_A_NAME <= math.prod(self.image.shape[:2])
        picture = self.plot(names=has_room)
        scale = min(_LARGEST_SIDE / max(picture.shape[:2]), 1.0)
        if scale < 1:
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        _, png = cv2.imencode(".png", picture[..., ::-1])
        data = base64.b64encode(png.tobytes()).decode()
        counts = html.escape(self._counts())
        return f'<img src="data:image/png;base64,{data}"><p>{len(self)} objects: {counts}</p>'

    def _whole(self, found: FoundObject) -> np.ndarray:
        """(H, W) bool."""
        mask = np.zeros(self.image.shape[:2], bool)
        mask[found.window] = found.mask
        return mask

    def _counts(self) -> str:
        counts = Counter(self.classes).most_common()
        return ", ".join(f"{count} {name}" for name, count in counts) or "none"

    def _result_image(self) -> ResultImage:
        stem = os.path.splitext(os.path.basename(self.name))[0]
        return ResultImage(stem, os.path.basename(self.name), self.image.shape[:2])

    def _write(self, folder: str, forms: Sequence[str], overwrite: bool) -> None:
        unknown = sorted(set(forms) - set(RESULT_FORMS))
        if unknown:
            raise ValueError(f"forms are {', '.join(RESULT_FORMS)}, not {', '.join(unknown)}")
        image = self._result_image()
        replaced = [image.file_name] if overwrite else None
        with ResultWriter(folder, self.model_classes, forms, replaced=replaced) as writer:
            writer.add(image, self.objects)

"""Images and masks of any source, written as a data set in COCO format."""

import contextlib
import json
import os
from collections.abc import Iterable

import numpy as np
from pycocotools import mask as coco_mask

from ...files import replacing_folder
from ...rle import encoded, encoded_part
from ..images import write_image


def annotation_of(
    mask: np.ndarray,
    category_id: int,
    corner: tuple[int, int] = (0, 0),
    size: tuple[int, int] | None = None,
) -> dict:
    """COCO annotation of one object, without ids.

    Args:
        mask: (h, w) bool, not empty: the part of the image that holds the object.
        category_id: of the object.
        corner: row and column of the part's first pixel in the image.
        size: (H, W) of the image; None: the mask is of the whole image.
    """
    segmentation = encoded(mask) if size is None else encoded_part(mask, corner, size)
    return {
        "category_id": category_id,
        "segmentation": segmentation,
        "bbox": [float(value) for value in coco_mask.toBbox(segmentation)],
        "area": int(mask.sum()),
        "iscrowd": 0,
    }


def counts_line(counts: dict[str, int], root: str) -> str:
    """Number of images of each split, for the user of a converter."""
    return f"{', '.join(f'{count} {split}' for split, count in counts.items())} images in {root}"


def instance_annotations(
    masks: Iterable[np.ndarray], size: tuple[int, int], name: str
) -> list[dict]:
    """COCO annotations of one image, without ids, all of category 1.

    A pixel in two masks stays with the first: objects of one plane do not overlap.

    Args:
        masks: (H, W) each, non-zero inside.
        size: (H, W) of the image.
        name: of the image, for errors.

    Raises:
        ValueError: for a mask of another size than the image.
    """
    annotations = []
    taken = np.zeros(size, dtype=bool)
    for mask in masks:
        if mask.shape != size:
            raise ValueError(
                f"image {name} is {size}, but one of its masks is {mask.shape} (height, width)"
            )
        mask = (mask > 0) & ~taken
        if not mask.any():
            continue
        taken |= mask
        annotations.append(annotation_of(mask, 1))
    return annotations


class CocoWriter:
    """Writes ``root/images/NAME.png`` and ``root/annotations/instances_SPLIT.json``.

    Objects are of one class. Used in a ``with`` block: everything is written into a folder beside
    ``root`` and moved there at the end, if no error occurred.
    """

    def __init__(self, root: str, class_name: str):
        """
        Args:
            root: folder to write.
            class_name: of all objects.

        Raises:
            FileExistsError: if ``root`` exists.
        """
        if os.path.exists(root):
            raise FileExistsError(f"{root} exists already; remove it or choose another folder")
        self._root = root
        self._class_name = class_name
        self._splits: dict[str, dict] = {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._part = stack.enter_context(replacing_folder(self._root))
            os.mkdir(os.path.join(self._part, "images"))
            os.mkdir(os.path.join(self._part, "annotations"))
            stack.push(self._write_annotations)
            self._at_exit = stack.pop_all()
        return self

    def start_split(self, split: str, description: str) -> None:
        """A split that is to be written, even if it stays empty."""
        self._splits[split] = {
            "info": {"description": description},
            "images": [],
            "annotations": [],
            "categories": [{"id": 1, "name": self._class_name}],
        }

    def add(self, split: str, name: str, image: np.ndarray, masks: Iterable[np.ndarray]) -> None:
        """Write one image and note its objects.

        Args:
            split: started before.
            name: of the image, without ending; of each image its own.
            image: (H, W, 3) uint8, BGR.
            masks: of its objects, see ``instance_annotations``.

        Raises:
            ValueError: see ``instance_annotations``; OSError: if the image cannot be written.
        """
        size = image.shape[:2]
        file_name = f"{name}.png"
        annotations = instance_annotations(masks, size, name)
        write_image(os.path.join(self._part, "images", file_name), image)
        image_id = sum(self.counts().values()) + 1
        target = self._splits[split]
        target["images"].append(
            {"id": image_id, "file_name": file_name, "height": size[0], "width": size[1]}
        )
        for annotation in annotations:
            target["annotations"].append(
                {"id": len(target["annotations"]) + 1, "image_id": image_id, **annotation}
            )

    def counts(self) -> dict[str, int]:
        """Number of images of each split so far."""
        return {split: len(content["images"]) for split, content in self._splits.items()}

    def _write_annotations(self, kind, error, trace) -> None:
        """The end of the block, before the folder is moved."""
        if kind is not None:
            return
        for split, content in self._splits.items():
            path = os.path.join(self._part, "annotations", f"instances_{split}.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(content, file)

    def __exit__(self, kind, error, trace):
        return self._at_exit.__exit__(kind, error, trace)

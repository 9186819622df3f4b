"""Images and their objects, written as a data set in COCO's format."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from ...files import naming, replacing_folder
from ...images import write_image
from ...rle import encoded, encoded_part
from ..annotated import AnnotatedObject


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
    rle = encoded(mask) if size is None else encoded_part(mask, corner, size)
    return annotation_of_rle(rle, category_id)


def annotation_of_rle(rle: dict, category_id: int, is_crowd: bool = False) -> dict:
    """The same of a compressed RLE."""
    return {
        "category_id": category_id,
        "segmentation": rle,
        "bbox": [float(value) for value in coco_mask.toBbox(rle)],
        "area": int(coco_mask.area(rle)),
        "iscrowd": int(is_crowd),
    }


def counts_line(counts: dict[str, int], root: str) -> str:
    """Number of images of each split, for the user of a converter."""
    return f"{', '.join(f'{count} {split}' for split, count in counts.items())} images in {root}"


class CocoWriter:
    """Writes ``root/images/NAME.png``, or a copy of an image file with its own ending, and
    ``root/annotations/instances_SPLIT.json``.

    Used in a ``with`` block: everything is written into a folder beside ``root`` and moved there at
    the end, if no error occurred.

    Attributes:
        folder: that is written to inside the block.
    """

    def __init__(self, root: str, class_names: Sequence[str]):
        """
        Args:
            root: folder to write.
            class_names: of all objects; their ids count from 1.

        Raises:
            FileExistsError: if ``root`` exists.
        """
        if os.path.lexists(root):
            raise FileExistsError(f"{root} exists already; remove it or choose another folder")
        self._root = root
        self._category_ids = {name: number for number, name in enumerate(class_names, start=1)}
        self._splits: dict[str, dict] = {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.folder = stack.enter_context(replacing_folder(self._root))
            os.mkdir(os.path.join(self.folder, "images"))
            os.mkdir(os.path.join(self.folder, "annotations"))
            stack.push(self._write_annotations)
            self._at_exit = stack.pop_all()
        return self

    def start_split(self, split: str, description: str) -> None:
        """A split that is to be written, even if it stays empty."""
        self._splits[split] = {
            "info": {"description": description},
            "images": [],
            "annotations": [],
            "categories": [{"id": id, "name": name} for name, id in self._category_ids.items()],
        }

    def add(
        self,
        split: str,
        name: str,
        image: np.ndarray | str,
        size: tuple[int, int],
        objects: Iterable[AnnotatedObject],
    ) -> None:
        """Write one image and note its objects.

        Args:
            split: started before.
            name: of the image, without ending, maybe with folders; of each image its own.
            image: (H, W, 3) uint8, BGR, which becomes a PNG; or a file, which is copied as it is.
            size: (H, W) of it.
            objects: of it, with masks of that size.

        Raises:
            OSError: if the image cannot be written.
        """
        is_file = isinstance(image, str)
        file_name = name + (os.path.splitext(image)[1].lower() if is_file else ".png")
        path = os.path.join(self.folder, "images", file_name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if is_file:
            shutil.copyfile(image, path)
        else:
            write_image(path, image)
        image_id = sum(self.counts().values()) + 1
        target = self._splits[split]
        target["images"].append(
            {"id": image_id, "file_name": file_name, "height": size[0], "width": size[1]}
        )
        for item in objects:
            category_id = self._category_ids[item.class_name] if item.class_name else 1
            target["annotations"].append(
                {
                    "id": len(target["annotations"]) + 1,
                    "image_id": image_id,
                    **annotation_of_rle(item.mask, category_id, item.is_crowd),
                }
            )

    def counts(self) -> dict[str, int]:
        """Number of images of each split so far."""
        return {split: len(content["images"]) for split, content in self._splits.items()}

    def _write_annotations(self, kind, error, trace) -> None:
        """The end of the block, before the folder is moved."""
        if kind is not None:
            return
        for split, content in self._splits.items():
            path = os.path.join(self.folder, "annotations", f"instances_{split}.json")
            with naming(path), open(path, "w", encoding="utf-8") as file:
                # Not dump, which takes five times as long.
                file.write(json.dumps(content))

    def __exit__(self, kind, error, trace):
        return self._at_exit.__exit__(kind, error, trace)

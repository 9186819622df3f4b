"""A few drawn images, as data sets of every kind of evaluator, and what a model finds in them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances
from PIL import Image
from torch import nn

from dml_instance.rle import encoded

# Two that Cityscapes scores, with its numbers of them.
CLASSES = {"person": 24, "car": 26}
# Those of dml_instance.engine.evaluators.
EVALUATORS = ("coco", "voc_instance", "pascal_voc", "cityscapes_instance")
_HEIGHT, _WIDTH = 64, 96


def drawn_masks(number: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) bool masks of ellipses that do not overlap, and (N,) classes, of one image; every
    fourth has none."""
    rng = np.random.default_rng(number)
    masks, taken = [], np.zeros((_HEIGHT, _WIDTH), np.uint8)
    for _ in range(0 if number % 4 == 3 else 4):
        mask = np.zeros_like(taken)
        place = rng.integers((10, 10), (_WIDTH - 10, _HEIGHT - 10))
        axes = rng.integers(5, 16, 2)
        cv2.ellipse(mask, place.tolist(), axes.tolist(), int(rng.integers(180)), 0, 360, 1, -1)
        if not (mask & taken).any():
            masks.append(mask.astype(bool))
            taken |= mask
    masks = np.array(masks).reshape(-1, _HEIGHT, _WIDTH)
    return masks, rng.integers(0, len(CLASSES), len(masks))


def drawn_image(number: int) -> np.ndarray:
    """(H, W, 3) uint8: its objects, brighter than a noisy ground."""
    masks, classes = drawn_masks(number)
    image = np.random.default_rng(number).normal(60, 8, (_HEIGHT, _WIDTH, 3))
    for mask, index in zip(masks, classes, strict=True):
        image[mask, index] += 110
    return image.clip(0, 255).astype(np.uint8)


def training_input(number: int) -> dict:
    """An image and its objects, as a mapper gives them."""
    masks, classes = drawn_masks(number)
    instances = Instances((_HEIGHT, _WIDTH))
    instances.gt_masks = BitMasks(torch.from_numpy(masks))
    instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
    instances.gt_classes = torch.from_numpy(classes)
    image = torch.from_numpy(drawn_image(number).transpose(2, 0, 1).copy())
    return {"image": image, "instances": instances, "height": _HEIGHT, "width": _WIDTH}


def write_files(folder: str, count: int) -> None:
    """Images, boxes as in Pascal VOC, and masks as in Cityscapes."""
    lists = os.path.join(folder, "ImageSets", "Main")
    truth = os.path.join(folder, "gtFine", "town")
    for path in (lists, truth, os.path.join(folder, "Annotations")):
        os.makedirs(path, exist_ok=True)
    for number in range(count):
        name, (masks, classes) = _name(number), drawn_masks(number)
        cv2.imwrite(_image_file(folder, number), drawn_image(number)[:, :, ::-1])
        ids, entries = np.zeros((_HEIGHT, _WIDTH), np.uint16), []
        for index, (mask, class_index) in enumerate(zip(masks, classes, strict=True)):
            class_name = list(CLASSES)[class_index]
            ids[mask] = 1000 * CLASSES[class_name] + index
            x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
            corners = {"xmin": x + 1, "ymin": y + 1, "xmax": x + width, "ymax": y + height}
            box = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
            entries.append(
                f"<object><name>{class_name}</name><pose>Unspecified</pose><truncated>0</truncated>"
                f"<difficult>0</difficult><bndbox>{box}</bndbox></object>"
            )
        Image.fromarray(ids).save(os.path.join(truth, f"{name}_gtFine_instanceIds.png"))
        with open(os.path.join(folder, "Annotations", f"{name}.xml"), "w") as file:
            file.write(f"<annotation>{''.join(entries)}</annotation>")
    with open(os.path.join(lists, "val.txt"), "w") as file:
        file.writelines(f"{_name(number)}\n" for number in range(count))


def _name(number: int) -> str:
    # As Cityscapes has them: its evaluator finds the image by the three parts.
    return f"town_{number:06d}_000019"


def _image_file(folder: str, number: int) -> str:
    return os.path.join(folder, f"{_name(number)}_leftImg8bit.png")


@contextmanager
def data_set(folder: str, count: int, evaluator: str) -> Iterator[str]:
    """The images that ``write_files`` wrote as a data set of a kind of evaluator, forgotten after
    the ``with`` block."""
    name = f"drawn_{evaluator}_{count}"
    DatasetCatalog.register(name, lambda: [_record(folder, number) for number in range(count)])
    MetadataCatalog.get(name).set(
        thing_classes=list(CLASSES),
        evaluator_type=evaluator,
        dirname=folder,
        split="val",
        year=2012,
        gt_dir=os.path.join(folder, "gtFine"),
    )
    try:
        yield name
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def _record(folder: str, number: int) -> dict:
    masks, classes = drawn_masks(number)
    boxes = BitMasks(torch.from_numpy(masks)).get_bounding_boxes().tensor.tolist()
    return {
        "file_name": _image_file(folder, number),
        # Pascal VOC's boxes are found by it.
        "image_id": _name(number),
        "height": _HEIGHT,
        "width": _WIDTH,
        "annotations": [
            {
                "segmentation": encoded(mask),
                "category_id": int(index),
                "bbox": box,
                "bbox_mode": BoxMode.XYXY_ABS,
                "iscrowd": 0,
            }
            for mask, index, box in zip(masks, classes, boxes, strict=True)
        ],
    }


class Finder(nn.Module):
    """A model that finds most of the drawn objects, a little aside, and some that are not there;
    many scores are equal, so that the order of predictions decides where it can."""

    def __init__(self, blind: int):
        """
        Args:
            blind: in so many first images it finds nothing.
        """
        super().__init__()
        self._blind = blind

    def forward(self, batched_inputs: list[dict]) -> list[dict]:
        return [self._found(int(x["image_id"].split("_")[1])) for x in batched_inputs]

    def _found(self, number: int) -> dict:
        rng = np.random.default_rng(1000 + number)
        masks, classes = drawn_masks(number)
        masks = [np.roll(mask, rng.integers(-2, 3, 2), (0, 1)) for mask in masks]
        masks += [np.roll(mask, (20, 30), (0, 1)) for mask in masks[:2]]
        classes = [*classes, *classes[:2]]
        order = rng.permutation(len(masks))[: len(masks) - 1] if number >= self._blind else []
        found = np.array([masks[i] for i in order], bool).reshape(-1, _HEIGHT, _WIDTH)
        instances = Instances((_HEIGHT, _WIDTH))
        instances.pred_masks = torch.from_numpy(found)
        boxes = BitMasks(instances.pred_masks).get_bounding_boxes().tensor
        instances.pred_boxes = Boxes(boxes)
        instances.scores = torch.from_numpy(rng.integers(1, 6, len(found)) / 5)
        instances.pred_classes = torch.tensor([int(classes[i]) for i in order], dtype=torch.int64)
        return {"instances": instances}

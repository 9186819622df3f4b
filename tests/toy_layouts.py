"""Toy scenes written in the official layouts of Pascal VOC, SBD and Cityscapes."""

import json

import cv2
import numpy as np
from detectron2.data.datasets.pascal_voc import CLASS_NAMES as VOC_CLASSES
from PIL import Image
from scipy.io import savemat

BORDER = 255


def _numbered(masks, numbers, border):
    """Objects as numbers on one map, each with a border of 255 drawn on its rim."""
    picture = np.zeros(masks.shape[1:], np.uint8)
    for mask, number in zip(masks, numbers, strict=True):
        picture[mask] = number
    for mask in masks if border else ():
        rim = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        picture[rim > 0] = BORDER
    return picture


def write_palette_png(path, values):
    """(H, W) uint8 as a palette image, as VOC's masks are."""
    image = Image.fromarray(values).convert("P")
    image.putdata(values.flatten().tolist())
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write_voc(root, scenes, splits):
    """VOCdevkit/VOC2012 of scenes {name: (image, masks, classes)} and splits {split: names}."""
    folder = root / "VOCdevkit" / "VOC2012"
    for part in ("JPEGImages", "Annotations", "ImageSets/Main", "ImageSets/Segmentation"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, (image, masks, classes) in scenes.items():
        cv2.imwrite(str(folder / "JPEGImages" / f"{name}.jpg"), image[:, :, ::-1])
        numbers = range(1, len(masks) + 1)
        write_palette_png(
            folder / "SegmentationObject" / f"{name}.png", _numbered(masks, numbers, True)
        )
        write_palette_png(
            folder / "SegmentationClass" / f"{name}.png",
            _numbered(masks, np.array(classes) + 1, True),
        )
        (folder / "Annotations" / f"{name}.xml").write_text(_boxes_xml(masks, classes))
    for split, names in splits.items():
        (folder / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(
            "".join(f"{name}\n" for name in names)
        )
    return folder


def _boxes_xml(masks, classes):
    entries = []
    for mask, class_index in zip(masks, classes, strict=True):
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        corners = {
            "xmin": x + 1,
            "ymin": y + 1,
            "xmax": x + width,
            "ymax": y + height,
        }  # VOC counts from 1
        box = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
        entries.append(
            f"<object><name>{VOC_CLASSES[class_index]}</name><pose>Unspecified</pose>"
            f"<truncated>0</truncated><difficult>0</difficult><bndbox>{box}</bndbox></object>"
        )
    return f"<annotation>{''.join(entries)}</annotation>"


def write_sbd(root, scenes, splits):
    """benchmark_RELEASE/dataset of scenes, as ``write_voc``."""
    folder = root / "benchmark_RELEASE" / "dataset"
    for part in ("img", "inst", "cls"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, (image, masks, classes) in scenes.items():
        cv2.imwrite(str(folder / "img" / f"{name}.jpg"), image[:, :, ::-1])
        of_class = np.array(classes, dtype=np.uint8) + 1
        objects = _numbered(masks, range(1, len(masks) + 1), False)
        categories = of_class.reshape(-1, 1)
        savemat(
            folder / "inst" / f"{name}.mat",
            {"GTinst": {"Segmentation": objects, "Categories": categories}},
        )
        savemat(
            folder / "cls" / f"{name}.mat",
            {
                "GTcls": {
                    "Segmentation": _numbered(masks, of_class, False),
                    "CategoriesPresent": categories,
                }
            },
        )
    for split, names in splits.items():
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return folder


def write_cityscapes(root, scenes, split, labels):
    """cityscapes/leftImg8bit and gtFine of scenes (image, masks, classes); class i is labels[i]."""
    from cityscapesscripts.helpers.labels import name2label

    images, truth = (
        root / "cityscapes" / part / split / "toytown" for part in ("leftImg8bit", "gtFine")
    )
    images.mkdir(parents=True)
    truth.mkdir(parents=True)
    for index, (image, masks, classes) in enumerate(scenes):
        stem = f"toytown_{index:06d}_000019"
        cv2.imwrite(str(images / f"{stem}_leftImg8bit.png"), image[:, :, ::-1])
        objects, ids = [], np.zeros(image.shape[:2], np.uint16)
        kinds = np.zeros(image.shape[:2], np.uint8)
        for number, (mask, class_index) in enumerate(zip(masks, classes, strict=True)):
            contours, _ = cv2.findContours(
                mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            objects.append({"label": labels[class_index], "polygon": contours[0][:, 0].tolist()})
            label = name2label[labels[class_index]].id
            ids[mask], kinds[mask] = label * 1000 + number, label
        height, width = image.shape[:2]
        content = {"imgHeight": height, "imgWidth": width, "objects": objects}
        (truth / f"{stem}_gtFine_polygons.json").write_text(json.dumps(content))
        Image.fromarray(ids).save(truth / f"{stem}_gtFine_instanceIds.png")
        Image.fromarray(kinds).save(truth / f"{stem}_gtFine_labelIds.png")

"""DSB2018 stage 1 (nuclei in microscopy, BBBC038, CC0) from its public zip file to COCO format.

The zip holds ``ID/images/ID.png`` and ``ID/masks/*.png``, one file a nucleus.
"""

import json
import os
import pathlib
import shutil
import zipfile
from collections import defaultdict

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

# Ids are cut to this many hexadecimal digits, which still tell all images apart.
_NAME_LENGTH = 16


def read_split() -> dict[str, str]:
    """Image name (16 hexadecimal digits) to "train" or "val", as this project's figures use them."""
    path = pathlib.Path(__file__).with_name("dsb2018_split.txt")
    rows = (line.split() for line in path.read_text().splitlines() if not line.startswith("#"))
    return {name: split for split, name in rows}


def instance_annotations(masks: list[np.ndarray], size: tuple[int, int], name: str) -> list[dict]:
    """COCO annotations of one image, without ids.

    A pixel in two masks, which occurs, stays with the first: nuclei of one plane do not overlap.

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
            raise ValueError(f"image {name} is {size}, but one of its masks is {mask.shape} (height, width)")
        mask = (mask > 0) & ~taken
        if not mask.any():
            continue
        taken |= mask
        segmentation = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        annotations.append(
            {
                "category_id": 1,
                "segmentation": {"size": segmentation["size"], "counts": segmentation["counts"].decode()},
                "bbox": [float(value) for value in coco_mask.toBbox(segmentation)],
                "area": int(mask.sum()),
                "iscrowd": 0,
            }
        )
    return annotations


def _decoded(archive: zipfile.ZipFile, entry: str, flag: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(archive.read(entry), np.uint8), flag)
    if image is None:
        raise ValueError(f"{archive.filename}: {entry} is no readable image; download the file again")
    return image


def convert_nuclei(zip_file: str, root: str, split: dict[str, str]) -> dict[str, int]:
    """Write ``root/images/NAME.png`` and ``root/annotations/instances_SPLIT.json``.

    Everything is written into a folder beside ``root`` and moved there at the end.

    Args:
        zip_file: stage1_train.zip.
        root: folder to write; must not exist.
        split: image name to split; images that are not in it are left out.

    Returns:
        Number of images of each split.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: naming the file and what to do.
    """
    if os.path.exists(root):
        raise FileExistsError(f"{root} exists already; remove it or choose another folder")
    if not os.path.isfile(zip_file):
        raise FileNotFoundError(
            f"{zip_file} does not exist; get stage1_train.zip of accession BBBC038 from the Broad Bioimage "
            "Benchmark Collection"
        )
    if not zipfile.is_zipfile(zip_file):
        raise ValueError(f"{zip_file} is no zip file; download it again")
    part = f"{root.rstrip(os.sep)}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        with zipfile.ZipFile(zip_file) as archive:
            counts = _convert(archive, part, split)
        os.replace(part, root)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return counts


def _convert(archive: zipfile.ZipFile, part: str, split: dict[str, str]) -> dict[str, int]:
    """Read the archive into the folder ``part``; returns the number of images of each split."""
    images: dict[str, str] = {}
    masks: dict[str, list[str]] = defaultdict(list)
    for entry in sorted(archive.namelist()):
        identifier, *kind, file_name = entry.split("/")[-3:] if entry.count("/") >= 2 else ("", "", "")
        if file_name.endswith(".png") and kind == ["images"]:
            images[identifier] = entry
        elif file_name.endswith(".png") and kind == ["masks"]:
            masks[identifier].append(entry)
    chosen = {i: split[i[:_NAME_LENGTH]] for i in images if i[:_NAME_LENGTH] in split}
    if not chosen:
        raise ValueError(
            f"{archive.filename} holds none of the expected ID/images/ID.png; is it stage1_train.zip of BBBC038?"
        )
    os.makedirs(os.path.join(part, "images"))
    os.makedirs(os.path.join(part, "annotations"))
    coco = {name: {"images": [], "annotations": []} for name in sorted(set(split.values()))}
    for image_id, identifier in enumerate(tqdm(sorted(chosen), desc="converting", unit="image"), start=1):
        image = _decoded(archive, images[identifier], cv2.IMREAD_COLOR)
        name = identifier[:_NAME_LENGTH]
        cv2.imwrite(os.path.join(part, "images", f"{name}.png"), image)
        size = image.shape[:2]
        target = coco[chosen[identifier]]
        target["images"].append({"id": image_id, "file_name": f"{name}.png", "height": size[0], "width": size[1]})
        instances = [_decoded(archive, entry, cv2.IMREAD_GRAYSCALE) for entry in masks[identifier]]
        for annotation in instance_annotations(instances, size, name):
            target["annotations"].append({"id": len(target["annotations"]) + 1, "image_id": image_id, **annotation})
    for name, content in coco.items():
        content["info"] = {"description": f"DSB2018 stage 1, {name} (BBBC038, CC0)"}
        content["categories"] = [{"id": 1, "name": "nucleus"}]
        with open(os.path.join(part, "annotations", f"instances_{name}.json"), "w", encoding="utf-8") as file:
            json.dump(content, file)
    return {name: len(content["images"]) for name, content in coco.items()}

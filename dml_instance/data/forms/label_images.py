"""Images with label images beside them, to COCO format.

In a label image 0 is background, and every object has a number. That is how Fiji, CellProfiler,
ilastik, napari, Cellpose and StarDist keep annotated objects.
"""

import os
import random
from itertools import pairwise

import numpy as np
from tqdm import tqdm

from ..images import PLAIN, ReadingRules, image_files, image_size, read_image, read_labels, stem_of
from .coco_writer import CocoWriter


def matched_files(images: str, labels: str) -> list[tuple[str, str]]:
    """Images and their label images.

    Args:
        images, labels: two folders, in which files of one name belong together, whatever their
            endings; or two files.

    Returns:
        (image file, label file) pairs, by name.

    Raises:
        FileNotFoundError: for a path that does not exist, a folder without images, or a file
            without its counterpart, naming it.
        ValueError: for two files of one name, with other endings, in one folder.
    """
    for path in (images, labels):
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path} does not exist")
    if os.path.isfile(images) and os.path.isfile(labels):
        return [(images, labels)]
    by_stem = [
        {stem_of(file): file for file in image_files([folder])} for folder in (images, labels)
    ]
    lone = set(by_stem[0]) ^ set(by_stem[1])
    if lone:
        raise FileNotFoundError(
            f"every image of {images} needs a label image of the same name in {labels}; "
            f"{', '.join(sorted(lone)[:3])}{' ...' if len(lone) > 3 else ''} stands alone: add the "
            "other one, or take this one away"
        )
    return [(by_stem[0][stem], by_stem[1][stem]) for stem in sorted(by_stem[0])]


def read_pair(
    image_file: str, label_file: str, rules: ReadingRules = PLAIN
) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) uint8, BGR, and labels (H, W) of a whole-number type.

    Raises:
        ValueError: for a file that ``read_image`` or ``read_labels`` refuses, or two sizes, naming
            the files.
    """
    image, labels = read_image(image_file, rules)[..., ::-1], read_labels(label_file, rules)
    if image.shape[:2] != labels.shape:
        raise ValueError(
            f"{image_file} is {image.shape[:2]}, but {label_file} is {labels.shape} (height, width)"
        )
    return image, labels


def tiles(size: tuple[int, int], side: int) -> list[tuple[slice, slice]]:
    """Windows (rows, columns) that cut an image into nearly equal parts.

    Args:
        size: (H, W) of the image.
        side: about the longest side of a part in pixels; 0: one window, the image.
    """
    if side <= 0:
        return [(slice(0, size[0]), slice(0, size[1]))]
    cuts = [
        np.linspace(0, length, max(round(length / side), 1) + 1).round().astype(int)
        for length in size
    ]
    rows, columns = ([slice(a, b) for a, b in pairwise(cut)] for cut in cuts)
    return [(row, column) for row in rows for column in columns]


def convert_label_images(
    pairs: list[tuple[str, str]],
    root: str,
    *,
    class_name: str,
    val_fraction: float,
    tile: int,
    seed: int,
    rules: ReadingRules = PLAIN,
) -> dict[str, int]:
    """Write a COCO data set with the splits train and val.

    Args:
        pairs: (image file, label file).
        root: folder to write; must not exist.
        class_name: of all objects.
        val_fraction: share of the images that goes to val, in [0, 1), drawn at random; at least one
            if above 0. Of a single image it is the share of its tiles.
        tile: side in pixels into which images are cut, so that one large image can give both
            splits. 0: not cut.
        seed: of that draw.
        rules: of reading images and label images.

    Returns:
        Number of images of each split.

    Raises:
        ValueError: for a fraction out of range, and see ``read_pair``; FileExistsError: if ``root``
            exists.
    """
    if not 0 <= val_fraction < 1:
        raise ValueError(f"the share of val lies in [0, 1), got {val_fraction}")
    windows = [
        tiles(image_size(image_file, rules), tile)
        for image_file, _ in tqdm(pairs, desc="reading", unit="image")
    ]
    total = sum(map(len, windows))
    # Tiles of one image are alike: those of a val image must not be trained on beside it, if there
    # are others.
    of_images = len(pairs) > 1
    count = len(pairs) if of_images else total
    held_out = round(val_fraction * count) or int(val_fraction > 0)
    if held_out >= count:
        raise ValueError(
            f"{count} image leaves none to train on beside val; cut it into tiles, or use val 0"
        )
    in_val = set(random.Random(seed).sample(range(count), held_out))
    with (
        CocoWriter(root, class_name) as writer,
        tqdm(total=total, desc="converting", unit="tile") as progress,
    ):
        for split in ("train", "val"):
            writer.start_split(split, f"{class_name}, {split}, from label images")
        for image_number, ((image_file, label_file), cuts) in enumerate(
            zip(pairs, windows, strict=True)
        ):
            image, labels = read_pair(image_file, label_file, rules)
            stem = stem_of(image_file)
            for tile_number, window in enumerate(cuts):
                inside = labels[window]
                # One at a time: thousands of masks of a large image would fill the memory.
                masks = (inside == number for number in np.unique(inside) if number > 0)
                name = f"{stem}_{window[0].start}_{window[1].start}" if tile > 0 else stem
                split = "val" if (image_number if of_images else tile_number) in in_val else "train"
                writer.add(split, name, image[window], masks)
                progress.update()
        return writer.counts()

"""Shapes, the embedded data set, drawn to disk in COCO format.

The same parameters give the same files on every machine.
"""

import json
import os
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from ...files import replacing_folder
from ...images import write_image
from ..coco import annotation_of
from .shapes_drawing import (
    CLASS_NAMES,
    DEFAULT_DIFFICULTY,
    SCENE_KINDS,
    Difficulty,
    Scene,
    draw_scene,
)

__all__ = ["CLASS_NAMES", "DEFAULT_DIFFICULTY", "SCENE_KINDS", "draw_split", "write_shapes"]

# Part of each image's random seed, so that no split repeats another.
_SPLIT_CODES = {"train": 0, "val": 1, "test": 2}


def draw_split(
    split: str, count: int, *, seed: int, size: int, difficulty: float
) -> Iterator[tuple[str, Scene]]:
    """Draw the scenes of a split one after the other, kinds in turn.

    Image i depends on (seed, split, i) alone: a larger split begins with the smaller one.

    Args:
        split: "train", "val" or "test".
        count: number of scenes.
        seed, size, difficulty: see ``write_shapes``.

    Yields:
        (scene kind, Scene).
    """
    for index in range(count):
        kind = SCENE_KINDS[index % len(SCENE_KINDS)]
        yield (
            kind,
            draw_scene(
                np.random.default_rng([seed, _SPLIT_CODES[split], index]), kind, size, difficulty
            ),
        )


def write_shapes(
    root: str,
    splits: dict[str, int],
    *,
    seed: int = 0,
    size: int = 160,
    difficulty: float = DEFAULT_DIFFICULTY,
    overwrite: bool = False,
) -> bool:
    """Write ``root/images/SPLIT/000001.png ...`` and ``root/annotations/instances_SPLIT.json``.

    Everything is drawn into a folder beside ``root`` and moved there at the end: what lies at
    ``root`` is complete.

    Args:
        root: folder of the data set.
        splits: number of images of "train", "val" and "test".
        seed: of all randomness, >= 0.
        size: pixels a side, >= 64.
        difficulty: in [0, 1], see ``Difficulty``.
        overwrite: replace a Shapes data set with other parameters; a folder that holds anything
            else is never removed.

    Returns:
        True if it was drawn, False if it lay there already with the same parameters.

    Raises:
        ValueError: for a parameter out of range.
        FileExistsError: if ``root`` holds a set with other parameters and ``overwrite`` is not set,
            or holds something else.
    """
    root = os.path.abspath(root)
    Difficulty.of(difficulty)
    unknown = set(splits) - set(_SPLIT_CODES)
    if unknown:
        raise ValueError(f"splits are named {sorted(_SPLIT_CODES)}, got {sorted(unknown)}")
    negative = {split: count for split, count in splits.items() if count < 0}
    if negative:
        raise ValueError(f"a split has at least 0 images, got {negative}")
    parameters = {
        "splits": splits,
        "seed": seed,
        "size": size,
        "difficulty": difficulty,
        "version": 2,
    }
    if os.path.lexists(root) and not _is_empty_folder(root):
        found = _parameters_of(root)
        # --overwrite with a mistyped --output must not cost anyone their files.
        if found is None:
            raise FileExistsError(
                f"{root} is no Shapes data set and is left alone; choose another folder"
            )
        if not overwrite:
            if found == parameters:
                return False
            raise FileExistsError(
                f"{root} holds Shapes with other parameters, {found}; choose another folder, or "
                "pass --overwrite to replace it"
            )
    with replacing_folder(root, overwrite=True) as part:
        os.mkdir(os.path.join(part, "annotations"))
        for split, count in splits.items():
            _write_split(part, split, count, parameters)
    return True


def _is_empty_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path) and not os.listdir(path)


def _parameters_of(root: str) -> dict | None:
    """The parameters that a data set on disk was drawn with; None where there is none."""
    for split in _SPLIT_CODES:
        try:
            with open(
                os.path.join(root, "annotations", f"instances_{split}.json"), encoding="utf-8"
            ) as file:
                return json.load(file)["info"]["parameters"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _write_split(root: str, split: str, count: int, parameters: dict) -> None:
    """Images and annotation file of one split."""
    folder = os.path.join(root, "images", split)
    os.makedirs(folder)
    images, annotations = [], []
    drawing = {key: parameters[key] for key in ("seed", "size", "difficulty")}
    scenes = tqdm(
        draw_split(split, count, **drawing),
        total=count,
        desc=f"drawing shapes {split}",
        unit="image",
    )
    for image_id, (kind, scene) in enumerate(scenes, start=1):
        file_name = f"{image_id:06d}.png"
        write_image(os.path.join(folder, file_name), scene.image[:, :, ::-1])
        height, width = scene.image.shape[:2]
        images.append(
            {
                "id": image_id,
                "file_name": file_name,
                "height": height,
                "width": width,
                "scene": kind,
            }
        )
        annotations += _annotations(scene, image_id, first_id=len(annotations) + 1)
    coco = {
        "info": {"description": f"Shapes, {split}", "parameters": parameters},
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": index, "name": name} for index, name in enumerate(CLASS_NAMES, start=1)
        ],
    }
    with open(
        os.path.join(root, "annotations", f"instances_{split}.json"), "w", encoding="utf-8"
    ) as file:
        json.dump(coco, file)


def _annotations(scene: Scene, image_id: int, first_id: int) -> list[dict]:
    """One COCO annotation an instance."""
    return [
        {"id": first_id + offset, "image_id": image_id, **annotation_of(mask, int(class_index) + 1)}
        for offset, (mask, class_index) in enumerate(zip(scene.masks, scene.classes, strict=True))
    ]

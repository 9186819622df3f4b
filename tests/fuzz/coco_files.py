"""COCO files as nobody should write them, drawn at random, and what must become of each.

A mutated file is refused, with its name and the cure, or it is read: then every object that is left
goes through the mapper with all its pixels, and scored against itself has an AP of 100.
"""

import copy
import json
import math
import re
from pathlib import Path

import cv2
import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances
from pycocotools import mask as coco_mask

from dml_instance.data import build_train_mapper, register_coco
from dml_instance.data.coco import check_coco
from dml_instance.rle import as_rle
from toy_scenes import data_config, rle, square_and_disc, write_coco

_NAME = "mutated"

# What stands in files instead of what should: a program's nothing, another type, another range.
_JUNK = (
    *(None, True, False, 0, 1, -1, 2, 7, 0.0, 1.0, 0.5, -3.5, 1e9, 1e308, 2**53, 2**70, -(2**70)),
    *(math.nan, math.inf, -math.inf, "", " ", "0", "1", "1.0", "x", "001.png", "a/b\\c", "\ud800"),
    *("\0", "1" * 400, [], {}, [[]], [{}], [None], [1, 2], [0, 0, 0, 0], [5.0, 5.0, 9.0, 9.0]),
    *([[1, 1, 9, 9]], [[1, 1, 9, 1, 9, 9]], [[-9, -9, -1, -9, -1, -1]], {"size": [64, 96]}),
    *({"size": [64, 96], "counts": [6144]}, {"size": [64, 96], "counts": "PP"}, {"id": 1}),
)


def write_valid(folder: Path) -> tuple[Path, Path]:
    """A COCO file of every form of masks, a crowd and an image without objects; and its images."""
    blank = (np.zeros((40, 30, 3), np.uint8), np.zeros((0, 40, 30), bool), np.zeros(0, int))
    path, images = write_coco(folder, "valid", [square_and_disc(), square_and_disc(70, 50), blank])
    coco = json.loads(path.read_text())
    first, second, third, fourth = coco["annotations"]
    first["segmentation"] = _outlines(coco_mask.decode(first["segmentation"]))
    second["segmentation"]["counts"] = _runs(coco_mask.decode(second["segmentation"]))
    crowd = np.zeros((70, 50), bool)
    crowd[60:, :20] = True
    coco["annotations"].append(
        {**third, "id": 5, "segmentation": rle(crowd), "bbox": [0, 60, 20, 10], "area": 200}
        | {"iscrowd": 1, "score": 0.5}
    )
    third |= {"keypoints": [20, 22, 2], "num_keypoints": 1}
    fourth["attributes"] = {"occluded": False}
    path.write_text(json.dumps(coco))
    return path, images


def _outlines(mask: np.ndarray) -> list[list[float]]:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [contour.flatten().astype(float).tolist() for contour in contours]


def _runs(mask: np.ndarray) -> list[int]:
    pixels = mask.T.flatten()
    cuts = np.flatnonzero(np.diff(pixels)) + 1
    runs = np.diff(np.r_[0, cuts, pixels.size]).tolist()
    return [0, *runs] if pixels[0] else runs


def mutated(text: str, seed: int) -> bytes:
    """A COCO file with one to three faults.

    Args:
        text: of a valid file.
        seed: of what is drawn.
    """
    rng = np.random.default_rng(seed)
    coco = json.loads(text)
    for _ in range(1 + rng.binomial(2, 0.2)):
        _pick(rng, (_mutate_field, _mutate_field, _mutate_mask, _mutate_mask, _mutate_list))(
            coco, rng
        )
    content = json.dumps(coco).encode()
    if rng.random() < 0.05:
        content = content[: rng.integers(len(content))]
    elif rng.random() < 0.1:
        content = json.dumps(coco).encode(_pick(rng, ("utf-8-sig", "utf-16", "utf-32")))
    elif rng.random() < 0.1:
        place = rng.integers(len(content))
        content = content[:place] + rng.bytes(1) + content[place + 1 :]
    return content


def _pick(rng: np.random.Generator, values):
    return values[rng.integers(len(values))]


def _junk(rng: np.random.Generator):
    return copy.deepcopy(_pick(rng, _JUNK))


def _entries(coco: dict, rng: np.random.Generator) -> list:
    """One of the lists, or a list of nothing where a mutation took it away."""
    entries = coco.get(_pick(rng, ("images", "annotations", "annotations", "categories")))
    return entries if isinstance(entries, list) else []


def _mutate_field(coco: dict, rng: np.random.Generator) -> None:
    """Of one entry or of all of a list: drop a field, replace it, or write it as another type."""
    entries = [entry for entry in _entries(coco, rng) if isinstance(entry, dict) and entry]
    if not entries:
        return
    key = _pick(rng, sorted({*_pick(rng, entries), "ignore", "keypoints"}))
    action, junk = rng.integers(6), _junk(rng)
    for entry in entries if rng.random() < 0.4 else [_pick(rng, entries)]:
        value = entry.get(key)
        if action == 0:
            entry.pop(key, None)
        elif action == 1:
            entry[key] = copy.deepcopy(junk)
        elif action == 2:
            entry[key] = str(value)
        elif isinstance(value, int | float):
            entry[key] = (float(value), value - 1, f"id-{value}", value * 10.0)[action - 3 :][0]
        elif isinstance(value, list) and value:
            value[rng.integers(len(value))] = copy.deepcopy(junk)


def _mutate_list(coco: dict, rng: np.random.Generator) -> None:
    """Drop a list, or of one an entry; double or replace an entry."""
    if rng.random() < 0.1:
        key = _pick(rng, sorted(coco) or [""])
        coco[key] = _junk(rng)
        return
    entries = _entries(coco, rng)
    if not entries:
        return
    place, action = rng.integers(len(entries)), rng.integers(5)
    if action == 0:
        del entries[place]
    elif action == 1:
        entries.append(copy.deepcopy(entries[place]))
    elif action == 2 and isinstance(entries[place], dict):
        entries.append({**copy.deepcopy(entries[place]), "id": int(rng.integers(9))})
    elif action == 3:
        entries[place] = _junk(rng)
    else:
        entries.reverse()


def _mutate_mask(coco: dict, rng: np.random.Generator) -> None:
    """Break the segmentation of an annotation."""
    annotations = coco.get("annotations")
    found = [
        a
        for a in (annotations if isinstance(annotations, list) else [])
        if isinstance(a, dict) and isinstance(a.get("segmentation"), list | dict)
    ]
    if not found:
        return
    annotation = _pick(rng, found)
    mask = annotation["segmentation"]
    if isinstance(mask, list):
        annotation["segmentation"] = _broken_polygons(mask, rng)
    else:
        _break_rle(mask, rng)


def _broken_polygons(polygons: list, rng: np.random.Generator) -> list:
    part = polygons[0] if polygons and isinstance(polygons[0], list) else polygons
    numbers = [v for v in part if type(v) in (int, float)]
    action = rng.integers(9)
    if action == 0:
        return part
    if action == 1:
        return [part[: rng.integers(9)], *polygons[1:]]
    if action == 2:
        return [*polygons, part[: rng.integers(9)]]
    if action == 3:
        return [[v * float(rng.choice((-1, 0, 1e-3, 0.5, 4, 1e6))) for v in numbers]]
    if action == 4:
        return [[v + float(rng.choice((-200, -40, 40, 200))) for v in numbers]]
    if action == 5:
        return [[numbers[i : i + 2] for i in range(0, len(numbers), 2)]]
    if action == 6:
        return [numbers[:2] * int(rng.integers(1, 6))]
    if action == 7:
        return [part, _junk(rng)]
    return [[*part[: rng.integers(len(part) + 1)], _junk(rng), *part]]


def _break_rle(mask: dict, rng: np.random.Generator) -> None:
    counts, size = mask.get("counts"), mask.get("size")
    action = rng.integers(7)
    if action == 0 and isinstance(size, list):
        mask["size"] = size[::-1]
    elif action == 1 and isinstance(size, list):
        mask["size"] = [_pick(rng, (str, float))(side) for side in size if type(side) is int]
    elif action == 2:
        mask.pop(_pick(rng, ("size", "counts")), None)
    elif action == 3:
        mask["counts"] = _junk(rng)
    elif isinstance(counts, str) and counts:
        place = rng.integers(len(counts))
        character = "" if action == 4 else chr(rng.integers(40, 120))
        mask["counts"] = counts[:place] + character + counts[place + (action < 6) :]
    elif isinstance(counts, list) and counts:
        place = rng.integers(len(counts))
        if action == 4:
            del counts[place]
        elif action == 5:
            counts[place : place + 1] = [counts[place], 0, 0]
        else:
            counts[place] = _junk(rng)


def outcome(json_file: Path, image_root: Path, mapper) -> str:
    """What becomes of a COCO file: "refused" or "read".

    Args:
        json_file, image_root: of the file; its folder is written to.
        mapper: as ``plain_mapper`` gives it.

    Raises:
        AssertionError: where a file is read, but not all that it holds, or is refused without its
            name. Any other exception is one that a user would see.
    """
    try:
        register_coco(_NAME, str(json_file), str(image_root))
    except (ValueError, FileNotFoundError) as error:
        _assert_names_file_and_cure(str(error), json_file)
        return "refused"
    try:
        records = DatasetCatalog.get(_NAME)
        _assert_nothing_is_lost(records, json_file, image_root)
        for record in records:
            _assert_mapped(record, mapper(record)["instances"])
        assert ap_against_itself(_NAME, records, str(json_file.parent)) > 99.999
    finally:
        DatasetCatalog.remove(_NAME)
        MetadataCatalog.remove(_NAME)
    return "read"


def _assert_names_file_and_cure(message: str, json_file: Path) -> None:
    heading, *faults = message.splitlines()
    assert heading.startswith(str(json_file))
    assert "; " in (faults or [heading])[0] or "is not a COCO annotation file: " in heading, message
    assert len(faults) <= 11


def _assert_nothing_is_lost(records: list[dict], json_file: Path, image_root: Path) -> None:
    """All images are there, and all annotations but for those that are said to be left out."""
    content = json.loads(json_file.read_bytes())
    said = check_coco(str(json_file), str(image_root)).repairs
    left_out = re.findall(r"(?:annotations|objects) [^,(]*left out \((\d+)\)", said)
    assert len(records) == len(content["images"])
    kept = sum(len(record["annotations"]) for record in records)
    assert kept + sum(map(int, left_out)) == len(content["annotations"])


def plain_mapper():
    """The mapper of trainings, without what it does at random."""
    return build_train_mapper(
        data_config("INPUT.MIN_SIZE_TRAIN", (0,), "INPUT.RANDOM_FLIP", "none")
    )


def _objects(record: dict) -> list[tuple[dict, int]]:
    """(RLE, class) of the objects of a record that are no crowds."""
    return [
        (as_rle(a["segmentation"], record["height"], record["width"]), a["category_id"])
        for a in record["annotations"]
        if not a["iscrowd"]
    ]


def _assert_mapped(record: dict, instances: Instances) -> None:
    objects = _objects(record)
    assert instances.gt_classes.tolist() == [index for _, index in objects]
    if objects:
        expected = coco_mask.decode([mask for mask, _ in objects]).transpose(2, 0, 1)
        assert expected.any(axis=(1, 2)).all()
        assert (instances.gt_masks.tensor.numpy() == expected).all()


def ap_against_itself(name: str, records: list[dict], folder: str) -> float:
    """AP of the objects of a registered data set as predictions on it."""
    evaluator = COCOEvaluator(name, ("segm",), False, folder, use_fast_impl=False)
    evaluator.reset()
    for record in records:
        found = Instances((record["height"], record["width"]))
        objects = _objects(record)
        masks = [coco_mask.decode(mask).astype(bool) for mask, _ in objects]
        found.pred_masks = torch.from_numpy(np.array(masks).reshape(-1, *found.image_size))
        found.pred_boxes = Boxes(torch.zeros(len(objects), 4))
        found.pred_classes = torch.tensor([index for _, index in objects], dtype=torch.int64)
        found.scores = torch.ones(len(objects))
        evaluator.process([record], [{"instances": found}])
    return evaluator.evaluate()["segm"]["AP"]

"""Boundary AP against COCO's scheme, detection by detection."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from dml_instance.evaluation import boundaries
from dml_instance.evaluation.boundaries import band
from dml_instance.evaluation.coco_scheme import boundary_scores
from dml_instance.evaluation.matching import THRESHOLDS
from toy_masks import Scene, block, iou_of, random_scene
from toy_scenes import rle

NAMES = ["a", "b"]


def band_of(mask):
    return coco_mask.decode(band(rle(mask))).astype(bool)


def slow_ap(scenes, index, threshold):
    """The smaller IoU of masks and bands, best detection first, mean precision at 101 recalls."""
    ranked, objects = [], 0
    for scene in scenes:
        truth = [m for m, c in zip(scene.truth, scene.truth_classes, strict=True) if c == index]
        objects += len(truth)
        found = [
            (s, m & ~scene.void_pixels())
            for s, m, c in zip(
                scene.scores, scene.predictions, scene.prediction_classes, strict=True
            )
            if c == index
        ]
        free = list(range(len(truth)))
        for score, mask in sorted(found, key=lambda pair: -pair[0]):  # stable
            iou = {
                i: min(iou_of(mask, truth[i]), iou_of(band_of(mask), band_of(truth[i])))
                for i in free
            }
            # COCO takes the last of equals.
            best = max(reversed(free), key=lambda i: iou[i], default=None)
            is_true = best is not None and iou[best] >= threshold
            if is_true:
                free.remove(best)
            ranked.append((score, is_true))
    if not objects:
        return float("nan")
    is_true = np.array([t for _, t in sorted(ranked, key=lambda pair: -pair[0])], dtype=bool)
    recall = is_true.cumsum() / objects
    precision = is_true.cumsum() / np.arange(1, len(is_true) + 1)
    at = [precision[recall >= r].max(initial=0) for r in np.linspace(0, 1, 101)]
    return 100 * np.mean(at)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1_000_000), st.sampled_from([0.02, 0.2]))
def test_boundary_ap_is_cocos_with_the_smaller_iou(seed, ratio):
    rng = np.random.default_rng(seed)
    scenes = [random_scene(rng) for _ in range(rng.integers(1, 4))]
    for scene in scenes:
        scene.crowds, scene.crowd_classes = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundaries, "BAND_RATIO", ratio)
        got = boundary_scores([scene.encoded() for scene in scenes], NAMES, 100)
        ap = np.array([[slow_ap(scenes, index, t) for t in THRESHOLDS] for index in range(2)])
    for index, name in enumerate(NAMES):
        assert got[f"AP-{name}"] == pytest.approx(ap[index].mean(), nan_ok=True)
    measured = ap[~np.isnan(ap[:, 0])]
    if not len(measured):
        measured = ap[:1]
    assert got["AP"] == pytest.approx(measured.mean(), nan_ok=True)
    assert got["AP50"] == pytest.approx(measured[:, 0].mean(), nan_ok=True)
    assert got["AP75"] == pytest.approx(measured[:, 5].mean(), nan_ok=True)


def scores(scenes, max_detections=100):
    return boundary_scores([scene.encoded() for scene in scenes], ["a"], max_detections)


def test_a_large_mask_is_judged_by_its_boundary():
    shape = (100, 100)  # whose bands are 3 pixels wide
    whole, smaller = block(10, 10, 90, 90, shape), block(12, 12, 88, 88, shape)
    assert iou_of(whole, smaller) > 0.9
    # Two frames of 3 pixels, one 2 pixels further in than the other, share one of 1 pixel.
    common = 76**2 - 74**2
    both = (80**2 - 74**2) + (76**2 - 70**2) - common
    assert iou_of(band_of(whole), band_of(smaller)) == common / both
    scene = Scene([whole], [0], [smaller], [0], [0.9])
    assert scores([scene])["AP50"] == 0
    scene.predictions = [whole]
    assert scores([scene]) == pytest.approx(
        {"AP": 100, "AP50": 100, "AP75": 100, "APs": np.nan, "APm": 100, "APl": np.nan}, nan_ok=True
    )


def test_crowds_are_cocos_and_void_is_taken_away():
    """What lies in a crowd is not false, and a crowd has no band."""
    cell, crowd = block(0, 0, 3, 3), block(3, 0, 7, 8)
    found = [cell, block(4, 1, 6, 3), block(4, 4, 6, 7)]
    scene = Scene([cell], [0], found, [0] * 3, [0.5, 0.9, 0.8])
    assert scores([scene])["AP50"] == pytest.approx(100 / 3)
    scene.crowds, scene.crowd_classes = [crowd], [0]
    assert scores([scene])["AP50"] == pytest.approx(100)
    # Just over half of a mask, and a quarter of its band, lie in a crowd.
    cell, false = block(5, 5, 7, 8), block(0, 0, 5, 5)
    scene = Scene([cell], [0], [cell, false], [0, 0], [0.5, 0.9])
    assert scores([scene])["AP50"] == pytest.approx(50)
    scene.crowds, scene.crowd_classes = [block(1, 1, 4, 4) | block(4, 1, 5, 5)], [0]
    assert scores([scene])["AP50"] == pytest.approx(100)
    cell = block(0, 0, 3, 3)
    reaching = Scene([cell], [0], [block(0, 0, 7, 3)], [0], [0.9], void=crowd)
    assert scores([reaching])["AP"] == pytest.approx(100)


def test_so_many_detections_an_image_count():
    cells = [block(0, 0, 3, 3), block(0, 4, 3, 7)]
    scene = Scene(cells, [0, 0], cells, [0, 0], [0.9, 0.8])
    assert scores([scene], 2)["AP"] == pytest.approx(100)
    assert 45 < scores([scene], 1)["AP"] < 55


def test_nothing_found_and_nothing_there():
    assert scores([Scene([block(0, 0, 3, 3)], [0])])["AP"] == 0
    for scenes in ([], [Scene()], [Scene([], [], [block(0, 0, 3, 3)], [0], [0.9])]):
        assert all(np.isnan(value) for value in scores(scenes).values())

"""Bands, outlines and their F-measure, pixel by pixel."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from dml_instance.evaluation import boundaries
from dml_instance.evaluation.boundaries import (
    band,
    boundary_counts,
    boundary_f,
    boundary_ratios,
    outline,
)
from toy_masks import SHAPE, Scene, all_matchings, block, random_scene
from toy_scenes import rle

SEEDS = st.integers(0, 1_000_000)


def decoded(mask):
    return coco_mask.decode(mask).astype(bool)


def blob(rng, shape):
    """Smooth noise over a threshold; may be empty, or touch the image's border."""
    return cv2.GaussianBlur(rng.random(shape), (5, 5), 0) > rng.uniform(0.4, 0.6)


def outside(mask):
    """Places outside a mask, those round the image included."""
    return np.argwhere(~np.pad(mask, 1)) - 1


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([0.02, 0.1, 0.15, 0.3]))
def test_a_band_is_what_lies_no_further_from_the_outside_than_its_width(seed, ratio):
    mask = blob(np.random.default_rng(seed), (14, 17))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundaries, "BAND_RATIO", ratio)
        got = decoded(band(rle(mask)))
    width = {0.02: 1, 0.1: 2, 0.15: 3, 0.3: 7}[ratio]
    assert width == max(round(ratio * (14**2 + 17**2) ** 0.5), 1)
    expected = np.zeros_like(mask)
    for place in np.argwhere(mask):
        expected[tuple(place)] = np.abs(outside(mask) - place).max(axis=1).min() <= width
    np.testing.assert_array_equal(got, expected)


def slow_outline(mask, tolerance):
    pixels, near = np.zeros_like(mask), np.zeros_like(mask)
    for place in np.argwhere(mask):
        pixels[tuple(place)] = np.abs(outside(mask) - place).sum(axis=1).min() <= 1
    for place in np.ndindex(mask.shape):
        distances = ((np.argwhere(pixels) - place) ** 2).sum(axis=1)
        near[place] = bool(len(distances)) and distances.min() <= tolerance**2
    return pixels, near


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 4))
def test_an_outline_and_what_is_near_it(seed, tolerance):
    rng = np.random.default_rng(seed)
    for mask in (blob(rng, (11, 13)), np.roll(block(4, 4, 6, 7, (11, 13)), rng.integers(13), 1)):
        got = outline(rle(mask), tolerance)
        pixels, near = slow_outline(mask, tolerance)
        np.testing.assert_array_equal(decoded(got.pixels), pixels)
        np.testing.assert_array_equal(decoded(got.near), near)


def slow_f(first, second, tolerance):
    """Of two dense masks."""
    (p, near_p), (t, near_t) = slow_outline(first, tolerance), slow_outline(second, tolerance)
    if not p.any() or not t.any():
        return 0.0
    precision, recall = (p & near_t).sum() / p.sum(), (t & near_p).sum() / t.sum()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 2))
def test_counts_are_those_of_the_matching_of_the_greatest_sum_of_f(seed, tolerance):
    scene = random_scene(np.random.default_rng(seed))
    total, found = 0.0, None
    numbers = {0}
    for index in range(2):
        kept = [
            i
            for i, (c, s) in enumerate(zip(scene.prediction_classes, scene.scores, strict=True))
            if c == index and s >= 0.5
        ]
        objects = [m for m, c in zip(scene.truth, scene.truth_classes, strict=True) if c == index]
        f = np.array(
            [
                [slow_f(scene.predictions[i] & ~scene.void_pixels(), t, tolerance) for t in objects]
                for i in kept
            ]
        ).reshape(len(kept), len(objects))
        ranked = {}
        for pairs in all_matchings(f > 0):
            found = {p for p, _ in pairs}
            counted = sum(
                i in found or not scene.is_ignored(scene.predictions[k], index)
                for i, k in enumerate(kept)
            )
            ranked.setdefault(round(sum(f[pair] for pair in pairs), 9), set()).add(counted)
        total += max(ranked)
        numbers = {a + b for a in numbers for b in ranked[max(ranked)]}
    got = boundary_counts(scene.encoded(), 0.5, tolerance)
    assert got[0] == pytest.approx(total, abs=1e-7)
    assert got[1] in numbers
    assert got[2] == len(scene.truth)


def f_of(first, second, tolerance):
    return boundary_f([outline(rle(first), tolerance)], [outline(rle(second), tolerance)])[0, 0]


def test_a_thin_cable_a_pixel_off_has_no_iou_and_the_same_boundary():
    cable, moved = block(2, 0, 3, 8), block(3, 0, 4, 8)
    assert f_of(cable, moved, 1) == 1
    assert f_of(cable, moved, 0) == 0
    scene = Scene([cable], [0], [moved], [0], [0.9])
    assert boundary_counts(scene.encoded(), 0.5, 1).tolist() == [1, 1, 1]
    assert boundary_counts(scene.encoded(), 0.95, 1).tolist() == [0, 0, 1]


def test_one_good_match_is_better_than_two_poor_ones():
    """Lines that cross in a pixel."""
    line, first, second = block(2, 0, 3, 8), block(2, 1, 7, 2), block(2, 6, 7, 7)
    assert 0 < f_of(line, first, 0) < 0.2 and f_of(first, second, 0) == 0
    scene = Scene([line, first], [0, 0], [line, second], [0, 0], [0.9, 0.9])
    assert boundary_counts(scene.encoded(), 0.5, 0).tolist() == [1, 2, 2]


def test_what_is_void_counts_if_it_matches_alone():
    cell, void = block(0, 0, 2, 2), block(3, 0, 7, 8)
    scene = Scene([cell], [0], [cell | void, void], [0, 0], [0.9, 0.9], void=void)
    assert boundary_counts(scene.encoded(), 0.5, 0).tolist() == [1, 1, 1]


def test_edges_of_what_there_is():
    everything, nothing, pixel = block(0, 0, *SHAPE), block(0, 0, 0, 0), block(2, 2, 3, 3)
    assert f_of(everything, everything, 0) == f_of(pixel, pixel, 0) == 1
    assert f_of(nothing, nothing, 2) == f_of(nothing, pixel, 2) == 0
    # Half of a cable: all of its outline is right, and half of the true one is found.
    assert f_of(block(0, 0, 1, 4), block(0, 0, 1, 8), 0) == pytest.approx(2 / 3)
    assert boundary_f([], [outline(rle(pixel), 1)]).shape == (0, 1)
    for scene in (Scene(), Scene([nothing], [0], [nothing], [0], [0.9])):
        assert boundary_counts(scene.encoded(), 0, 2)[0] == 0


def test_an_outline_in_the_void_is_right():
    """What reaches into the void is cut off there, as the object is."""
    scene = Scene([block(0, 0, 7, 3)], [0], [block(0, 0, 7, 5)], [0], [0.9], void=block(0, 3, 7, 6))
    assert boundary_counts(scene.encoded(), 0.5, 0).tolist() == [1, 1, 1]


def test_figures_of_counts():
    assert boundary_ratios(np.array([1.5, 2.0, 4.0])) == {
        "BF": 0.5,
        "BF_precision": 0.75,
        "BF_recall": 0.375,
    }
    assert set(boundary_ratios(np.array([0.0, 0.0, 4.0])).values()) == {0.0}
    assert all(np.isnan(value) for value in boundary_ratios(np.zeros(3)).values())

"""What the keys of the pair loss and the mask loss do, and CONTEXT, on maps drawn by hand.

``C`` is what a pair of two objects costs at distance 0, where its similarity is that of the
margin, 0.01.
"""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch

from dml_instance.object_masks import ObjectMasks
from drawn_maps import Drawing, distance_of

C = -math.log(math.tanh(0.01 / 2))


def apart(d):
    """Cost of a pair of two objects at a squared distance."""
    return -math.log(math.tanh((d + 0.01) / 2))


def alike(d):
    """Cost of a pair of one object at a squared distance."""
    return math.log((1 + math.exp(d)) / 2)


JOINT = {"group_size": "count", "normalization": "joint"}


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_pair_weight(weight):
    drawing = Drawing("11", "..").place(o1=0, b=3)
    losses = [drawing.losses(pair={"weight": w}) for w in (weight, 1.0)]
    assert losses[0]["loss_pair"] == pytest.approx(weight * apart(3) / 2, rel=1e-4)
    for name in ("loss_mask", "loss_seed"):
        assert losses[0][name] == losses[1][name]


@pytest.mark.parametrize("n", [1, 2, 4, 9])
def test_pixels_per_instance(n):
    """All cells coincide: half of the four pairs of two groups cost C, and |S| is 2 n."""
    drawing = Drawing("1122", "1122")
    pair = {**JOINT, "pixels_per_instance": n, "background_pixels": 0}
    drawn = min(n, 4)  # an object gives all that it has
    assert drawing.loss("pair", pair=pair) == pytest.approx(C / 2 / (2 * drawn), rel=1e-4)


@pytest.mark.parametrize("n", [0, 1, 3, 5])
def test_background_pixels(n):
    """As above, with background as the other group; without it no pair costs anything."""
    pair = {**JOINT, "pixels_per_instance": 2, "background_pixels": n}
    expected = C / 2 / (2 + n) if n else 0.0
    assert Drawing("11..", "11..", "..xx").loss("pair", pair=pair) == pytest.approx(
        expected, rel=1e-4, abs=1e-7
    )


@pytest.mark.parametrize("m", [0, 1, 2, 3, 5])
def test_max_instances(m):
    """Of m groups (m - 1) / m of the pairs cost C, and |S| is m."""
    pair = {**JOINT, "pixels_per_instance": 1, "background_pixels": 0, "max_instances": m}
    m = min(m, 4)
    expected = C * (m - 1) / m / m if m else 0.0
    assert Drawing("1234").loss("pair", pair=pair) == pytest.approx(expected, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("group_size", ["area", "count"])
def test_group_size(group_size):
    """Two cells of each of three groups of 7, 3 and 6 cells."""
    drawing = Drawing("1112", "1111", "....", "22..").place(o1=0, o2=1, b=9)
    area = Counter("".join(drawing.letters.flatten()))
    assert area == {"1": 7, "2": 3, ".": 6}
    pair = {"pixels_per_instance": 2, "background_pixels": 2, "normalization": "joint"}
    got = drawing.loss("pair", pair={**pair, "group_size": group_size})
    cost = {("1", "2"): apart(1), ("1", "."): apart(9), ("2", "."): apart(4)}
    total = weights = 0.0
    for g in area:
        for h in area:
            weight = 1 / (area[g] * area[h]) if group_size == "area" else 1.0
            total += weight * cost.get((g, h), cost.get((h, g), 0.0))
            weights += weight
    assert got == pytest.approx(total / weights / 6, rel=1e-4)


@pytest.mark.parametrize("normalization", ["joint", "apart"])
def test_normalization(normalization):
    """One object of two cells at distance 2 from each other, and one cell of background."""
    drawing = Drawing("11.")
    drawing.embedding[0, 0] = torch.tensor([0.0, math.sqrt(2), 3.0])
    pair = {"group_size": "area", "normalization": normalization}
    to_background = (apart(9) + apart((3 - math.sqrt(2)) ** 2)) / 2
    # Weights: 1/4 for each of the four pairs of the object, 1/2 for each of the four with
    # background, and 1 for background with itself, which costs nothing.
    joint = (2 / 4 * alike(2) + 4 / 2 * to_background) / (4 / 4 + 4 / 2 + 1) / 3
    expected = joint if normalization == "joint" else (alike(2) + to_background) / 2
    assert drawing.loss("pair", pair=pair) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
def test_mask_weight(weight):
    """The object is found, and half of each of two cells of background with it: Dice of 2 and 3."""
    drawing = Drawing("11..").place(o1=0, b=distance_of(0.5))
    losses = drawing.losses(mask={"weight": weight}, seed={"foreground_fraction": 1.0})
    if weight == 0:
        assert "loss_mask" not in losses
    else:
        assert losses["loss_mask"] == pytest.approx(weight * (1 - 5 / 6), rel=1e-4)


@pytest.mark.parametrize("context", [-1, 9])
def test_background_pixels_have_no_mask_to_lose(context):
    """They are drawn, but only seeds on objects count: as if there were no other."""
    drawing = Drawing("11..").place(o1=0, b=distance_of(0.5))
    for fraction in (0.25, 0.5, 1.0):
        got = drawing.loss("mask", context=context, seed={"foreground_fraction": fraction})
        assert got == pytest.approx(1 / 6, rel=1e-4)
    assert drawing.loss("mask", context=context, seed={"foreground_fraction": 0.0}) == 0


@pytest.mark.parametrize("context", [-1, 9])
def test_ignored_cells_are_not_judged(context):
    """Without them one cell of background is left: Dice of 2 and 2.5."""
    drawing = Drawing("11.xx").place(o1=0, b=distance_of(0.5), x=0)
    seed = {"foreground_fraction": 1.0, "target": "class", "target_iou": 1.0}
    losses = drawing.probability("1", 0.2, 0.7, 0.1).losses(context=context, seed=seed)
    assert losses["loss_mask"] == pytest.approx(1 - 5 / 5.5, rel=1e-4)
    # At 0.5 the background is in the mask still, at 0.6 it is not, whatever of x is alike.
    assert losses["loss_seed"] == pytest.approx(-math.log(0.2), rel=1e-4)
    losses = drawing.losses(context=context, seed=seed, taus=(0.6,))
    assert losses["loss_seed"] == pytest.approx(-math.log(0.7), rel=1e-4)
    # Nor do they count as background of the pair loss.
    drawing.place(b=4)
    assert drawing.loss("pair", context=context) == pytest.approx(apart(4) / 2, rel=1e-4)


def test_the_mask_loss_wants_the_part_of_a_cell_that_the_object_covers():
    """Cells of 2 x 2 pixels: the second is half the object's, and half alike."""
    drawing = Drawing("11.", stride=2)
    masks = drawing.truth.masks.tensor
    masks[0, :, 3] = False
    drawing.truth = replace(drawing.truth, masks=ObjectMasks.of(masks))
    drawing.embedding[0, 0] = torch.tensor([0.0, distance_of(0.5), 100.0]).sqrt()
    drawing.distance_scale[0, 1] = 1e4  # of the other seed only itself is alike: Dice of 0.5
    seed = {"foreground_fraction": 1.0, "pixels": 4000}
    first, second = 0.0, 1 - (2 * 0.5 + 1) / (1 + 1.5 + 1)
    assert drawing.loss("mask", seed=seed) == pytest.approx((first + second) / 2, rel=0.05)


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize(
    ("context", "is_compared"), [(-1, True), (0, False), (2, False), (3, True)]
)
def test_context(stride, context, is_compared):
    """Twins three cells apart, with ignored cells between: compared where the context, given in
    pixels, is three cells or more."""
    drawing = Drawing("1xx2", stride=stride)
    pixels = context * stride if context >= 0 else -1
    assert drawing.loss("pair", context=pixels) == pytest.approx(C / 2 * is_compared, rel=1e-4)
    # Part of the other in the mask: Dice of 1 and 2 cells.
    expected = 1 - (2 + 1) / (2 + 1 + 1) if is_compared else 0.0
    seed = {"foreground_fraction": 1.0, "target": "class", "target_iou": 1.0}
    drawing.probability("1", 0.2, 0.8, 1e-9).probability("2", 0.2, 0.8, 1e-9)
    losses = drawing.losses(context=pixels, seed=seed)
    assert losses["loss_mask"] == pytest.approx(expected, abs=1e-6)
    p = 0.2 if is_compared else 0.8
    assert losses["loss_seed"] == pytest.approx(-math.log(p), rel=1e-4)


def test_a_part_of_a_cell_of_context_is_none():
    assert Drawing("1xx2", stride=4).loss("pair", context=11) == 0
    assert Drawing("1xx2", stride=4).loss("pair", context=12) > 1

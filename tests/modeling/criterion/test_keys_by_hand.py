"""What every key of the losses does, on maps drawn by hand whose losses can be told with a pencil.

A digit is a cell of that object, a dot is background and x is ignored; a cell is one pixel unless
said otherwise. ``C`` is what a pair of two objects costs at distance 0, where its similarity is
that of the margin, 0.01.
"""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from dml_instance.modeling.criterion import (
    CriterionRules,
    DMLCriterion,
    MaskLossRules,
    PairLossRules,
    SeedLossRules,
)
from dml_instance.modeling.ground_truth import GroundTruth
from dml_instance.modeling.structures import ImageMaps

C = -math.log(math.tanh(0.01 / 2))


def apart(d):
    """Cost of a pair of two objects at a squared distance."""
    return -math.log(math.tanh((d + 0.01) / 2))


def alike(d):
    """Cost of a pair of one object at a squared distance."""
    return math.log((1 + math.exp(d)) / 2)


def distance_of(sigma):
    """The squared distance at which the similarity is this."""
    return math.log(2 / sigma - 1)


class Drawing:
    """A drawn scene, and maps of it that are given cell by cell."""

    def __init__(self, *rows, classes=None, stride=1):
        letters = np.array([list(row) for row in rows])
        pixels = letters.repeat(stride, 0).repeat(stride, 1)
        count = max(int(c) for c in "".join(rows).translate(str.maketrans(".x", "00")))
        masks = np.stack([pixels == str(g + 1) for g in range(count)])
        classes = torch.tensor(list(classes or [0] * count))
        self.truth = GroundTruth(torch.from_numpy(masks), classes, torch.from_numpy(pixels == "x"))
        self.letters, self.stride = letters, stride
        self.embedding = torch.zeros(1, *letters.shape)
        self.distance_scale = torch.ones(letters.shape)
        self.logits = torch.zeros(1, 3, *letters.shape)

    def place(self, **squared_distances):
        """The embedding of each letter, by its squared distance from 0; b is background."""
        for letter, d in squared_distances.items():
            chosen = self.letters == {"b": "."}.get(letter, letter.removeprefix("o"))
            self.embedding[:, torch.from_numpy(chosen)] = math.sqrt(d)
        return self

    def probability(self, letter, *p):
        """What the network says of the cells of a letter: background, and each class."""
        chosen = torch.from_numpy(self.letters == letter)
        self.logits[..., chosen] = torch.tensor(p).log()[:, None]
        return self

    def losses(self, *, taus=(0.5,), context=-1, iteration=0, max_iter=1, **sections):
        rules = CriterionRules(
            PairLossRules(**{"weight": 1.0, **sections.get("pair", {})}),
            MaskLossRules(**sections.get("mask", {})),
            SeedLossRules(**{"ramp_end": 0.0, **sections.get("seed", {})}),
        )
        maps = ImageMaps(
            self.embedding,
            self.distance_scale,
            self.logits.expand(len(taus), -1, -1, -1),
            self.stride,
            1.0,
            tuple(self.truth.ignored.shape),
        )
        torch.manual_seed(0)
        criterion = DMLCriterion(rules, taus=taus, context=context, max_iter=max_iter)
        losses, self.statistics = criterion([[maps]], [self.truth], iteration)
        return {name: value.item() for name, value in losses.items()}

    def loss(self, name, **options):
        return self.losses(**options)[f"loss_{name}"]


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
    drawing.truth.masks[0, :, 3] = False
    drawing.embedding[0, 0] = torch.tensor([0.0, distance_of(0.5), 100.0]).sqrt()
    drawing.distance_scale[0, 1] = 1e4  # of the other seed only itself is alike: Dice of 0.5
    seed = {"foreground_fraction": 1.0, "pixels": 4000}
    first, second = 0.0, 1 - (2 * 0.5 + 1) / (1 + 1.5 + 1)
    assert drawing.loss("mask", seed=seed) == pytest.approx((first + second) / 2, rel=0.05)


@pytest.mark.parametrize("pixels", [1, 5, 16])
def test_seed_pixels(pixels):
    """Each pixel drawn gives its cell the same gradient, and the sum of all is that of one."""
    drawing = Drawing("1111", "1111").place(o1=0)
    drawing.logits.requires_grad_()
    rules = CriterionRules(
        seed_loss=SeedLossRules(
            pixels=pixels, foreground_fraction=1.0, target="class", ramp_end=0.0
        )
    )
    maps = ImageMaps(drawing.embedding, drawing.distance_scale, drawing.logits, 1, 1.0, (2, 4))
    torch.manual_seed(0)
    losses, _ = DMLCriterion(rules, taus=(0.5,), context=-1, max_iter=1)(
        [[maps]], [drawing.truth], 0
    )
    (gradient,) = torch.autograd.grad(losses["loss_seed"], drawing.logits)
    of_background = 3 * gradient[0, 0].flatten()  # p = 1/3 each
    assert of_background.sum().item() == pytest.approx(1, rel=1e-5)
    times = of_background * pixels
    torch.testing.assert_close(times, times.round(), atol=1e-4, rtol=0)
    assert (pixels == 1) == (times.round() > 0).sum().eq(1).item()


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("context", [-1, 9])
def test_foreground_fraction(fraction, context):
    """The object is found and background is nothing: their costs are told apart."""
    drawing = Drawing("11..").place(o1=0, b=50)
    drawing.probability("1", 0.1, 0.9, 1e-9).probability(".", 0.8, 0.1, 0.1)
    seed = {"pixels": 8, "foreground_fraction": fraction, "target": "class"}
    expected = -fraction * math.log(0.9) - (1 - fraction) * math.log(0.8)
    got = drawing.loss("seed", context=context, seed=seed)
    assert got == pytest.approx(expected, rel=1e-4)


def test_the_share_of_the_foreground_is_rounded():
    drawing = Drawing("11..").place(o1=0, b=50).probability("1", 0.5, 0.5, 1e-9)
    drawing.probability(".", 1.0, 1e-9, 1e-9)
    for pixels, objects in ((3, 2), (5, 4), (1, 1)):
        seed = {"pixels": pixels, "foreground_fraction": 0.75, "target": "class"}
        expected = -objects / pixels * math.log(0.5)
        assert drawing.loss("seed", seed=seed) == pytest.approx(expected, rel=1e-4)


def half_found():
    """From the object's cells grows a mask of it and as many cells of background: IoU 0.5."""
    drawing = Drawing("11..", "xxxx", classes=[1]).place(o1=0, b=distance_of(0.8))
    return drawing.probability("1", 0.2, 0.3, 0.5).probability(".", 0.2, 0.3, 0.5)


@pytest.mark.parametrize("context", [-1, 9])
@pytest.mark.parametrize(("target_iou", "p"), [(0.4, 0.5), (0.5, 0.5), (0.51, 0.2), (1.0, 0.2)])
def test_target_iou(target_iou, p, context):
    """Where the IoU reaches it the class is the object's, else background."""
    seed = {"target": "class", "target_iou": target_iou, "foreground_fraction": 1.0}
    drawing = half_found()
    assert drawing.loss("seed", context=context, seed=seed) == pytest.approx(-math.log(p), rel=1e-4)
    assert float(drawing.statistics["target_iou"]) == pytest.approx(0.5)


def test_target_class_is_that_of_the_object_that_is_met_best():
    """In the whole image a mask is worth what it is of any object, also from background."""
    drawing = Drawing("1222.", classes=[0, 1]).place(o1=0, o2=0, b=0)
    for letter in "12.":
        drawing.probability(letter, 0.2, 0.3, 0.5)
    for fraction in (0.0, 1.0):
        seed = {"target": "class", "target_iou": 0.55, "foreground_fraction": fraction}
        # All five cells grow; three of them are object 2.
        assert drawing.loss("seed", seed=seed) == pytest.approx(-math.log(0.5), rel=1e-4)
    seed = {"target": "class", "target_iou": 0.65}
    assert drawing.loss("seed", seed=seed) == pytest.approx(-math.log(0.2), rel=1e-4)


def test_background_grows_nothing_where_objects_are_judged_alone():
    drawing = Drawing("111.").place(o1=0, b=0).probability(".", 0.2, 0.5, 0.3)
    seed = {"target": "class", "target_iou": 0.7, "foreground_fraction": 0.0}
    for context, p in ((-1, 0.5), (9, 0.2)):
        got = drawing.loss("seed", context=context, seed=seed)
        assert got == pytest.approx(-math.log(p), rel=1e-4)


@pytest.mark.parametrize("context", [-1, 9])
def test_target_iou_as_a_probability(context):
    """An object with probability 0.5, as good as its mask; and the class, given an object."""
    seed = {"target": "iou", "foreground_fraction": 1.0}
    expected = -0.5 * math.log(0.8) - 0.5 * math.log(0.2) - math.log(0.5 / 0.8)
    assert half_found().loss("seed", context=context, seed=seed) == pytest.approx(
        expected, rel=1e-4
    )


def test_target_names_two_different_losses():
    """A mask that is right at once: one target asks for the class alone, the other for both."""
    drawing = Drawing("11..").place(o1=0, b=50).probability("1", 0.2, 0.3, 0.5)
    drawing.probability(".", 1.0, 1e-9, 1e-9)
    seed = {"foreground_fraction": 1.0}
    by_class = drawing.loss("seed", seed={**seed, "target": "class"})
    by_iou = drawing.loss("seed", seed={**seed, "target": "iou"})
    assert by_class == pytest.approx(-math.log(0.3), rel=1e-4)
    assert by_iou == pytest.approx(-math.log(0.8) - math.log(0.3 / 0.8), rel=1e-4)


def test_every_object_has_the_same_share_of_the_class_loss():
    """One of a cell and one of six: the class of each counts half, and background's not at all."""
    drawing = Drawing("1222", "x222", "....", classes=[0, 1]).place(o1=0, o2=30, b=90)
    drawing.probability("1", 0.2, 0.2, 0.6).probability("2", 0.2, 0.5, 0.3)
    drawing.probability(".", 0.5, 0.4, 0.1).probability("x", 0.5, 0.1, 0.4)
    seed = {"target": "iou", "pixels": 10, "foreground_fraction": 0.0}
    of_background = -math.log(0.5)  # nothing of an object grows there
    of_class = -(math.log(0.2 / 0.8) + math.log(0.3 / 0.8)) / 2
    got = drawing.loss("seed", context=9, seed=seed)
    assert got == pytest.approx(of_background + of_class, rel=1e-4)


@pytest.mark.parametrize("taus", [(0.5,), (0.9,), (0.5, 0.9), (0.1, 0.3, 0.5)])
def test_taus(taus):
    """Similar to 0.8: up to there a mask takes the background in. The loss is a sum over them."""
    drawing, seed = half_found(), {"target": "class", "target_iou": 0.6, "foreground_fraction": 1.0}
    expected = -sum(math.log(0.5 if tau > 0.8 else 0.2) for tau in taus)
    assert drawing.loss("seed", taus=taus, seed=seed) == pytest.approx(expected, rel=1e-4)
    best = 1.0 if max(taus) > 0.8 else 0.5
    assert float(drawing.statistics["target_iou"]) == pytest.approx(best)


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


@pytest.mark.parametrize("weight", [0.5, 2.0])
@pytest.mark.parametrize("max_iter", [10, 100])
def test_seed_weight_is_ramped_over_the_schedule(weight, max_iter):
    drawing = half_found()
    full = drawing.loss("seed", seed={"weight": 1.0})
    seed = {"weight": weight, "ramp_start": 0.2, "ramp_end": 0.6}
    tenth = max_iter // 10
    for iteration, part in (
        (0, 0.0),
        (2 * tenth - 1, 0.0),
        (2 * tenth, 1 / (4 * tenth)),
        (4 * tenth - 1, 0.5),
        (6 * tenth - 2, 1 - 1 / (4 * tenth)),
        (6 * tenth - 1, 1.0),
        (max_iter, 1.0),
    ):
        got = drawing.loss("seed", iteration=iteration, max_iter=max_iter, seed=seed)
        assert got == pytest.approx(part * weight * full, rel=1e-5), iteration
        assert drawing.statistics["seed_lambda"] == pytest.approx(part * weight)


def test_distances_count_by_the_scale_of_the_seed():
    """Scaled by 4 the background leaves the masks that grow from the object, and only those."""
    drawing = half_found()
    drawing.distance_scale[torch.from_numpy(drawing.letters == "1")] = 4.0
    seed = {"target": "class", "target_iou": 0.6, "foreground_fraction": 1.0}
    assert drawing.loss("seed", seed=seed) == pytest.approx(-math.log(0.5), rel=1e-4)
    seed["foreground_fraction"] = 0.0
    assert drawing.loss("seed", seed=seed) == pytest.approx(-math.log(0.2), rel=1e-4)

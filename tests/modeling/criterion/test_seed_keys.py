"""What the keys of the seed loss do, and TAUS and the length of the schedule, on maps drawn by
hand."""

import math

import pytest
import torch

from drawn_maps import Drawing, distance_of


@pytest.mark.parametrize("pixels", [1, 5, 16])
def test_seed_pixels(pixels):
    """Each pixel drawn gives its cell the same gradient, and the sum of all is that of one."""
    drawing = Drawing("1111", "1111").place(o1=0)
    drawing.logits.requires_grad_()
    seed = {"pixels": pixels, "foreground_fraction": 1.0, "target": "class"}
    torch.manual_seed(0)
    losses, _ = drawing.criterion(seed=seed)([[drawing.maps()]], [drawing.truth], 0)
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
    drawing.loss("seed", context=context, seed={"pixels": 1, "foreground_fraction": 1.0})
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

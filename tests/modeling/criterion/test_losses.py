import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dml_instance.modeling.criterion.losses import (
    class_loss,
    iou_prediction_loss,
    mask_loss,
    pair_distances,
    pair_loss,
    seed_loss,
)
from dml_instance.modeling.criterion.targets import chosen_pairs
from dml_instance.modeling.similarity import COINCIDENCE_MARGIN


def slow_pair_loss(embedding, scale, group, size, normalization):
    """The formula, pair by pair, in double precision and from the definition of sigma."""
    total = {"all": [0.0, 0.0], True: [0.0, 0.0], False: [0.0, 0.0]}
    for p in range(len(group)):
        for q in range(len(group)):
            d = scale[p] * sum(
                (a - b) ** 2 for a, b in zip(embedding[p], embedding[q], strict=True)
            )
            same = group[p] == group[q]
            sigma = 2 / (1 + math.exp(d if same else d + COINCIDENCE_MARGIN))
            cost = -math.log(sigma if same else 1 - sigma)
            weight = 1 / (size[p] * size[q])
            for key in ("all", same):
                if key == "all" or p != q:
                    total[key][0] += weight * cost
                    total[key][1] += weight
    mean = {key: (cost / weight if weight else 0.0) for key, (cost, weight) in total.items()}
    return mean["all"] / len(group) if normalization == "joint" else (mean[True] + mean[False]) / 2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from(["joint", "apart"]))
def test_pair_loss_equals_the_slow_formula(seed, count, normalization):
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(count, 3, generator=generator)
    group = torch.randint(0, 4, (count,), generator=generator)
    size = torch.randint(1, 50, (4,), generator=generator)[group]
    scale = torch.rand(count, generator=generator) + 0.5
    got = pair_loss(
        embedding, group, size, distance_scale=scale, normalization=normalization
    ).item()
    expected = slow_pair_loss(
        embedding.double().tolist(), scale.tolist(), group.tolist(), size.tolist(), normalization
    )
    assert got == pytest.approx(expected, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("normalization", ["joint", "apart"])
def test_pair_loss_prefers_the_right_grouping(normalization):
    group = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[0.0], [0.1], [4.0], [4.1]])
    mixed = torch.tensor([[0.0], [4.0], [0.1], [4.1]])
    size = torch.ones(4)
    assert pair_loss(apart, group, size, normalization=normalization) < 0.05
    assert pair_loss(mixed, group, size, normalization=normalization) > 0.5


def test_pairs_that_are_not_compared_change_nothing():
    embedding, group, size = torch.randn(5, 2), torch.tensor([0, 0, 1, 1, 2]), torch.ones(5)
    compared = torch.ones(5, 5, dtype=torch.bool)
    compared[4] = compared[:, 4] = False
    pairs = chosen_pairs(group, compared)
    got = pair_loss(embedding, group, size, chosen=pairs, normalization="apart")
    torch.testing.assert_close(
        got, pair_loss(embedding[:4], group[:4], size[:4], normalization="apart")
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("normalization", ["joint", "apart"])
@pytest.mark.parametrize("distance", [0.0, 1e-4, 1.0, 30.0, 1e4])
def test_pair_loss_and_gradient_are_finite_at_any_distance(distance, normalization, dtype):
    side = math.sqrt(distance)
    embedding = torch.tensor(
        [[0.0, 0.0], [side, 0.0], [0.0, 0.0], [side, 0.0]], dtype=dtype
    ).requires_grad_()
    loss = pair_loss(
        embedding, torch.tensor([0, 0, 1, 1]), torch.ones(4), normalization=normalization
    )
    loss.backward()
    assert loss.isfinite()
    assert embedding.grad.isfinite().all()


@pytest.mark.parametrize("normalization", ["joint", "apart"])
def test_without_pairs_the_loss_is_zero_and_attached(normalization):
    for count in (0, 1):
        embedding = torch.zeros(count, 3, requires_grad=True)
        ones = torch.ones(count, dtype=torch.int64)
        loss = pair_loss(embedding, ones, ones, normalization=normalization)
        loss.backward()
        assert loss.item() == 0
        assert (embedding.grad == 0).all()


def test_pair_loss_names_an_unknown_normalization():
    with pytest.raises(ValueError, match="both"):
        pair_loss(
            torch.zeros(1, 1),
            torch.zeros(1, dtype=torch.int64),
            torch.ones(1),
            normalization="both",
        )


def test_mask_loss_by_hand():
    # sigma is 1 at distance 0 and about 0 at 50: prediction {0, 1}, target {0, 2} in a region of
    # three cells
    distance = torch.tensor([[0.0, 0.0, 50.0, 0.0]])
    target = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    region = torch.tensor([[1, 1, 1, 0]]) > 0
    assert mask_loss(distance, target, region).item() == pytest.approx(
        1 - (2 * 1 + 1) / (2 + 2 + 1)
    )


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0.02, 0.98), min_size=1, max_size=8),
    st.lists(st.floats(-0.3, 0.3), min_size=8, max_size=8),
)
def test_mask_loss_is_least_where_the_similarity_is_the_coverage(coverage, shift):
    target = torch.tensor([coverage])
    region = torch.ones_like(target, dtype=torch.bool)
    distance = (2 / target - 1).log()  # sigma = target
    assert mask_loss(distance, target, region).item() == pytest.approx(0, abs=1e-6)
    moved = (distance + torch.tensor([shift[: len(coverage)]])).clamp(min=0)
    assume((moved - distance).abs().max() > 0.01)
    assert mask_loss(moved, target, region) > 1e-5


def test_mask_loss_ignores_rows_with_an_empty_region():
    distance, target = (
        torch.tensor([[0.0, 50.0], [0.0, 0.0]]),
        torch.tensor([[0.0, 1.0], [0.0, 1.0]]),
    )
    region = torch.tensor([[1, 1], [0, 0]]) > 0
    torch.testing.assert_close(
        mask_loss(distance, target, region), mask_loss(distance[:1], target[:1], region[:1])
    )
    distance.requires_grad_()
    loss = mask_loss(distance, target, torch.zeros_like(region))
    loss.backward()
    assert loss.item() == 0
    assert (distance.grad == 0).all()


def test_seed_loss_by_hand():
    # one pixel, two thresholds, two classes
    logits = torch.tensor([[[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]])
    target_class, probability = torch.tensor([[0, 1]]), torch.tensor([[1.0, 0.25]])

    def log_softmax(row, index):
        return row[index] - math.log(sum(math.exp(v) for v in row))

    expected = -log_softmax([1.0, 2.0, 0.0], 1)
    expected -= 0.25 * log_softmax([0.0, 0.0, 3.0], 2) + 0.75 * log_softmax([0.0, 0.0, 3.0], 0)
    assert seed_loss(logits, target_class, probability).item() == pytest.approx(expected, rel=1e-5)


def test_iou_prediction_and_class_loss_add_up_to_the_seed_loss_of_sure_objects():
    logits = torch.randn(6, 3, 5)
    target_class = torch.randint(0, 4, (6,))
    whole = seed_loss(logits, target_class[:, None].expand(-1, 3), torch.ones(6, 3))
    parts = iou_prediction_loss(logits, torch.ones(6, 3)) + class_loss(
        logits.permute(1, 2, 0), target_class, torch.ones(6)
    )
    torch.testing.assert_close(whole, parts)


def test_iou_prediction_and_class_loss_by_hand():
    """p = (0.5, 0.3, 0.2) of background and two classes; object with probability 0.1, and of the
    second class."""
    logits = torch.tensor([[[0.5, 0.3, 0.2]]]).log()
    of_iou = iou_prediction_loss(logits, torch.tensor([[0.1]])).item()
    assert of_iou == pytest.approx(-(0.1 * math.log(0.5) + 0.9 * math.log(0.5)), rel=1e-5)
    two_pixels = torch.stack([logits[0, 0], torch.zeros(3)], 1)[None]
    of_class = class_loss(two_pixels, torch.tensor([1, 0]), torch.tensor([3.0, 1.0])).item()
    assert of_class == pytest.approx((3 * -math.log(0.2 / 0.5) + math.log(2)) / 4, rel=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.9])
@pytest.mark.parametrize("truth", [0.05, 0.5, 0.99])
def test_the_iou_prediction_is_least_costly_at_the_truth_whatever_labels_leave_out(share, truth):
    """Of pixels that lie on an object with some probability, a share of these objects has a label;
    the loss over many such pixels, along all predictions."""
    predicted = torch.linspace(0.001, 0.999, 999)
    logits = torch.stack([1 - predicted, predicted], 1).log()[:, None]

    def cost(target, known):
        shares = None if known else torch.full((1,), share)
        each = [iou_prediction_loss(x[None], torch.full((1, 1), target), shares) for x in logits]
        return torch.stack(each)

    labelled = share * truth
    total = labelled * cost(1.0, True) + (1 - labelled) * cost(0.0, False)
    assert predicted[total.argmin()].item() == pytest.approx(truth, abs=0.011)


def test_with_all_objects_labelled_the_share_changes_nothing():
    logits = torch.randn(7, 3, 4, requires_grad=True)
    iou = torch.rand(7, 3)
    losses = [iou_prediction_loss(logits, iou, share) for share in (None, torch.ones(7))]
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in losses]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda x: seed_loss(x[:0], torch.zeros(0, 3, dtype=torch.int64), torch.zeros(0, 3)),
        lambda x: iou_prediction_loss(x[:0], torch.zeros(0, 3)),
        lambda x: class_loss(x.permute(1, 2, 0), torch.zeros(4, dtype=torch.int64), torch.zeros(4)),
    ],
)
def test_without_pixels_the_losses_of_seeds_are_zero_and_attached(loss_of):
    logits = torch.zeros(4, 3, 2, requires_grad=True)
    loss = loss_of(logits)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "loss_of",
    [
        lambda x: seed_loss(x, torch.ones(4, 3, dtype=torch.int64), torch.full((4, 3), 0.3)),
        lambda x: iou_prediction_loss(x, torch.full((4, 3), 0.3)),
        lambda x: class_loss(x.permute(1, 2, 0), torch.ones(4, dtype=torch.int64), torch.ones(4)),
    ],
)
def test_losses_of_seeds_are_computed_in_single_precision(loss_of, dtype):
    torch.manual_seed(0)
    logits = torch.randn(4, 3, 3).to(dtype)
    assert torch.equal(loss_of(logits), loss_of(logits.float()))


def test_distances_of_pairs_by_hand():
    """On a line: two cells of background, two of one object, one of another, with a scale of 2."""
    embedding = torch.tensor([[0.0], [1.0], [3.0], [5.0], [9.0]])
    group, scale = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([1.0, 1.0, 2.0, 1.0, 1.0])
    found = pair_distances(embedding, group, distance_scale=scale)
    assert found["within"].tolist() == [2 * 4 + 4, 2]
    apart = {(0, 2): 9, (0, 3): 25, (0, 4): 81, (1, 2): 4, (1, 3): 16, (1, 4): 64}
    apart |= {(2, 4): 36, (3, 4): 16}
    doubled = sum(d * (2 if pair[0] == 2 else 1) for pair, d in apart.items())
    back = sum(d * (2 if pair[1] == 2 else 1) for pair, d in apart.items())
    assert found["apart"].tolist() == [doubled + back, 16]
    compared = torch.zeros(5, 5, dtype=torch.bool)
    compared[2, 3] = compared[4, 0] = compared[3, 2] = True
    found = pair_distances(embedding, group, is_compared=compared, step=2)
    assert found["within"].tolist() == [4, 1] and found["apart"].tolist() == [81, 1]

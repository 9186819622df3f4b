"""The metric by slow loops and by numbers that stand in its docstrings."""

import math

import pytest
import torch

from dml_instance.modeling.similarity import (
    distance_threshold,
    log_dissimilarity,
    log_similarity,
    pairwise_squared_distance,
    self_similarity,
    similarity,
)


def test_known_values_of_similarity_and_threshold():
    """sigma(log 3) is 1/2, since exp(log 3) + 1 = 4."""
    assert similarity(torch.tensor([0.0, math.log(3), 1e4])).tolist() == [1, 0.5, 0]
    assert distance_threshold(0.5) == pytest.approx(math.log(3))
    assert distance_threshold(2 / 3) == pytest.approx(math.log(2))
    assert log_similarity(torch.tensor([0.0, math.log(3)])).tolist() == pytest.approx(
        [0, math.log(0.5)]
    )


@pytest.mark.parametrize("tau", [1e-9, 1 - 1e-9])
def test_every_threshold_between_0_and_1_is_taken(tau):
    assert distance_threshold(tau) == pytest.approx(math.log(2 / tau - 1), abs=1e-12)
    assert distance_threshold(tau) > 0


@pytest.mark.parametrize("tau", [0.0, 1.0, math.nan])
def test_the_error_says_what_was_given_and_what_is_taken(tau):
    with pytest.raises(ValueError, match=rf"^a similarity .* between 0 and 1, got {tau}$"):
        distance_threshold(tau)


def test_the_margin_bounds_value_and_slope_where_two_objects_coincide():
    """At d = 0 the value is log tanh(margin / 2), about -5.3, and the slope 1 / sinh(margin)."""
    distance = torch.zeros(1, requires_grad=True)
    value = log_dissimilarity(distance)
    value.sum().backward()
    assert value.item() == pytest.approx(-5.3, abs=0.01)
    assert distance.grad.item() == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize("margin", [0.01, 0.5, 3.0])
def test_the_margin_is_added_to_the_distance(margin):
    distance = torch.tensor([0.0, 0.3, 2.0, 9.0])
    expected = (1 - 2 / (1 + (distance.double() + margin).exp())).log().float()
    torch.testing.assert_close(log_dissimilarity(distance, margin), expected, rtol=1e-4, atol=1e-6)


def test_slope_of_log_similarity_lies_between_a_half_and_one():
    distance = torch.tensor([0.0, 1.0, 50.0], requires_grad=True)
    log_similarity(distance).sum().backward()
    expected = [-0.5, -1 / (1 + math.exp(-1)), -1]
    assert distance.grad.tolist() == pytest.approx(expected)


def slow_distances(a, b, scale, chosen):
    """(P, R), each on its own."""
    rows = []
    for p in range(len(a)):
        others = range(len(b)) if chosen is None else chosen[p].tolist()
        factor = 1 if scale is None else scale[p].item()
        rows.append([factor * sum((x - y) ** 2 for x, y in zip(a[p], b[q], strict=True)).item()
                     for q in others])  # fmt: skip
    return torch.tensor(rows)


@pytest.mark.parametrize("has_scale", [False, True])
@pytest.mark.parametrize("num_chosen", [None, 1, 2, 5])
def test_distances_to_chosen_pixels_are_those_of_the_loop(has_scale, num_chosen):
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(4, 3, generator=generator), torch.randn(6, 3, generator=generator) + 2
    scale = torch.tensor([0.5, 1.0, 2.0, 3.0]) if has_scale else None
    chosen = None
    if num_chosen:
        chosen = torch.randint(0, 6, (4, num_chosen), generator=generator)
    got = pairwise_squared_distance(a, b, scale, chosen)
    expected = slow_distances(a.double(), b.double(), scale, chosen)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4, check_dtype=False)
    assert got.dtype == torch.float32


def test_distances_of_what_coincides_are_never_negative():
    """As the expansion would have them, by rounding."""
    pixels = torch.randn(200, 16, generator=torch.Generator().manual_seed(0)) * 30
    distance = pairwise_squared_distance(pixels, pixels)
    assert (distance >= 0).all()
    assert (distance.diagonal() < 0.1).all() and (distance.diagonal() == 0).any()


def test_distances_have_the_gradients_of_the_loop():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 2, generator=generator, requires_grad=True) for n in (3, 4))
    scale = torch.tensor([0.5, 1.0, 2.0], requires_grad=True)
    weight = torch.rand(3, 4, generator=generator)
    got = torch.autograd.grad(
        (pairwise_squared_distance(a, b, scale) * weight).sum(), (a, b, scale)
    )
    plain = scale[:, None] * (a[:, None] - b[None]).square().sum(-1)
    expected = torch.autograd.grad((plain * weight).sum(), (a, b, scale))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_factors_and_embeddings_of_any_dtype_give_float32(dtype):
    a, scale = torch.tensor([[0.0], [2.0]], dtype=dtype), torch.tensor([0.5, 3.0], dtype=dtype)
    got = pairwise_squared_distance(a, a, scale)
    assert got.dtype == torch.float32
    assert got.tolist() == [[0, 2], [12, 0]]
    alike = self_similarity(a.view(1, 1, 1, 2), [(0, 1)], distance_scale=scale.view(1, 1, 2))
    assert alike.dtype == torch.float32
    assert alike.flatten().tolist() == pytest.approx([2 / (1 + math.exp(2)), 0])
    assert similarity(a).dtype == log_similarity(a).dtype == log_dissimilarity(a).dtype
    assert similarity(a).dtype == torch.float32


def test_self_similarity_looks_below_and_to_the_right_for_positive_offsets():
    """A grid in which one cell differs: asked from its neighbours and from itself."""
    embedding = torch.zeros(1, 1, 3, 4)
    embedding[0, 0, 1, 2] = 100.0
    below, left = self_similarity(embedding, [(1, 0), (0, -1)])[0]
    assert below.tolist() == [[1, 1, 0, 1], [1, 1, 0, 1], [0, 0, 0, 0]]
    assert left.tolist() == [[0, 1, 1, 1], [0, 1, 0, 0], [0, 1, 1, 1]]


def test_self_similarity_scales_by_the_cell_that_asks():
    embedding = torch.tensor([[[[0.0, 1.0]]]])
    scale = torch.tensor([[[2.0, 0.5]]])
    got = self_similarity(embedding, [(0, 1), (0, -1)], distance_scale=scale)
    expected = [2 / (1 + math.exp(2)), 0, 0, 2 / (1 + math.exp(0.5))]
    assert got.flatten().tolist() == pytest.approx(expected)


def test_self_similarity_leaves_its_input_alone():
    embedding, scale = torch.ones(1, 2, 3, 3), torch.full((1, 3, 3), 2.0)
    self_similarity(embedding, [(0, 1), (2, 2)], 2, scale)
    assert (embedding == 1).all() and (scale == 2).all()

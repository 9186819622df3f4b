import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dml_instance.modeling.similarity import (
    distance_threshold,
    log_dissimilarity,
    log_similarity,
    pairwise_squared_distance,
    self_similarity,
    similarity,
)

DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@given(st.floats(0, 30))
def test_similarity_is_the_formula_of_the_paper(d):
    expected = 2 / (1 + math.exp(d))
    assert similarity(torch.tensor(d, dtype=torch.float64)).item() == pytest.approx(
        expected, rel=1e-5, abs=1e-12
    )
    assert log_similarity(torch.tensor(d)).item() == pytest.approx(
        math.log(expected), rel=1e-5, abs=1e-6
    )


@given(st.floats(1e-3, 14))
def test_log_dissimilarity_is_the_log_of_one_minus_similarity(d):
    expected = math.log(1 - 2 / (1 + math.exp(d)))
    got = log_dissimilarity(torch.tensor(d), margin=0.0).item()
    assert got == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_two_objects_that_coincide_cost_what_the_margin_says():
    """Unless another margin is asked for, d + 0.01 stands for d."""
    for d in (0.0, 0.5):
        expected = math.log(math.tanh((d + 0.01) / 2))
        assert log_dissimilarity(torch.tensor(d)).item() == pytest.approx(expected, rel=1e-4)
    one = log_dissimilarity(torch.tensor(0.0), margin=1.0).item()
    assert one == pytest.approx(math.log(math.tanh(0.5)), rel=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [log_similarity, log_dissimilarity])
def test_logs_and_gradients_are_finite_from_0_to_1e4(function, dtype):
    d = torch.cat([torch.zeros(1), torch.logspace(-8, 4, 400)]).to(dtype).requires_grad_()
    value = function(d)
    value.sum().backward()
    assert value.dtype == torch.float32
    assert value.isfinite().all()
    assert d.grad.isfinite().all()
    assert (value <= 0).all()


@pytest.mark.parametrize("tau", [0.01, 0.25, 0.5, 0.75, 0.99])
def test_threshold_is_where_similarity_equals_tau(tau):
    assert similarity(torch.tensor(distance_threshold(tau))).item() == pytest.approx(tau, rel=1e-5)


@pytest.mark.parametrize("tau", [-1, 0, 1, 2])
def test_threshold_rejects_what_is_no_similarity(tau):
    with pytest.raises(ValueError, match=str(tau)):
        distance_threshold(tau)


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_pairwise_distance_equals_the_loop_even_far_from_the_origin(offset):
    torch.manual_seed(0)
    a, b = torch.randn(7, 5) + offset, torch.randn(9, 5) + offset
    expected = torch.tensor([[float(((p.double() - q.double()) ** 2).sum()) for q in b] for p in a])
    torch.testing.assert_close(pairwise_squared_distance(a, b), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pairwise_distance_under_autocast_keeps_float32(dtype):
    a = torch.randn(6, 4).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = pairwise_squared_distance(a, a)
    assert got.dtype == torch.float32
    torch.testing.assert_close(
        got, (a.float()[:, None] - a.float()[None]).square().sum(-1), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_similarities_and_scaled_distances_are_float32_whatever_is_given(dtype):
    a, scale = torch.rand(3, 2).to(dtype), torch.rand(3).to(dtype)
    assert pairwise_squared_distance(a, a, scale).dtype == torch.float32
    assert similarity(scale).dtype == torch.float32
    of_itself = self_similarity(a.view(1, 2, 1, 3), [(0, 1)], 1, scale.view(1, 1, 3))
    assert of_itself.dtype == torch.float32


def test_distances_are_scaled_by_the_pixel_that_they_start_from():
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [5.0]])
    got = pairwise_squared_distance(a, b, torch.tensor([2.0, 10.0]))
    torch.testing.assert_close(got, torch.tensor([[18.0, 50.0], [40.0, 160.0]]))


def test_distances_of_equal_embeddings_are_never_negative():
    a = torch.full((1, 3), 0.1) + torch.arange(40)[:, None] * 1e-4
    assert (pairwise_squared_distance(a, a) >= 0).all()


def test_gradients_of_distances_are_those_of_the_differences():
    torch.manual_seed(0)
    a, b = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    weight = torch.rand(4, 4)
    (pairwise_squared_distance(a, b) * weight).sum().backward()
    expected = 2 * (weight[..., None] * (a[:, None] - b[None])).detach()
    torch.testing.assert_close(a.grad, expected.sum(1).double(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(b.grad, -expected.sum(0).double(), rtol=1e-4, atol=1e-5)


def test_a_few_chosen_distances():
    chosen = torch.tensor([[1, 0], [1, 1]])
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    torch.testing.assert_close(
        pairwise_squared_distance(a, b, torch.tensor([2.0, 3.0]), chosen),
        pairwise_squared_distance(a, b, torch.tensor([2.0, 3.0])).gather(1, chosen),
    )


def test_no_pixels_give_an_empty_matrix():
    assert pairwise_squared_distance(torch.zeros(0, 3), torch.zeros(2, 3)).shape == (0, 2)
    assert pairwise_squared_distance(torch.zeros(2, 3), torch.zeros(0, 3)).shape == (2, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_self_similarity_is_the_similarity_to_the_cell_at_each_offset(step, dtype):
    given = torch.randn(2, 3, 7, 6).to(dtype)
    offsets = [(0, 1), (-2, 0), (3, -4), (0, 9)]
    scale = torch.rand(2, 7, 6) + 0.5
    got = self_similarity(given, offsets, step, scale)
    embedding = given.float()
    assert got.shape == (2, 4, len(range(0, 7, step)), len(range(0, 6, step)))
    for image in range(2):
        for index, (down, right) in enumerate(offsets):
            for i, row in enumerate(range(0, 7, step)):
                for j, column in enumerate(range(0, 6, step)):
                    other = (row + down, column + right)
                    expected = 0.0
                    if 0 <= other[0] < 7 and 0 <= other[1] < 6:
                        difference = (
                            embedding[image, :, row, column]
                            - embedding[image, :, other[0], other[1]]
                        )
                        expected = 2 / (
                            1 + math.exp(scale[image, row, column] * difference.square().sum())
                        )
                    assert got[image, index, i, j].item() == pytest.approx(
                        expected, rel=1e-4, abs=1e-6
                    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 6e4])
def test_self_similarity_is_finite_whatever_it_is_given(dtype, value):
    embedding = torch.zeros(1, 2, 4, 4, dtype=dtype)
    embedding[0, 0, 1, 1] = value
    got = self_similarity(embedding, [(0, 1), (1, 1)])
    assert got.dtype == torch.float32
    assert ((got >= 0) & (got <= 1)).all()
    assert got[0, 0, 1, 0] == 0
    assert got[0, 0, 2, 0] == 1

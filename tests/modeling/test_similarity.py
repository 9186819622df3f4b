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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [log_similarity, log_dissimilarity])
def test_logs_and_gradients_are_finite_from_0_to_1e4(function, dtype):
    d = torch.cat([torch.zeros(1), torch.logspace(-8, 4, 400)]).to(dtype).requires_grad_()
    value = function(d)
    value.sum().backward()
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


def test_no_pixels_give_an_empty_matrix():
    chosen = torch.tensor([[1, 0], [1, 1]])
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    torch.testing.assert_close(
        pairwise_squared_distance(a, b, torch.tensor([2.0, 3.0]), chosen),
        pairwise_squared_distance(a, b, torch.tensor([2.0, 3.0])).gather(1, chosen),
    )
    assert pairwise_squared_distance(torch.zeros(0, 3), torch.zeros(2, 3)).shape == (0, 2)
    assert pairwise_squared_distance(torch.zeros(2, 3), torch.zeros(0, 3)).shape == (2, 0)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_self_similarity_is_the_similarity_to_the_cell_at_each_offset(step):
    embedding = torch.randn(2, 3, 7, 6)
    offsets = [(0, 1), (-2, 0), (3, -4), (0, 9)]
    scale = torch.rand(2, 7, 6) + 0.5
    got = self_similarity(embedding, offsets, step, scale)
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

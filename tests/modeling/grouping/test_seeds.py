import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dml_instance.modeling.grouping import (
    Candidates,
    class_probability,
    find_candidates,
    seediness,
    select_seeds,
)


def candidates_of(embedding, score, place=None, level=None, distance_scale=None):
    count = len(score)
    zeros = torch.zeros(count, dtype=torch.int64)
    position = torch.stack([torch.arange(count), zeros], 1)
    return Candidates(
        embedding=embedding,
        distance_scale=torch.ones(count) if distance_scale is None else distance_scale,
        place=position.float() if place is None else place,
        position=position,
        seediness=score,
        tau_index=zeros,
        pred_class=zeros,
        level=zeros if level is None else level,
    )


def slow_seed_order(embedding, scale, score, count, alpha, dissimilarity):
    """The greedy rule, word by word: the first by S alone, then by log S + alpha log D."""
    chosen = []
    while len(chosen) < min(count, len(score)):
        best, best_value = None, -math.inf
        for p in range(len(score)):
            if p in chosen:
                continue
            value = math.log(score[p])
            if chosen:
                squared = min(
                    scale[q]
                    * sum((a - b) ** 2 for a, b in zip(embedding[p], embedding[q], strict=True))
                    for q in chosen
                )
                diversity = 1 - 2 / (1 + math.exp(squared)) if dissimilarity else math.sqrt(squared)
                value += alpha * math.log(diversity)
            if value > best_value:
                best, best_value = p, value
        chosen.append(best)
    return chosen


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 15), st.sampled_from([0.1, 0.3, 0.6]), st.booleans())
def test_seed_order_equals_the_slow_rule(seed, count, alpha, dissimilarity):
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(count, 3, generator=generator)
    score = torch.rand(count, generator=generator) * 0.98 + 0.01
    scale = torch.rand(count, generator=generator) + 0.5
    seeds = select_seeds(
        candidates_of(embedding, score, distance_scale=scale),
        max_seeds=10,
        alpha=alpha,
        dissimilarity=dissimilarity,
        context=-1,
    )
    expected = slow_seed_order(
        embedding.double().tolist(), scale.tolist(), score.tolist(), 10, alpha, dissimilarity
    )
    assert seeds.position[:, 0].tolist() == expected
    assert torch.equal(seeds.score, score[expected])


def test_alpha_zero_orders_by_score():
    score = torch.tensor([0.2, 0.9, 0.5])
    seeds = select_seeds(
        candidates_of(torch.zeros(3, 2), score),
        max_seeds=2,
        alpha=0,
        dissimilarity=True,
        context=-1,
    )
    assert seeds.position[:, 0].tolist() == [1, 2]


@pytest.mark.parametrize("dissimilarity", [True, False])
def test_look_alikes_out_of_context_or_on_another_scale_do_not_suppress(dissimilarity):
    embedding = torch.tensor([[0.0], [0.0], [3.0]])
    score = torch.tensor([0.9, 0.8, 0.3])
    rules = {"max_seeds": 2, "alpha": 0.6, "dissimilarity": dissimilarity}
    near = torch.tensor([[0.0, 0.0], [5.0, 5.0], [9.0, 0.0]])
    far = torch.tensor([[0.0, 0.0], [50.0, 5.0], [9.0, 0.0]])
    assert (
        select_seeds(candidates_of(embedding, score, near), context=20, **rules).position[1, 0] == 2
    )
    assert (
        select_seeds(candidates_of(embedding, score, far), context=20, **rules).position[1, 0] == 1
    )
    level = torch.tensor([0, 1, 0])
    assert (
        select_seeds(candidates_of(embedding, score, near, level), context=20, **rules).position[
            1, 0
        ]
        == 1
    )


def test_seediness_is_the_largest_foreground_probability_over_thresholds():
    logits = torch.zeros(2, 3, 1, 2)  # T = 2, K = 2
    logits[1, 2, 0, 0] = 4.0
    logits[:, 0, 0, 1] = 9.0
    score = seediness(class_probability(logits))
    assert score[0, 0].item() == pytest.approx(math.exp(4) / (2 + math.exp(4)), rel=1e-5)
    assert score[0, 1] < 0.001
    found = find(torch.zeros(1, 1, 2), logits)
    assert (found.position.tolist(), found.tau_index.tolist(), found.pred_class.tolist()) == (
        [[0, 0]],
        [1],
        [1],
    )


@pytest.mark.parametrize("classes", [1, 3])
def test_class_probability_is_a_softmax_and_zero_where_it_is_none(classes):
    logits = torch.randn(2, classes + 1, 4, 5) * 5
    expected = logits.softmax(dim=1)[:, 1:]
    torch.testing.assert_close(class_probability(logits), expected)
    for place, value in enumerate([torch.nan, torch.inf]):
        logits[0, 1, 0, place] = value
        expected[0, :, 0, place] = 0.0
    torch.testing.assert_close(class_probability(logits), expected)


@pytest.mark.parametrize("size", [3, 5])
def test_peaks_equal_those_of_pooling(size):
    score = torch.rand(13, 17)
    smooth = F.avg_pool2d(score[None, None], 3, stride=1, padding=1, count_include_pad=False)[0, 0]
    peaks = smooth == F.max_pool2d(smooth[None, None], size, stride=1, padding=size // 2)[0, 0]
    found = find(
        torch.zeros(1, 13, 17),
        logits_with_score(score),
        peaks_only=True,
        peak_size=size,
        min_seediness=0.0,
    )
    assert found.position.tolist() == peaks.nonzero().tolist()
    torch.testing.assert_close(found.seediness, smooth[peaks])


def find(embedding, logits, **changes):
    rules = {
        "level": 0,
        "cell_size": 2.0,
        "peaks_only": False,
        "peak_size": 3,
        "min_seediness": 0.3,
    }
    return find_candidates(
        embedding,
        torch.ones(embedding.shape[1:]),
        class_probability(logits),
        **{**rules, **changes},
    )


def logits_with_score(score):
    """T = 1, K = 1 logits whose softmax gives ``score``."""
    return torch.stack([torch.zeros_like(score), torch.logit(score)])[None]


def test_all_pixels_over_the_limit_are_candidates_with_their_places():
    score = torch.tensor([[0.9, 0.1], [0.2, 0.6]])
    got = find(torch.randn(3, 2, 2), logits_with_score(score))
    assert got.position.tolist() == [[0, 0], [1, 1]]
    assert got.place.tolist() == [[1.0, 1.0], [3.0, 3.0]]
    torch.testing.assert_close(got.seediness, torch.tensor([0.9, 0.6]))


def test_peaks_are_one_a_hill():
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(20.0), indexing="ij")
    hills = [(4, 5), (7, 14)]
    score = (
        sum(0.8 * torch.exp(-((rows - r) ** 2 + (columns - c) ** 2) / 6) for r, c in hills) + 0.01
    )
    got = find(torch.randn(2, 12, 20), logits_with_score(score), peaks_only=True)
    assert got.position.tolist() == [list(hill) for hill in hills]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_cells_that_are_not_finite_are_no_candidates(bad):
    embedding, logits = torch.randn(2, 3, 3), logits_with_score(torch.full((3, 3), 0.8))
    embedding[1, 0, 0] = bad
    logits[0, 1, 2, 2] = math.nan
    got = find(embedding, logits)
    assert [0, 0] not in got.position.tolist()
    assert [2, 2] not in got.position.tolist()
    assert len(got.position) == 7
    assert len(find(torch.full((2, 3, 3), bad), logits, peaks_only=True).position) == 0


@pytest.mark.parametrize("alpha", [0, 0.3])
def test_no_candidates_give_no_seeds(alpha):
    seeds = select_seeds(
        candidates_of(torch.zeros(0, 2), torch.zeros(0)),
        max_seeds=5,
        alpha=alpha,
        dissimilarity=True,
        context=-1,
    )
    assert len(seeds) == 0

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dml_instance.grouping import GroupingRules, seediness
from dml_instance.grouping.seeds import Candidates, find_candidates
from dml_instance.modeling.grouping import class_probability
from hand_made import grid_maps, maps_of


def test_seediness_is_the_largest_foreground_probability_over_thresholds():
    logits = torch.zeros(2, 3, 1, 2)  # T = 2, K = 2
    logits[1, 2, 0, 0] = 4.0
    logits[:, 0, 0, 1] = 9.0
    score = seediness(class_probability(logits).numpy())
    assert score[0, 0].item() == pytest.approx(math.exp(4) / (2 + math.exp(4)), rel=1e-5)
    assert score[0, 1] < 0.001
    found = find(torch.zeros(1, 1, 2), logits)
    assert (found.position.tolist(), found.tau_index.tolist(), found.pred_class.tolist()) == (
        [[0, 0]],
        [1],
        [1],
    )


@pytest.mark.parametrize("shape", [(4, 5), (2, 5), (5, 2)])
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_class_probability_is_a_softmax_and_zero_where_it_is_none(classes, shape):
    logits = torch.randn(2, classes + 1, *shape) * 5
    expected = logits.softmax(dim=1)[:, 1:]
    torch.testing.assert_close(class_probability(logits), expected)
    for place, value in enumerate([torch.nan, torch.inf]):
        logits[0, 1, 0, place] = value
        expected[0, :, 0, place] = 0.0
    torch.testing.assert_close(class_probability(logits), expected)


@pytest.mark.parametrize("classes", [1, 2])
def test_class_probability_keeps_float32_and_asks_for_no_gradient(classes):
    logits = torch.zeros(1, classes + 1, 1, 1, dtype=torch.float16, requires_grad=True)
    probability = class_probability(logits)
    assert probability.dtype == torch.float32 and not probability.requires_grad
    torch.testing.assert_close(probability, torch.full((1, classes, 1, 1), 1 / (classes + 1)))
    assert logits.detach().eq(0).all()


def find(embedding, logits, level=0, stride=2, scale=1.0, distance_scale=None, **rules):
    maps = maps_of(embedding, logits, stride=stride, scale=scale, distance_scale=distance_scale)
    rules = GroupingRules(**{"candidates": "all", "min_seediness": 0.3, **rules})
    return find_candidates(grid_maps(maps), level, rules)


def logits_with_score(score):
    """T = 1, K = 1 logits whose softmax gives ``score``."""
    return torch.stack([torch.zeros_like(score), torch.logit(score)])[None]


@pytest.mark.parametrize(
    ("stride", "peak_radius", "size"),
    [
        *((2, 2, 3), (2, 4, 5), (1, 1, 3), (1, 2, 5), (1, 3, 7), (4, 8, 5)),
        *((4, 5, 3), (4, 7, 5), (3, 10, 7), (4, 1, 3), (8, 2, 3)),
    ],
)
def test_peaks_equal_those_of_pooling_over_the_radius_in_pixels(stride, peak_radius, size):
    """``size`` is that of the square, in cells; it has at least one cell to each side."""
    score = torch.rand(13, 17, generator=torch.Generator().manual_seed(stride + peak_radius))
    smooth = F.avg_pool2d(score[None, None], 3, stride=1, padding=1, count_include_pad=False)[0, 0]
    peaks = smooth == F.max_pool2d(smooth[None, None], size, stride=1, padding=size // 2)[0, 0]
    found = find(
        torch.zeros(1, 13, 17),
        logits_with_score(score),
        stride=stride,
        candidates="peaks",
        peak_radius=peak_radius,
        min_seediness=0.0,
    )
    assert found.position.tolist() == peaks.nonzero().tolist()
    torch.testing.assert_close(torch.from_numpy(found.seediness), smooth[peaks])


def test_all_pixels_over_the_limit_are_candidates_with_their_places():
    score = torch.tensor([[0.9, 0.1], [0.2, 0.6]])
    got = find(torch.randn(3, 2, 2), logits_with_score(score))
    assert got.position.tolist() == [[0, 0], [1, 1]]
    assert got.coordinates.tolist() == [[1.0, 1.0], [3.0, 3.0]]
    assert got.seediness == pytest.approx([0.9, 0.6])


def test_the_limit_itself_is_enough():
    score = torch.full((1, 2), 0.5)
    assert len(find(torch.zeros(1, 1, 2), logits_with_score(score), min_seediness=0.5)) == 2
    assert len(find(torch.zeros(1, 1, 2), logits_with_score(score), min_seediness=0.5001)) == 0


def test_the_limit_holds_for_the_cell_itself_and_not_for_the_smoothed_one():
    """A ring whose middle is nothing, but the peak once smoothed; and a cell among weak ones."""
    score = torch.full((7, 12), 0.01)
    score[2:5, 1:4] = 0.9
    score[3, 2] = 0.01
    score[2:5, 8:11] = 0.2
    score[3, 9] = 0.9
    got = find(torch.zeros(1, 7, 12), logits_with_score(score), candidates="peaks")
    assert got.position.tolist() == [[3, 9]]
    assert got.seediness == pytest.approx([(0.9 + 8 * 0.2) / 9])


@pytest.mark.parametrize(
    ("stride", "scale", "pixels"), [(1, 1.0, 1), (4, 1.0, 4), (4, 2.0, 2), (4, 0.5, 8), (2, 4, 0.5)]
)
def test_a_place_is_the_middle_of_the_cell_in_pixels_of_the_image(stride, scale, pixels):
    score = torch.full((3, 5), 0.01)
    score[2, 3] = 0.9
    got = find(torch.zeros(1, 3, 5), logits_with_score(score), stride=stride, scale=scale)
    assert got.coordinates.tolist() == [[2.5 * pixels, 3.5 * pixels]]


def test_a_candidate_has_what_the_maps_say_of_its_cell():
    """T = 2, K = 3 and a grid that is not square, so that no two axes can be taken for another."""
    embedding = torch.arange(2 * 5 * 7.0).view(2, 5, 7)
    distance_scale = torch.arange(5 * 7.0).view(5, 7) + 1
    logits = torch.full((2, 4, 5, 7), -9.0)
    logits[:, 0] = 0.0
    logits[0, 3, 1, 5] = 5.0  # tau 0, class 2
    logits[1, 1, 3, 2] = 4.0  # tau 1, class 0
    logits[0, 2, 3, 2] = 3.0
    got = find(embedding, logits, level=3, distance_scale=distance_scale, min_seediness=0.5)
    assert got.position.tolist() == [[1, 5], [3, 2]]
    assert got.embedding.tolist() == [[12, 12 + 35], [23, 23 + 35]]
    assert got.distance_scale.tolist() == [13, 24]
    assert got.tau_index.tolist() == [0, 1]
    assert got.pred_class.tolist() == [2, 0]
    assert got.level.tolist() == [3, 3]
    assert len(got) == 2


def test_candidates_of_scales_stand_one_after_the_other():
    logits = logits_with_score(torch.full((1, 2), 0.9))
    parts = [find(torch.full((1, 1, 2), 1.0 * level), logits, level) for level in (0, 1)]
    both = Candidates.cat(parts)
    assert both.level.tolist() == [0, 0, 1, 1]
    assert both.embedding.flatten().tolist() == [0, 0, 1, 1]
    assert both.position.tolist() == [[0, 0], [0, 1]] * 2


def test_peaks_are_one_a_hill():
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(20.0), indexing="ij")
    hills = [(4, 5), (7, 14)]
    score = (
        sum(0.8 * torch.exp(-((rows - r) ** 2 + (columns - c) ** 2) / 6) for r, c in hills) + 0.01
    )
    got = find(torch.randn(2, 12, 20), logits_with_score(score), candidates="peaks")
    assert got.position.tolist() == [list(hill) for hill in hills]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_cells_that_are_not_finite_are_no_candidates(bad):
    embedding, logits = torch.randn(2, 3, 3), logits_with_score(torch.full((3, 3), 0.8))
    factor = torch.ones(3, 3)
    embedding[1, 0, 0] = bad
    factor[0, 1] = bad
    logits[0, 1, 2, 2] = math.nan
    got = find(embedding, logits, distance_scale=factor)
    expected = [[0, 2], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1]]
    assert got.position.tolist() == expected
    assert {len(column) for column in vars(got).values()} == {6}
    everywhere = torch.full((2, 3, 3), bad)
    assert len(find(everywhere, logits, candidates="peaks").position) == 0


@pytest.mark.parametrize("rows_at_once", [1, 2, 5])
@pytest.mark.parametrize(("candidates", "radius"), [("peaks", 2), ("peaks", 6), ("all", 2)])
def test_candidates_are_the_same_however_many_rows_are_searched_at_once(
    monkeypatch, candidates, radius, rows_at_once
):
    generator = torch.Generator().manual_seed(0)
    # Few values, so that peaks tie across the borders of what is searched at once.
    score = torch.randint(1, 8, (13, 11), generator=generator) / 9
    rules = {"candidates": candidates, "peak_radius": radius, "min_seediness": 0.2}
    embedding = torch.randn(2, 13, 11, generator=generator)
    expected = find(embedding, logits_with_score(score), **rules)
    monkeypatch.setattr("dml_instance.grouping.seeds._CELLS_AT_ONCE", 11 * rows_at_once)
    found = find(embedding, logits_with_score(score), **rules)
    assert len(found) > 5
    for name, values in vars(expected).items():
        assert np.array_equal(getattr(found, name), values), name

"""The instances of an image as a whole: their fields, their sizes, several scales, and slow
loops."""

import mmap

import numpy as np
import pytest
import torch
from detectron2.structures import Instances
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dml_instance.modeling.grouping import grouping as grouping_module
from dml_instance.modeling.grouping.growing import grow_masks
from toy_scenes import assert_is_instance_result

from .hand_made import (
    HandSeed,
    flat_embedding,
    grouping_of,
    instances_of,
    logits_of,
    maps_of,
    needs_machine_code,
    picture,
    threshold_of,
)


def test_two_objects_become_two_instances_with_tight_boxes():
    ids = torch.zeros(20, 30, dtype=torch.int64)
    ids[2:8, 3:9], ids[10:18, 15:29] = 1, 2
    seeds = [HandSeed(12, 20, 0.6, pred_class=0), HandSeed(4, 5, 0.9, pred_class=1)]
    result = instances_of(flat_embedding(ids), seeds)
    assert_is_instance_result({"instances": result}, 20, 30, num_classes=2)
    assert torch.equal(result.pred_masks, torch.stack([ids == 1, ids == 2]))
    torch.testing.assert_close(result.scores, torch.tensor([0.9, 0.6]))
    assert result.pred_classes.tolist() == [1, 0]
    assert result.pred_boxes.tensor.tolist() == [[3, 2, 9, 8], [15, 10, 29, 18]]


def test_near_duplicates_are_dropped_and_kept_on_request():
    ids = torch.zeros(10, 10, dtype=torch.int64)
    ids[2:8, 2:8] = 1
    seeds = [HandSeed(3, 3, 0.9), HandSeed(6, 6, 0.8)]
    assert len(instances_of(flat_embedding(ids), seeds)) == 1
    assert len(instances_of(flat_embedding(ids), seeds, max_overlap=1.0)) == 2


@pytest.mark.parametrize("scores", [[0.9, 0.9], [0.8, 0.8]])
def test_of_equal_scores_the_first_in_the_image_comes_first(scores):
    seeds = [HandSeed(0, column, score, column) for column, score in enumerate([*scores, 0.95])]
    result = instances_of(flat_embedding(picture("123")), seeds)
    assert result.pred_classes.tolist() == [2, 0, 1]


@pytest.mark.parametrize("rules", [{}, {"class_by": "vote"}, {"score": "seediness_similarity"}])
@pytest.mark.parametrize("size", [(4, 4), (9, 7)])
def test_no_seeds_give_an_empty_result_of_the_right_shapes(rules, size):
    result = instances_of(torch.zeros(2, 4, 4), [], size, **rules)
    assert_is_instance_result({"instances": result}, *size, num_classes=9)
    assert result.pred_boxes.tensor.shape == (0, 4)


def test_values_that_are_not_finite_join_no_mask():
    embedding = torch.zeros(1, 5, 5)
    embedding[0, 0, :3] = torch.tensor([np.nan, np.inf, -np.inf])
    result = instances_of(embedding, [HandSeed(3, 3, 0.9)])
    assert result.pred_masks[0].sum() == 22


def test_a_seed_that_is_not_finite_gives_no_instance():
    embedding = torch.zeros(1, 5, 5)
    embedding[0, 1, 1] = np.nan
    seeds = [HandSeed(1, 1, 0.9), HandSeed(3, 3, 0.8)]
    result = instances_of(embedding, seeds, score="seediness_similarity")
    torch.testing.assert_close(result.scores, torch.tensor([0.8]))


def test_maps_of_a_network_in_training_and_in_half_precision_are_taken_as_they_are():
    ids = picture("11.22 11.22")
    maps = maps_of(flat_embedding(ids).half(), [HandSeed(0, 1, 0.9), HandSeed(1, 4, 0.8)])
    for values in (maps.embedding, maps.class_logits, maps.distance_scale):
        values.requires_grad_()
    rules = {"class_by": "vote", "score": "seediness_similarity", "connect_gap": 1, "alpha": 0.3}
    result = grouping_of(**rules)([maps], (2, 5))
    assert torch.equal(result.pred_masks, torch.stack([ids == 1, ids == 2]))
    assert not result.scores.requires_grad


@pytest.mark.parametrize("output_size", [(13, 18), (26, 36), (13, 36), (7, 9)])
def test_cells_beyond_the_image_are_not_drawn_and_the_others_not_moved(output_size):
    """An image of 13 x 18 pixels at stride 4 has 4 x 5 cells: of the last row there is a pixel, and
    of the last column two."""
    ids = picture("""
        ....2
        .11.2
        .11.2
        .11.2
    """)
    seeds = [HandSeed(2, 1, 0.9), HandSeed(2, 4, 0.8)]
    maps = maps_of(flat_embedding(ids), seeds, stride=4, image_size=(13, 18))
    result = grouping_of()([maps], output_size)
    rows, columns = (
        ((torch.arange(out) + 0.5) * side / out // 4).long()
        for out, side in zip(output_size, (13, 18), strict=True)
    )
    expected = ids[rows[:, None], columns]
    assert torch.equal(result.pred_masks, torch.stack([expected == 1, expected == 2]))


def test_the_best_mask_of_any_scale_wins_and_all_are_drawn_at_one_size():
    """The image at half its size and at twice its size, both at stride 2: 4 pixels a cell, and
    1."""
    coarse = picture("""
        11..
        11.4
        ..2.
    """)
    fine = coarse.repeat_interleave(4, 0).repeat_interleave(4, 1)
    fine[2, 13] = 5
    pyramid = [
        maps_of(
            flat_embedding(coarse),
            [HandSeed(0, 0, 0.9, 0), HandSeed(2, 2, 0.5, 1), HandSeed(1, 3, 0.3, 2)],
            stride=2,
            scale=0.5,
        ),
        maps_of(
            flat_embedding(fine),
            [HandSeed(4, 4, 0.8, 3), HandSeed(9, 9, 0.6, 4), HandSeed(2, 13, 0.4, 5)],
            stride=2,
            scale=2.0,
        ),
    ]
    result = grouping_of()(pyramid, (12, 16))
    assert result.pred_classes.tolist() == [0, 4, 5, 2]
    torch.testing.assert_close(result.scores, torch.tensor([0.9, 0.6, 0.4, 0.3]))
    expected = torch.stack([fine == number for number in (1, 2, 5, 4)])
    assert torch.equal(result.pred_masks, expected)


def test_the_class_and_the_score_are_asked_of_the_scale_of_the_mask():
    """The same object on two grids, on which different classes have the votes."""
    pyramid = [
        maps_of(torch.zeros(1, 1, 2), [HandSeed(0, 0, 0.5, 1), HandSeed(0, 1, 0.25, 1)]),
        maps_of(torch.zeros(1, 1, 3), [HandSeed(0, 2, 0.875, 2), HandSeed(0, 1, 0.625, 2)]),
    ]
    result = grouping_of(class_by="vote")(pyramid, (1, 6))
    assert result.pred_classes.tolist() == [2]
    torch.testing.assert_close(result.scores, torch.tensor([0.875]))


@pytest.mark.skipif(not hasattr(mmap, "MADV_NOHUGEPAGE"), reason="takes 4 GiB of memory here")
@pytest.mark.parametrize(("width", "is_moved"), [(2**16, True), (2**16 + 1, False)])
def test_masks_of_more_than_4_gib_stay_on_the_cpu(monkeypatch, width, is_moved):
    """Most of which is never touched: the grid covers the first pixels alone."""
    moved = []
    monkeypatch.setattr(Instances, "to", lambda self, device: moved.append(device) or self)
    size = (2**16, width)
    maps = maps_of(flat_embedding(picture("1..")), [HandSeed(0, 0, 0.9)], image_size=size)
    result = grouping_of()([maps], size)
    assert result.pred_masks.shape == (1, *size)
    assert moved == ([torch.device("cpu")] if is_moved else [])


@pytest.mark.parametrize("connect_gap", [0, 6])
def test_masks_are_grown_in_arrays_of_the_shapes_and_types_that_are_promised(
    monkeypatch, connect_gap
):
    """At half the scale a gap of 6 pixels is one of 3 cells, and at a twentieth it is none."""
    given = []

    def spy(grids, seeds, max_overlap):
        given.append((grids, seeds))
        return grow_masks(grids, seeds, max_overlap)

    monkeypatch.setattr(grouping_module, "grow_masks", spy)
    pyramid = [
        maps_of(torch.zeros(2, 4, 5), [HandSeed(0, 1, 0.5)], scale=0.5),
        maps_of(torch.zeros(2, 2, 3), [HandSeed(1, 2, 0.9)], scale=0.05),
    ]
    grouping_of(connect_gap=connect_gap)(pyramid, (4, 5))
    ((grids, seeds),) = given
    for level, shape in enumerate([(4, 5), (2, 3)]):
        arrays = [part[level] for part in grids]
        assert [array.shape for array in arrays] == [(*shape, 2), shape, shape]
        assert [array.dtype for array in arrays] == [np.float32, np.float32, bool]
        assert all(array.flags.c_contiguous for array in arrays)
    assert [bridge.all() for bridge in grids.is_bridge] == [connect_gap > 0, False]
    assert seeds.position.tolist() == [[1, 2], [0, 1]]
    assert seeds.level.tolist() == [1, 0]
    assert seeds.gap.tolist() == [0, 3 if connect_gap else 0]
    assert seeds.threshold.tolist() == [threshold_of(1)] * 2


def slow_instances(embedding, factor, seeds, max_overlap, size):
    """The definition on the whole grid, seed by seed: for each that stays its class, its mask, and
    the pixels in doubt."""
    owned = np.zeros(embedding.shape[-2:], dtype=bool)
    result = []
    for row, column, _, pred_class, tau_index in sorted(seeds, key=lambda seed: -seed.score):
        if owned[row, column] and max_overlap < 1:
            continue
        threshold = threshold_of(tau_index)
        distance = factor[row, column] * (
            embedding - embedding[:, row, column][:, None, None]
        ).square().sum(0)
        near = (distance <= threshold).numpy()
        labels, _ = ndimage.label(near, structure=np.ones((3, 3)))
        part = labels == labels[row, column]
        if owned[part].mean() > max_overlap:
            continue
        owned |= part
        far = torch.from_numpy(near & ~part)
        clipped = distance.clamp(max=3 * threshold).masked_fill(far, 3 * threshold)[None, None]
        up = torch.nn.functional.interpolate(
            clipped, size=size, mode="bilinear", align_corners=False
        )[0, 0]
        result.append((pred_class, up <= threshold, (up - threshold).abs() < 1e-4))
    return result


def drawn_embedding(kind, detail, shape, generator):
    """(3, h, w): smooth hills, or what is hardest to grow in."""
    if kind == "smooth":
        coarse = torch.randn(1, 3, 2 + detail, 5 + detail, generator=generator) * 2
        return torch.nn.functional.interpolate(coarse, size=shape, mode="bicubic")[0]
    if kind == "flat":  # one object, as large as the image
        return torch.zeros(3, *shape)
    if kind == "noise":  # pieces that meet at corners, without end
        return (
            torch.randint(0, 2, (1, *shape), generator=generator).float().expand(3, -1, -1) * detail
        )
    # A snake of one cell's width through the whole image, and what lies between its windings.
    snake = torch.zeros(3, *shape)
    snake[:, ::4] = detail
    snake[:, 2::8, -1] = snake[:, 1::8, -1] = snake[:, 3::8, -1] = detail
    snake[:, 6::8, 0] = snake[:, 5::8, 0] = snake[:, 7::8, 0] = detail
    return snake


def assert_equals_the_slow_definition(shape, count, seed, size, max_overlap, detail, kind):
    generator = torch.Generator().manual_seed(seed)
    embedding = drawn_embedding(kind, detail, shape, generator)
    factor = torch.rand(*shape, generator=generator) + 0.5
    cells = torch.randperm(shape[0] * shape[1], generator=generator)[:count].tolist()
    scores = (0.1 + 0.8 * torch.randperm(count, generator=generator) / count).tolist()
    taus = torch.randint(0, 3, (count,), generator=generator).tolist()
    seeds = [
        HandSeed(cell // shape[1], cell % shape[1], score, index, tau_index)
        for index, (cell, score, tau_index) in enumerate(zip(cells, scores, taus, strict=True))
    ]
    logits = logits_of(seeds, shape, count)
    maps = maps_of(embedding, logits, distance_scale=factor)
    grouping = grouping_of(num_classes=count, max_overlap=max_overlap, mask_resolution="output")
    result = grouping([maps], size)
    slow = slow_instances(embedding, factor, seeds, max_overlap, size)
    expected = {pred_class: (mask, doubt) for pred_class, mask, doubt in slow}
    # a mask of less than a pixel may or may not be there
    sure = {index for index, (mask, doubt) in expected.items() if (mask & ~doubt).any()}
    assert sure <= set(result.pred_classes.tolist()) <= set(expected)
    for index, mask in zip(result.pred_classes.tolist(), result.pred_masks, strict=True):
        mask_slow, doubt = expected[index]
        assert torch.equal(mask & ~doubt, mask_slow & ~doubt)


KINDS = st.sampled_from(["smooth", "flat", "noise", "snake"])
OVERLAPS = st.sampled_from([0.2, 0.5, 0.9, 1.0])


@needs_machine_code
@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 100_000),
    st.sampled_from([(80, 180), (73, 149), (40, 90), (25, 47)]),
    *(OVERLAPS, st.integers(1, 12), KINDS),
)
def test_instances_equal_the_slow_definition(seed, size, max_overlap, detail, kind):
    """Objects of all sizes, at the edge of the image too."""
    assert_equals_the_slow_definition((40, 90), 30, seed, size, max_overlap, detail, kind)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 100_000),
    st.sampled_from([(14, 23), (9, 17), (7, 11)]),
    *(OVERLAPS, st.integers(1, 4), KINDS),
)
def test_instances_of_few_cells_equal_the_slow_definition(seed, size, max_overlap, detail, kind):
    assert_equals_the_slow_definition((9, 17), 6, seed, size, max_overlap, detail, kind)

"""The instances of an image as a whole: their fields, their sizes, and several scales."""

import mmap

import numpy as np
import pytest
import torch
from detectron2.structures import Instances

from dml_instance.grouping import grouping as grouping_module
from dml_instance.grouping.growing import grow_shifted_masks
from hand_made import (
    HandSeed,
    flat_embedding,
    grouping_of,
    instances_of,
    maps_of,
    picture,
    threshold_of,
)
from toy_scenes import assert_is_instance_result


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


@pytest.mark.parametrize("count", [3, 60])
def test_of_equal_scores_the_first_in_the_image_comes_first(count):
    """Of many too, which are sorted in another way."""
    seeds = [HandSeed(0, column, 0.8) for column in range(count)]
    seeds[-1] = HandSeed(0, count - 1, 0.9)
    embedding = flat_embedding(torch.arange(count)[None])
    left = instances_of(embedding, seeds, max_instances=count).pred_boxes.tensor[:, 0]
    assert left.tolist() == [count - 1, *range(count - 1)]


@pytest.mark.parametrize("class_by", ["seed", "vote"])
def test_seeds_that_were_chosen_for_their_diversity_compete_by_score(class_by):
    """The third is chosen before the second, which is more like the first; but the second is
    better, and its mask takes the third's seed."""
    seeds = [
        HandSeed(0, 0, 0.9, pred_class=0, tau_index=2),
        HandSeed(0, 1, 0.8, pred_class=1, tau_index=0),
        HandSeed(0, 2, 0.5, pred_class=2, tau_index=0),
        HandSeed(0, 3, 0.1, pred_class=3),
    ]
    maps = maps_of(torch.tensor([[[0.0, 0.9, 2.2, 30.0]]]), seeds)
    grouping = grouping_of(alpha=0.6, max_seeds=3, class_by=class_by)
    assert grouping.seeds([maps]).position[:, 1].tolist() == [0, 2, 1]
    result = grouping([maps], (1, 4))
    assert result.pred_classes.tolist() == [0, 1]
    assert result.pred_masks[:, 0].tolist() == [
        [True, False, False, False],
        [True, True, True, False],
    ]
    if class_by == "seed":
        torch.testing.assert_close(result.scores, torch.tensor([0.9, 0.8]))


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

    def spy(grids, seeds, *rules):
        given.append((grids, seeds))
        return grow_shifted_masks(grids, seeds, *rules)

    monkeypatch.setattr(grouping_module, "grow_shifted_masks", spy)
    pyramid = [
        maps_of(torch.zeros(2, 4, 5), [HandSeed(0, 1, 0.5)], scale=0.5),
        maps_of(torch.zeros(2, 2, 3), [HandSeed(1, 2, 0.9)], scale=0.05),
    ]
    grouping_of(connect_gap=connect_gap)(pyramid, (4, 5))
    ((grids, seeds),) = given
    for level, shape in enumerate([(4, 5), (2, 3)]):
        arrays = [part[level] for part in grids]
        assert [array.shape for array in arrays] == [(*shape, 2), shape, shape, (3, *shape)]
        assert [array.dtype for array in arrays] == [np.float32, np.float32, bool, np.float32]
        assert all(array.flags.c_contiguous for array in arrays)
    assert [bridge.all() for bridge in grids.is_bridge] == [connect_gap > 0, False]
    assert seeds.position.tolist() == [[1, 2], [0, 1]]
    assert seeds.level.tolist() == [1, 0]
    assert seeds.gap.tolist() == [0, 3 if connect_gap else 0]
    assert seeds.threshold.tolist() == [threshold_of(1)] * 2

"""What each rule does to the instances of an image."""

import pytest
import torch
from detectron2.config import get_cfg

from dml_instance import add_dml_config
from dml_instance.modeling.grouping import GroupingRules, InstanceGrouping, build_grouping
from hand_made import (
    TAUS,
    HandSeed,
    flat_embedding,
    grouping_of,
    instances_of,
    logits_of,
    maps_of,
    picture,
    ramp,
    threshold_of,
)


def seeds_of(maps, **changes):
    """Positions (row, column) of the seeds of maps, in the order of choice."""
    return grouping_of(**changes).seeds([maps]).position.tolist()


def hills():
    """A row of 20 cells with the middles of hills at 3, 7 and 15, the middle one lower."""
    column = torch.arange(20.0)
    score = sum(
        height * torch.exp(-((column - at) ** 2) / 2) for at, height in ((3, 8), (7, 6), (15, 8))
    )
    logits = torch.stack([torch.zeros(1, 20), score[None] / 2 - 3])[None]
    return logits.expand(3, -1, -1, -1)


def test_candidates_are_the_peaks_or_all_cells():
    maps = maps_of(torch.zeros(1, 1, 20), hills())
    of_peaks = seeds_of(maps, candidates="peaks", peak_radius=1, min_seediness=0.2)
    assert sorted(of_peaks) == [[0, 3], [0, 7], [0, 15]]
    of_all = seeds_of(maps, candidates="all", min_seediness=0.2)
    assert sorted(of_all) == [[0, column] for column in (2, 3, 4, 6, 7, 8, 14, 15, 16)]


@pytest.mark.parametrize(
    ("peak_radius", "stride", "columns"),
    [(2, 1, [3, 7, 15]), (3, 1, [3, 15]), (4, 2, [3, 7, 15]), (6, 2, [3, 15]), (8, 4, [3, 7, 15])],
)
def test_a_hill_beside_a_higher_one_is_no_peak_within_the_radius(peak_radius, stride, columns):
    """Three cells from the lower one's middle the higher one is as high."""
    maps = maps_of(torch.zeros(1, 1, 20), hills(), stride=stride)
    got = seeds_of(maps, candidates="peaks", peak_radius=peak_radius, min_seediness=0.2)
    assert sorted(got) == [[0, column] for column in columns]


@pytest.mark.parametrize(("min_seediness", "count"), [(0.3, 2), (0.5, 1), (0.81, 0)])
def test_cells_of_less_seediness_are_no_seeds(min_seediness, count):
    maps = maps_of(torch.zeros(1, 1, 4), [HandSeed(0, 0, 0.4), HandSeed(0, 2, 0.8)])
    assert len(seeds_of(maps, min_seediness=min_seediness)) == count


def three_seeds(stride=1, scale=1.0):
    """The second in score coincides with the first, 10 cells to the right; the third is far."""
    embedding = torch.zeros(1, 3, 14)
    embedding[0, 0, 1] = 9.0
    seeds = [HandSeed(2, 2, 0.9), HandSeed(2, 12, 0.8), HandSeed(0, 1, 0.3)]
    return maps_of(embedding, seeds, stride=stride, scale=scale)


@pytest.mark.parametrize(("alpha", "second"), [(0.0, [2, 12]), (0.3, [0, 1])])
def test_alpha_makes_seeds_diverse(alpha, second):
    assert seeds_of(three_seeds(), alpha=alpha, max_seeds=2) == [[2, 2], second]


@pytest.mark.parametrize(("diversity", "second"), [("dissimilarity", 1), ("distance", 3)])
def test_diversity_is_the_dissimilarity_or_the_distance(diversity, second):
    embedding = torch.tensor([[[0.0, 8.0, 0.0, 800.0]]])
    maps = maps_of(embedding, [HandSeed(0, c, s) for c, s in ((0, 0.9), (1, 0.8), (3, 0.7))])
    rules = {"alpha": 0.6, "max_seeds": 2, "diversity": diversity}
    assert seeds_of(maps, **rules) == [[0, 0], [0, second]]


@pytest.mark.parametrize(
    ("context", "stride", "scale", "is_compared"),
    [
        *((10, 1, 1.0, True), (9.9, 1, 1.0, False), (-1, 1, 1.0, True), (0, 1, 1.0, False)),
        *((39.9, 4, 1.0, False), (40, 4, 1.0, True)),
        *((19.9, 4, 2.0, False), (20, 4, 2.0, True), (20, 1, 0.5, True), (19.9, 1, 0.5, False)),
    ],
)
def test_context_is_in_pixels_of_the_image_whatever_stride_and_scale(
    context, stride, scale, is_compared
):
    maps = three_seeds(stride, scale)
    got = seeds_of(maps, alpha=0.3, max_seeds=2, context=context)
    assert got == [[2, 2], [0, 1] if is_compared else [2, 12]]


def areas(instances):
    return instances.pred_masks.sum(dim=(1, 2)).tolist()


# Two pieces of 6 and 4 cells, 4 apart.
PIECES = picture("""
    ................
    .111111....1111.
    ................
""")


@pytest.mark.parametrize(
    ("connect_gap", "stride", "scale", "is_joined"),
    [
        *((4, 1, 1.0, True), (3, 1, 1.0, False), (-1, 1, 1.0, True), (0, 1, 1.0, False)),
        *((8, 2, 1.0, True), (6, 2, 1.0, False), (15, 4, 1.0, True), (13, 4, 1.0, False)),
        *((2, 1, 2.0, True), (8, 1, 0.5, True), (4, 1, 0.5, False), (4, 2, 2.0, True)),
        (-1, 4, 0.25, True),
    ],
)
def test_a_gap_is_bridged_in_pixels_of_the_image_whatever_stride_and_scale(
    connect_gap, stride, scale, is_joined
):
    seeds = [HandSeed(1, 2, 0.9)]
    maps = maps_of(flat_embedding(PIECES), seeds, stride=stride, scale=scale)
    result = grouping_of(connect_gap=connect_gap)([maps], (3, 16))
    assert areas(result) == [10 if is_joined else 6]


def test_a_gap_of_one_cell_is_bridged():
    seeds = [HandSeed(0, 0, 0.9)]
    assert areas(instances_of(flat_embedding(picture("11.1")), seeds, connect_gap=1)) == [3]
    assert areas(instances_of(flat_embedding(picture("11..1")), seeds, connect_gap=1)) == [2]


def test_a_gap_is_bridged_over_another_object_and_not_over_background():
    ids = torch.zeros(3, 60, dtype=torch.int64)
    ids[1, 10:20], ids[1, 20:24], ids[1, 24:34], ids[1, 38:48] = 1, 2, 1, 1
    # A twin lies beyond background; what crosses the object has the probability of an object.
    object_probability = torch.where(ids > 0, 0.6, 0.1).expand(3, -1, -1).clone()
    object_probability[1, 1, 12] = 0.9
    logits = torch.stack([1 - object_probability, object_probability], dim=1).log()
    rules = {"connect_gap": 6, "bridge_probability": 0.5, "min_seediness": 0.8}
    result = instances_of(flat_embedding(ids), logits, num_classes=1, **rules)
    assert result.pred_masks[0].nonzero().tolist() == [
        [1, column] for column in (*range(10, 20), *range(24, 34))
    ]


@pytest.mark.parametrize(("bridge_probability", "is_joined"), [(0.5, True), (0.51, False)])
def test_a_bridge_is_of_an_object_of_any_class_at_any_threshold(bridge_probability, is_joined):
    """Between the pieces two classes have a quarter each, at the last threshold alone."""
    logits = logits_of([HandSeed(1, 2, 0.9)], (3, 16), num_classes=2)
    between = torch.tensor([0.5, 0.25, 0.25]).log()
    logits[2, :, 1, 7:11] = between[:, None]
    rules = {"connect_gap": 4, "bridge_probability": bridge_probability, "min_seediness": 0.6}
    result = instances_of(flat_embedding(PIECES), logits, num_classes=2, **rules)
    assert areas(result) == [10 if is_joined else 6]


@pytest.mark.parametrize(
    ("connect_gap", "min_share_apart", "expected"),
    [
        (4, 0.29, [6, 15]),
        (4, 0.31, [6, 6]),
        (4, 0.09, [15, 15]),
        (4, 0.0, [15, 15]),
        (0, 0.3, [6, 6]),
        (-1, 0.3, [15, 15]),
    ],
)
def test_gaps_are_bridged_in_objects_of_classes_that_training_saw_in_pieces(
    connect_gap, min_share_apart, expected
):
    """A tenth of the objects of class 0 lay apart from its largest piece, and 3 of 10 of class
    1."""
    ids = torch.zeros(5, 30, dtype=torch.int64)
    ids[1, 2:8], ids[1, 11:20], ids[3, 2:8], ids[3, 11:20] = 1, 1, 2, 2
    grouping = grouping_of(connect_gap=connect_gap, min_share_apart=min_share_apart, num_classes=2)
    seen = torch.zeros(80, 1, 12, dtype=torch.bool)
    seen[:40, 0, :9] = seen[:40, 0, 10] = True
    seen[40:, 0, :7] = seen[40:, 0, 8:11] = True
    grouping.observe([(seen, torch.tensor([0, 1]).repeat_interleave(40))])
    seeds = [HandSeed(1, 3, 0.9, pred_class=0), HandSeed(3, 3, 0.8, pred_class=1)]
    maps = maps_of(flat_embedding(ids), seeds)
    result = grouping([maps], (5, 30))
    assert result.pred_classes.tolist() == [0, 1]
    assert areas(result) == expected


@pytest.mark.parametrize(
    ("connect_gap", "min_share_apart", "is_counted"),
    [(4, 0.02, True), (0, 0.02, False), (-1, 0.02, False), (4, 0.0, False)],
)
def test_pieces_are_counted_only_where_the_count_decides_something(
    connect_gap, min_share_apart, is_counted
):
    grouping = grouping_of(connect_gap=connect_gap, min_share_apart=min_share_apart, num_classes=5)
    grouping.observe([(torch.ones(2, 3, 3, dtype=torch.bool), torch.tensor([4, 4]))])
    state = grouping.state_dict()
    assert sorted(state) == (["pieces.num_objects", "pieces.sum_apart"] if is_counted else [])
    if is_counted:
        assert state["pieces.num_objects"].tolist() == [0, 0, 0, 0, 2]
        assert grouping.pieces.min_share_apart == min_share_apart


@pytest.mark.parametrize(("max_overlap", "expected"), [(0.5, [4, 4]), (0.49, [4])])
def test_a_mask_that_belongs_to_better_ones_is_dropped(max_overlap, expected):
    """In units of the distance at the threshold the better one reaches from -1 to 1, and the worse
    one from 0.6 to 2.6: half of its four cells belong to the better one."""
    embedding = torch.tensor([[[9.0, -0.9, 0.0, 0.7, 0.9, 1.6, 2.0, 9.0]]]) * threshold_of(1) ** 0.5
    seeds = [HandSeed(0, 5, 0.8, pred_class=1), HandSeed(0, 2, 0.9, pred_class=0)]
    result = instances_of(embedding, seeds, max_overlap=max_overlap)
    assert result.pred_classes[0] == 0
    assert result.pred_masks[0, 0].nonzero()[:, 0].tolist() == [1, 2, 3, 4]
    assert areas(result) == expected


def test_masks_are_cut_between_cells_or_at_their_borders():
    """Between centres at 0 and at 1 the cut for tau lies at the root of its distance, clipped at
    three of it: of 100 pixels a cell, from the centre at 50 on, a third or so."""
    embedding, seeds = torch.tensor([[[0.0, 9.0]]]), [HandSeed(0, 0, 0.9)]
    at_border = instances_of(embedding, seeds, (1, 200), mask_resolution="grid")
    assert areas(at_border) == [100]
    between = instances_of(embedding, seeds, (1, 200), mask_resolution="output")
    assert areas(between) == [83]  # 50 + 100 / 3


@pytest.mark.parametrize("tau_index", [0, 1, 2])
def test_a_mask_is_grown_with_the_threshold_of_its_seed(tau_index):
    embedding = ramp(60) / 20
    result = instances_of(embedding, [HandSeed(0, 0, 0.9, tau_index=tau_index)])
    sigma = 2 / (1 + torch.exp(embedding[0].double() ** 2))
    assert torch.equal(result.pred_masks[0], sigma >= TAUS[tau_index])


def test_thresholds_are_those_that_are_given():
    """Two thresholds, in the order in which the logits have them."""
    logits = torch.full((2, 2, 1, 60), -30.0)
    logits[:, 0] = 0.0
    logits[1, 1, 0, 0] = 3.0
    grouping = grouping_of(taus=(0.9, 0.1), num_classes=1)
    maps = maps_of(ramp(60) / 20, logits)
    sigma = 2 / (1 + torch.exp(maps.embedding[0].double() ** 2))
    assert torch.equal(grouping([maps], (1, 60)).pred_masks[0], sigma >= 0.1)


@pytest.mark.parametrize("tau", [0, 1])
def test_a_threshold_that_is_no_similarity_is_refused(tau):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        grouping_of(taus=(0.5, tau))


def config(*overrides):
    cfg = get_cfg()
    add_dml_config(cfg)
    cfg.merge_from_list(list(overrides))
    return cfg


def test_what_stands_elsewhere_in_the_config_reaches_the_grouping():
    grouping = build_grouping(
        config(
            *("MODEL.DML.TAUS", [0.3, 0.8], "MODEL.DML.CONTEXT", 17),
            *("TEST.DETECTIONS_PER_IMAGE", 23, "MODEL.DML.SCORE_THRESH_TEST", 0.125),
            *("MODEL.DML.GROUPING.CONNECT_GAP", 4),
        ),
        num_classes=6,
    )
    assert isinstance(grouping, InstanceGrouping)
    assert grouping.taus == (0.3, 0.8)
    assert grouping.context == 17
    assert grouping.max_instances == 23
    assert grouping.min_score == 0.125
    assert len(grouping.pieces.num_objects) == 6


def test_by_default_all_instances_of_any_score_and_as_many_as_detectron2_from_a_config():
    grouping = InstanceGrouping(GroupingRules(), num_classes=1, taus=TAUS, context=-1)
    assert (grouping.max_instances, grouping.min_score) == (None, 0)
    assert build_grouping(config(), num_classes=1).max_instances == 100


@pytest.mark.parametrize(
    ("ours", "stock", "expected"),
    [
        *((0.0, 0.05, 0.0), (0.3, 0.05, 0.3), (0.01, 0.05, 0.01)),
        *((0.0, 0.5, 0.5), (0.3, 0.5, 0.5), (0.7, 0.5, 0.7), (0.0, 0.04, 0.04), (0.2, 0.0, 0.2)),
    ],
)
def test_the_score_threshold_is_the_larger_of_both_keys_where_the_stock_one_was_set(
    ours, stock, expected
):
    cfg = config(*("MODEL.DML.SCORE_THRESH_TEST", ours, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", stock))
    assert build_grouping(cfg, num_classes=1).min_score == expected

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dml_instance.modeling.criterion.targets import (
    compared_pairs,
    object_bounds,
    sample_cells_per_group,
    sample_seed_cells,
    seed_targets,
    window_cells,
)
from dml_instance.modeling.similarity import pairwise_squared_distance

IDS = torch.tensor([[0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 2], [0, 0, 0, 0, 0, 0]])


def test_every_instance_gives_equally_many_different_cells():
    ids = torch.zeros(20, 20, dtype=torch.int64)
    ids[:10, :10], ids[12:, 12:], ids[15, 2] = 1, 2, 3
    cell, group = sample_cells_per_group(ids, per_instance=7, max_instances=9, background=5)
    assert (ids.flatten()[cell] == group).all()
    assert len(cell.unique()) == len(cell)
    assert torch.bincount(group).tolist() == [5, 7, 7, 1]


def test_instances_over_the_limit_are_left_out_at_random():
    ids = torch.arange(1, 21).view(4, 5)
    kept = set()
    for seed in range(20):
        torch.manual_seed(seed)
        _, group = sample_cells_per_group(ids, per_instance=1, max_instances=6, background=3)
        assert len(group) == 6
        kept |= set(group.tolist())
    assert kept == set(range(1, 21))


@pytest.mark.parametrize("value", [0, 1])
def test_only_background_or_only_one_object(value):
    ids = torch.full((4, 4), value)
    cell, group = sample_cells_per_group(ids, per_instance=3, max_instances=5, background=2)
    assert len(cell) == (3 if value else 2)
    assert (group == value).all()
    seeds = sample_seed_cells(ids, objects=4, background=4)
    assert [len(kind) for kind in seeds] == ([4, 0] if value else [0, 4])
    assert (ids.flatten()[torch.cat(seeds)] == value).all()


def test_seed_cells_are_shared_among_instances_and_background():
    torch.manual_seed(0)
    ids = torch.zeros(30, 30, dtype=torch.int64)
    ids[:20, :20], ids[25:27, 25:27] = 1, 2
    group = ids.flatten()[torch.cat(sample_seed_cells(ids, objects=3000, background=1000))]
    assert (group[:3000] > 0).all()
    assert (group[3000:] == 0).all()
    torch.testing.assert_close(
        torch.bincount(group) / 4000, torch.tensor([0.25, 0.375, 0.375]), atol=0.03, rtol=0
    )
    assert [len(kind) for kind in sample_seed_cells(ids, objects=0, background=5)] == [0, 5]


def test_ignored_cells_are_neither_drawn_nor_judged():
    torch.manual_seed(0)
    ids = torch.zeros(8, 8, dtype=torch.int64)
    ids[:3, :3], ids[3:] = 1, -1
    cell, group = sample_cells_per_group(ids, per_instance=99, max_instances=5, background=99)
    assert torch.bincount(group).tolist() == [15, 9]
    assert (ids.flatten()[cell] == group).all()
    for cells, value in zip(sample_seed_cells(ids, objects=50, background=50), (1, 0), strict=True):
        assert (ids.flatten()[cells] == value).all() and len(cells) == 50
    nothing = torch.full((8, 8), -1)
    assert all(
        len(t) == 0
        for t in sample_cells_per_group(nothing, per_instance=9, max_instances=5, background=9)
    )
    for seeds in (nothing, nothing.masked_fill(ids == 0, 0)):
        on_objects, elsewhere = sample_seed_cells(seeds, objects=50, background=50)
        assert len(on_objects) == 0 and (seeds.flatten()[elsewhere] == 0).all()
    flat, group = ids.flatten(), torch.tensor([1])
    is_judged = (flat >= 0)[None]
    assert is_judged.sum() == 24
    for any_instance in (False, True):
        # everything grows: 9 of 24 judged cells are the object's
        iou, _ = seed_targets(
            torch.zeros(1, 64), group, flat, is_judged, [0.5], count=1 if any_instance else None
        )
        assert iou.item() == pytest.approx(9 / 24)


def test_bounds_are_boxes_grown_by_the_context():
    bounds = object_bounds(IDS, 3, 1)
    whole = [0, 0, 3, 5]
    assert bounds.tolist() == [
        whole,
        [0, 0, 3, 3],
        [1, 4, 3, 5],
        whole,
    ]  # the third instance has no cell
    assert object_bounds(IDS, 2, -1).tolist() == [whole] * 3
    assert object_bounds(IDS, 0, 1).tolist() == [whole]
    assert object_bounds(torch.tensor([[-1, 0, 1, -1]]), 1, 0).tolist() == [
        [0, 0, 0, 3],
        [0, 2, 0, 2],
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 11), st.integers(1, 6))
def test_windows_hold_the_bounds_and_no_cell_twice(seed, height, width, count):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, height, (count, 2), generator=generator).sort(dim=1).values
    columns = torch.randint(0, width, (count, 2), generator=generator).sort(dim=1).values
    bounds = torch.stack([rows[:, 0], columns[:, 0], rows[:, 1], columns[:, 1]], dim=1)
    cells, is_inside = window_cells(bounds, (height, width))
    assert (
        cells.shape[1]
        == (rows[:, 1] - rows[:, 0] + 1).max() * (columns[:, 1] - columns[:, 0] + 1).max()
    )
    for bound, window, inside in zip(bounds.tolist(), cells.tolist(), is_inside, strict=True):
        assert len(set(window)) == len(window) and min(window) >= 0 and max(window) < height * width
        expected = {
            r * width + c
            for r in range(bound[0], bound[2] + 1)
            for c in range(bound[1], bound[3] + 1)
        }
        assert {
            cell for cell, is_in in zip(window, inside.tolist(), strict=True) if is_in
        } == expected


def test_pairs_meet_where_one_lies_within_the_bounds_of_the_other():
    cell = torch.tensor(
        [1 * 6 + 1, 2 * 6 + 5, 0, 5]
    )  # in object 1, in object 2, background near 1, background far
    group = torch.tensor([1, 2, 0, 0])
    near = compared_pairs(cell, group, object_bounds(IDS, 2, 1), 6).int()
    assert near.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 1], [0, 0, 1, 1]]
    assert compared_pairs(cell, group, object_bounds(IDS, 2, 3), 6).tolist()[0][1]


def slow_seed_targets(embedding, cells, group, ids, regions, taus, any_instance):
    """Grow every mask by the definition of sigma, and compare sets of cells."""
    pixels = embedding.flatten(1).T.double()
    flat = ids.flatten().tolist()
    count = max(flat)
    iou = torch.zeros(len(cells), len(taus))
    instance = torch.zeros(len(cells), len(taus), dtype=torch.int64)
    for v, cell in enumerate(cells.tolist()):
        judged = {q for q in range(len(flat)) if regions[v, q]}
        for t, tau in enumerate(taus):
            sigma = 2 / (1 + torch.exp(((pixels - pixels[cell]) ** 2).sum(1)))
            grown = {q for q in judged if sigma[q] >= tau}
            for g in range(1, count + 1):
                if not any_instance and g != group[v]:
                    continue
                true = {q for q in judged if flat[q] == g}
                value = len(grown & true) / max(len(grown | true), 1)
                if value > iou[v, t] + 1e-9:
                    iou[v, t], instance[v, t] = value, g - 1
    return iou, instance


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([-1, 0, 2]))
def test_seed_targets_equal_the_slow_computation(seed, any_instance, context):
    torch.manual_seed(seed)
    embedding = torch.randn(2, 4, 6) * 0.3 + IDS[None]
    cells = torch.randint(0, 24, (7,))
    group = IDS.flatten()[cells]
    bounds = object_bounds(IDS, 2, context)[group]
    near, is_near = window_cells(bounds, IDS.shape)
    regions = torch.zeros(7, 24, dtype=torch.bool).scatter_(1, near, is_near)
    taus = (0.25, 0.5, 0.75)
    pixels = embedding.flatten(1).T
    iou, instance = seed_targets(
        pairwise_squared_distance(pixels[cells], pixels),
        group,
        IDS.flatten(),
        regions,
        taus,
        count=2 if any_instance else None,
    )
    slow_iou, slow_instance = slow_seed_targets(
        embedding, cells, group, IDS, regions, taus, any_instance
    )
    torch.testing.assert_close(iou, slow_iou)
    if not any_instance:  # the same on windows of the grid
        distance = pairwise_squared_distance(pixels[cells], pixels, chosen=near)
        local, _ = seed_targets(distance, group, IDS.flatten()[near], is_near, taus, count=None)
        torch.testing.assert_close(local, slow_iou)
    assert (instance == slow_instance)[slow_iou > 0].all()


def test_seed_targets_of_a_perfect_embedding_are_one_in_objects_and_zero_outside():
    pixels = IDS.flatten()[:, None].float() * 10
    group = IDS.flatten()
    iou, instance = seed_targets(
        pairwise_squared_distance(pixels, pixels),
        group,
        group,
        torch.ones(24, 24, dtype=torch.bool),
        (0.5,),
        count=2,
    )
    assert (iou[:, 0] == (group > 0)).all()
    assert (instance[group > 0, 0] == group[group > 0] - 1).all()


def test_seed_targets_without_instances_are_background():
    none = torch.zeros(24, dtype=torch.int64)
    for any_instance in (True, False):
        iou, instance = seed_targets(
            torch.zeros(3, 24),
            none[:3],
            none,
            torch.ones(3, 24) > 0,
            (0.5, 0.7),
            count=0 if any_instance else None,
        )
        assert iou.shape == (3, 2)
        assert (iou == 0).all()
        assert (instance == 0).all()


@pytest.mark.parametrize("any_instance", [True, False])
def test_where_nothing_is_judged_every_mask_is_worth_nothing(any_instance):
    ids = IDS.flatten()
    judged = torch.zeros(3, 24, dtype=torch.bool)
    iou, _ = seed_targets(
        torch.zeros(3, 24), ids[6:9], ids, judged, (0.5,), count=2 if any_instance else None
    )
    assert iou.tolist() == [[0], [0], [0]]


def test_without_seeds_there_is_a_window_of_one_cell():
    cells, is_inside = window_cells(torch.zeros(0, 4, dtype=torch.int64), (4, 6))
    assert cells.shape == is_inside.shape == (0, 1)

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from dml_instance.modeling import kernels
from dml_instance.modeling.grouping import class_probability
from dml_instance.modeling.growing import Grids, claim_masks
from dml_instance.modeling.postprocessing import assemble_instances
from dml_instance.similarity import distance_threshold, pairwise_squared_distance
from dml_instance.structures import Seeds

TAUS = (0.25, 0.5, 0.75)


def seeds_of(positions, scores, tau_index=1, levels=None):
    count = len(scores)
    return Seeds(
        position=torch.tensor(positions, dtype=torch.int64).view(count, 2),
        tau_index=torch.full((count,), tau_index),
        pred_class=torch.arange(count),
        score=torch.tensor(scores),
        level=torch.tensor(levels or [0] * count, dtype=torch.int64),
    )


def assemble(embedding, seeds, **changes):
    maps = embedding if isinstance(embedding, list) else [embedding]
    height, width = maps[0].shape[-2:]
    logits = changes.pop("class_logits", [torch.zeros(3, 3, *m.shape[-2:]) for m in maps])
    rules = {
        "taus": TAUS,
        "vote": False,
        "output_size": (height, width),
        "gaps": [0] * len(maps),
        "in_pieces": None,
        "bridge_probability": 0.0,
        "max_overlap": 0.5,
        "interpolate": False,
        "score_similarity": False,
        "small_mask_cells": 0.0,
        "max_instances": 100,
    }
    rules.update(changes)
    sizes = [
        (rules["output_size"][0] / m.shape[-2], rules["output_size"][1] / m.shape[-1]) for m in maps
    ]
    scales = [torch.ones(m.shape[-2:]) for m in maps]
    return assemble_instances(
        maps, scales, list(map(class_probability, logits)), sizes, seeds, **rules
    )


def flat_embedding(ids):
    """One channel, 10 apart between ids."""
    return ids[None].float() * 10


def grow(embedding, seed, tau, gap, factor=1.0, is_bridge=None):
    """The mask (h, w) of one seed, and the distances (h, w) of its cells, infinite elsewhere."""
    shape = embedding.shape[-2:]
    is_bridge = torch.ones(shape, dtype=torch.bool) if is_bridge is None else is_bridge
    grids = Grids.of([embedding], [torch.full(shape, factor)], [is_bridge])
    seeds = Seeds(
        torch.tensor([seed]),
        *(torch.zeros(1, dtype=torch.int64),) * 2,
        torch.ones(1),
        torch.tensor([0]),
    )
    claimed = claim_masks(grids, seeds, [tau], torch.tensor([gap]), 0.5)
    distance = np.full(shape, np.inf, dtype=np.float32)
    distance[tuple(claimed.cells.T)] = claimed.squared_distance
    return np.isfinite(distance), distance


def slow_grow(embedding, factor, seed, tau, connected):
    sigma = 2 / (
        1
        + torch.exp(
            factor * ((embedding - embedding[:, seed[0], seed[1]][:, None, None]) ** 2).sum(0)
        )
    )
    mask = (sigma >= tau).numpy()
    if not connected:
        return mask
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    return labels == labels[seed]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000), st.sampled_from([0.1, 1.0, 4.0]), st.sampled_from(TAUS), st.booleans()
)
def test_growing_equals_the_definition_of_a_mask(seed, factor, tau, connected):
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.nn.functional.interpolate(
        torch.randn(1, 2, 6, 7, generator=generator) * 1.5, size=(60, 90), mode="bilinear"
    )[0]
    position = (
        int(torch.randint(0, 60, (1,), generator=generator)),
        int(torch.randint(0, 90, (1,), generator=generator)),
    )
    part, _ = grow(embedding, position, tau, 0 if connected else -1, factor)
    np.testing.assert_array_equal(part, slow_grow(embedding, factor, position, tau, connected))


@pytest.mark.parametrize("channels", [1, 4, 16, 37])
def test_distances_are_zero_at_the_seed_and_agree_with_the_matrix(channels):
    embedding = torch.randn(channels, 5, 6) / 2
    _, distance = grow(embedding, (2, 3), 1e-30, -1, factor=0.5)
    assert distance[2, 3] == 0
    pixels = embedding.flatten(1).T
    expected = pairwise_squared_distance(pixels[2 * 6 + 3][None], pixels, torch.tensor([0.5])).view(
        5, 6
    )
    torch.testing.assert_close(torch.from_numpy(distance), expected, rtol=1e-4, atol=1e-4)


def is_clear(is_bridge, start, end, gap):
    """Whether at most gap cells lie on the line between two cells, all of them to be bridged."""
    steps = np.abs(end - start).max()
    between = np.rint(np.linspace(start, end, steps + 1)).astype(int)[1:-1]
    return len(between) <= gap and is_bridge[tuple(between.T)].all()


def part_by_labelling(mask, seed, gap, is_bridge):
    """The definition, slowly: pieces are joined where the line between some pair of their cells is clear."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    places = [np.argwhere(labels == label) for label in range(1, count + 1)]
    reached, todo = set(), [labels[seed] - 1]
    while todo:
        piece = todo.pop()
        if piece in reached:
            continue
        reached.add(piece)
        for other in range(count):
            if any(is_clear(is_bridge, a, b, gap) for a in places[piece] for b in places[other]):
                todo.append(other)
    return np.isin(labels, [label + 1 for label in reached])


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(bool, (9, 11), elements=st.booleans()),
    hnp.arrays(bool, (9, 11), elements=st.booleans()) | st.just(np.ones((9, 11), bool)),
    st.integers(0, 3),
    st.tuples(st.integers(0, 8), st.integers(0, 10)),
)
def test_pieces_are_joined_as_the_slow_definition_says(mask, is_bridge, gap, seed):
    mask = mask == mask[seed]
    part, _ = grow(
        flat_embedding(torch.from_numpy(mask)),
        seed,
        0.5,
        gap,
        is_bridge=torch.from_numpy(is_bridge),
    )
    np.testing.assert_array_equal(part, part_by_labelling(mask, seed, gap, is_bridge))


def test_pieces_are_bridged_up_to_the_gap():
    ids = torch.zeros(3, 120, dtype=torch.int64)
    ids[1, 10:40], ids[1, 50:100] = 1, 1
    for gap, expected in ((9, 30), (10, 80), (-1, 80)):
        assert grow(flat_embedding(ids), (1, 12), 0.5, gap)[0].sum() == expected


def test_a_gap_is_bridged_over_another_object_and_not_over_background():
    ids = torch.zeros(3, 60, dtype=torch.int64)
    ids[1, 10:20], ids[1, 20:24], ids[1, 24:34], ids[1, 38:48] = 1, 2, 1, 1
    # A twin lies beyond background; what crosses the object has the probability of an object.
    object_probability = torch.where(ids > 0, 0.9, 0.1).expand(3, -1, -1)
    logits = torch.stack([1 - object_probability, object_probability], dim=1).log()
    result = assemble(
        flat_embedding(ids),
        seeds_of([[1, 12]], [0.9]),
        class_logits=[logits],
        gaps=[6],
        bridge_probability=0.5,
    )
    assert result.pred_masks[0].nonzero().tolist() == [
        [1, column] for column in (*range(10, 20), *range(24, 34))
    ]


def test_gaps_are_bridged_in_objects_of_classes_that_lie_in_pieces():
    ids = torch.zeros(5, 30, dtype=torch.int64)
    ids[1, 2:8], ids[1, 11:20], ids[3, 2:8], ids[3, 11:20] = 1, 1, 2, 2
    seeds = seeds_of([[1, 3], [3, 3]], [0.9, 0.8])
    for gap, areas in ((4, [6, 15]), (0, [6, 6]), (-1, [15, 15])):
        result = assemble(
            flat_embedding(ids), seeds, gaps=[gap], in_pieces=torch.tensor([False, True])
        )
        assert result.pred_masks.sum(dim=(1, 2)).tolist() == areas


def test_without_a_folder_for_machine_code_functions_are_compiled_anew(monkeypatch):
    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: ("compiled", function, options)

    monkeypatch.setattr(kernels, "njit", njit)
    assert kernels._compiled(len, fastmath=True) == ("compiled", len, {"fastmath": True})


def test_two_objects_become_two_instances_with_tight_boxes():
    ids = torch.zeros(20, 30, dtype=torch.int64)
    ids[2:8, 3:9], ids[10:18, 15:29] = 1, 2
    result = assemble(flat_embedding(ids), seeds_of([[12, 20], [4, 5]], [0.6, 0.9]))
    assert torch.equal(result.pred_masks, torch.stack([ids == 1, ids == 2]))
    torch.testing.assert_close(result.scores, torch.tensor([0.9, 0.6]))
    assert result.pred_classes.tolist() == [1, 0]
    assert result.pred_boxes.tensor.tolist() == [[3, 2, 9, 8], [15, 10, 29, 18]]


def test_an_interpolated_mask_does_not_shrink_the_more_distinct_its_neighbour_is():
    ids = torch.zeros(12, 16, dtype=torch.int64)
    ids[3:9, 4:12] = 1
    areas = [
        int(
            assemble(
                ids[None] * apart, seeds_of([[5, 6]], [0.9]), output_size=(48, 64), interpolate=True
            ).pred_masks.sum()
        )
        for apart in (3.0, 30.0, 3000.0)
    ]
    assert areas[0] == areas[1] == areas[2]
    # the border lies within half a cell, 2 pixels, of where the cells end
    assert (6 * 4 - 4) * (8 * 4 - 4) < areas[0] <= (6 * 4 + 4) * (8 * 4 + 4)


def test_near_duplicates_are_dropped_and_kept_on_request():
    ids = torch.zeros(10, 10, dtype=torch.int64)
    ids[2:8, 2:8] = 1
    seeds = seeds_of([[3, 3], [6, 6]], [0.9, 0.8])
    assert len(assemble(flat_embedding(ids), seeds)) == 1
    assert len(assemble(flat_embedding(ids), seeds, max_overlap=1.0)) == 2


def test_the_best_are_kept_under_a_limit():
    ids = torch.arange(4).repeat_interleave(5).expand(5, 20)
    result = assemble(
        flat_embedding(ids),
        seeds_of([[2, 2], [2, 7], [2, 12], [2, 17]], [0.3, 0.9, 0.5, 0.7]),
        max_instances=2,
    )
    torch.testing.assert_close(result.scores, torch.tensor([0.9, 0.7]))


def test_masks_of_all_scales_compete_on_every_grid():
    fine = torch.zeros(20, 20, dtype=torch.int64)
    fine[4:16, 4:16] = 1
    coarse = fine[::2, ::2]
    maps = [flat_embedding(coarse), flat_embedding(fine)]
    seeds = seeds_of([[4, 4], [8, 8]], [0.9, 0.8], levels=[0, 1])
    result = assemble(maps, seeds, output_size=(20, 20))
    assert len(result) == 1
    assert torch.equal(result.pred_masks[0], fine == 1)


@pytest.mark.parametrize("size", [(40, 60), (31, 47), (10, 15), (20, 30)])
def test_interpolated_masks_equal_cutting_the_interpolated_distance_map(size):
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    embedding = torch.stack([rows, columns]) / 6
    seed, tau = (9, 13), 0.5
    result = assemble(embedding, seeds_of([list(seed)], [0.9]), output_size=size, interpolate=True)
    distance = ((embedding - embedding[:, seed[0], seed[1]][:, None, None]) ** 2).sum(0)
    up = torch.nn.functional.interpolate(
        distance[None, None], size=size, mode="bilinear", align_corners=False
    )[0, 0]
    assert torch.equal(result.pred_masks[0], up <= distance_threshold(tau))


@pytest.mark.parametrize("interpolate", [True, False])
def test_an_odd_output_size_keeps_the_object_in_place(interpolate):
    ids = torch.zeros(16, 16, dtype=torch.int64)
    ids[4:12, 8:16] = 1
    result = assemble(
        flat_embedding(ids),
        seeds_of([[8, 12]], [0.9]),
        output_size=(40, 24),
        interpolate=interpolate,
    )
    expected = torch.zeros(40, 24, dtype=torch.bool)
    expected[10:30, 12:24] = True
    intersection = (result.pred_masks[0] & expected).sum()
    assert intersection / (result.pred_masks[0] | expected).sum() > 0.8


def test_score_can_carry_the_mean_similarity():
    embedding = torch.tensor([[[0.0, 0.6, 9.0]]])
    plain = assemble(embedding, seeds_of([[0, 0]], [0.8]))
    weighed = assemble(embedding, seeds_of([[0, 0]], [0.8]), score_similarity=True)
    mean = (1 + 2 / (1 + np.exp(0.36))) / 2
    torch.testing.assert_close(weighed.scores, plain.scores * mean, rtol=1e-5, atol=0)


def test_a_small_mask_has_to_be_better_than_a_large_one():
    ids = torch.ones(4, 6, dtype=torch.int64)
    ids[0, :2] = 0
    seeds = seeds_of([[0, 0], [2, 2]], [0.9, 0.8])
    assert assemble(flat_embedding(ids), seeds).pred_classes.tolist() == [0, 1]
    result = assemble(flat_embedding(ids), seeds, small_mask_cells=2.0)
    assert result.pred_classes.tolist() == [1, 0]
    torch.testing.assert_close(result.scores, torch.tensor([0.8 * 22 / 24, 0.9 * 2 / 4]))


def test_the_cells_of_a_mask_vote_on_its_class():
    """Three cells in one mask: the seed says class 0 surely, the other two say class 1 with less certainty."""
    probability = torch.tensor([[[0.1, 0.2, 0.2]], [[0.8, 0.1, 0.1]], [[0.1, 0.7, 0.7]]])
    logits = torch.zeros(3, 3, 1, 3)
    logits[1] = probability.log()
    result = assemble(
        torch.zeros(1, 1, 3), seeds_of([[0, 0]], [0.8]), vote=True, class_logits=[logits]
    )
    assert result.pred_classes.tolist() == [1]
    torch.testing.assert_close(result.scores, torch.tensor([0.9 * 1.5 / 2.5]))


def test_with_one_class_the_vote_leaves_the_score_alone():
    logits = torch.zeros(3, 2, 1, 3)
    logits[1, 1] = 2.0
    seediness = float(torch.tensor(2.0).sigmoid())
    result = assemble(
        torch.zeros(1, 1, 3), seeds_of([[0, 0]], [seediness]), vote=True, class_logits=[logits]
    )
    torch.testing.assert_close(result.scores, torch.tensor([seediness]))


def test_no_seeds_give_an_empty_result_of_the_right_shapes():
    result = assemble(torch.zeros(2, 4, 4), seeds_of([], []), output_size=(9, 7))
    assert result.pred_masks.shape == (0, 9, 7)
    assert result.pred_masks.dtype == torch.bool
    assert result.scores.shape == (0,) and result.pred_classes.dtype == torch.int64
    assert result.pred_boxes.tensor.shape == (0, 4)


def test_values_that_are_not_finite_join_no_mask():
    embedding = torch.zeros(1, 5, 5)
    embedding[0, 0, :3] = torch.tensor([np.nan, np.inf, -np.inf])
    result = assemble(embedding, seeds_of([[3, 3]], [0.9]))
    assert result.pred_masks[0].sum() == 22


def test_a_seed_that_is_not_finite_gives_no_instance():
    embedding = torch.zeros(1, 5, 5)
    embedding[0, 1, 1] = np.nan
    result = assemble(embedding, seeds_of([[1, 1], [3, 3]], [0.9, 0.8]), score_similarity=True)
    torch.testing.assert_close(result.scores, torch.tensor([0.8]))


def slow_instances(embedding, factor, seeds, max_overlap, size):
    """The definition on the whole grid, seed by seed: for each that stays its index, mask, and the pixels in doubt."""
    owned = np.zeros(embedding.shape[-2:], dtype=bool)
    result = []
    for index in sorted(range(len(seeds)), key=lambda i: -seeds.score[i].item()):
        row, column = seeds.position[index].tolist()
        if owned[row, column] and max_overlap < 1:
            continue
        threshold = distance_threshold(TAUS[seeds.tau_index[index]])
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
        result.append((index, up <= threshold, (up - threshold).abs() < 1e-4))
    return result


def drawn_embedding(kind, detail, generator):
    """(3, 40, 90): smooth hills, or what a window round a seed fits worst."""
    if kind == "smooth":
        coarse = torch.randn(1, 3, 2 + detail, 5 + detail, generator=generator) * 2
        return torch.nn.functional.interpolate(coarse, size=(40, 90), mode="bicubic")[0]
    if kind == "flat":  # one object, as large as the image
        return torch.zeros(3, 40, 90)
    if kind == "noise":  # pieces that meet at corners, without end
        return (
            torch.randint(0, 2, (1, 40, 90), generator=generator).float().expand(3, -1, -1) * detail
        )
    # A snake of one cell's width through the whole image, and what lies between its windings.
    snake = torch.zeros(3, 40, 90)
    snake[:, ::4] = detail
    snake[:, 2::8, -1] = snake[:, 1::8, -1] = snake[:, 3::8, -1] = detail
    snake[:, 6::8, 0] = snake[:, 5::8, 0] = snake[:, 7::8, 0] = detail
    return snake


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 100_000),
    st.sampled_from([(80, 180), (73, 149), (40, 90), (25, 47)]),
    st.sampled_from([0.2, 0.5, 0.9, 1.0]),
    st.integers(1, 12),
    st.sampled_from(["smooth", "flat", "noise", "snake"]),
)
def test_instances_equal_the_slow_definition(seed, size, max_overlap, detail, kind):
    """Objects of all sizes, at the edge of the image too, some far larger than the first window."""
    generator = torch.Generator().manual_seed(seed)
    embedding = drawn_embedding(kind, detail, generator)
    factor = torch.rand(40, 90, generator=generator) + 0.5
    count = 30
    seeds = Seeds(
        position=torch.stack(
            [torch.randint(0, side, (count,), generator=generator) for side in (40, 90)], 1
        ),
        tau_index=torch.randint(0, 3, (count,), generator=generator),
        pred_class=torch.arange(count),
        score=torch.rand(count, generator=generator),
        level=torch.zeros(count, dtype=torch.int64),
    )
    cell = (size[0] / 40, size[1] / 90)
    result = assemble_instances(
        *([embedding], [factor], [torch.zeros(3, 1, 40, 90)], [cell], seeds),
        **{
            "taus": TAUS,
            "output_size": size,
            "gaps": [0],
            "max_overlap": max_overlap,
            "interpolate": True,
        },
        **{
            "in_pieces": None,
            "bridge_probability": 0.0,
            "small_mask_cells": 0.0,
            "score_similarity": False,
        },
        **{"vote": False, "max_instances": 100},
    )
    expected = {
        i: (mask, doubt)
        for i, mask, doubt in slow_instances(embedding, factor, seeds, max_overlap, size)
    }
    # a mask of less than a pixel may or may not be there
    sure = {index for index, (mask, doubt) in expected.items() if (mask & ~doubt).any()}
    assert sure <= set(result.pred_classes.tolist()) <= set(expected)
    for index, mask in zip(result.pred_classes.tolist(), result.pred_masks, strict=True):
        slow, doubt = expected[index]
        assert torch.equal(mask & ~doubt, slow & ~doubt)

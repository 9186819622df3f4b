import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from dml_instance.grouping.growing import grow_masks
from dml_instance.modeling.similarity import pairwise_squared_distance
from hand_made import (
    TAUS,
    flat_embedding,
    grids_of,
    grow_one,
    growing_seeds,
    masks_on,
    picture,
    ramp,
    threshold_of,
)


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
    *(st.integers(0, 10_000), st.sampled_from([0.1, 1.0, 4.0]), st.integers(0, 2), st.booleans())
)
def test_growing_equals_the_definition_of_a_mask(seed, factor, tau_index, connected):
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.nn.functional.interpolate(
        torch.randn(1, 2, 4, 5, generator=generator) * 1.5, size=(14, 23), mode="bilinear"
    )[0]
    position = (
        int(torch.randint(0, 14, (1,), generator=generator)),
        int(torch.randint(0, 23, (1,), generator=generator)),
    )
    gap = 0 if connected else -1
    part, _ = grow_one(embedding, position, threshold_of(tau_index), gap, factor)
    expected = slow_grow(embedding, factor, position, TAUS[tau_index], connected)
    np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("channels", [1, 4, 16, 37])
def test_distances_are_zero_at_the_seed_and_agree_with_the_matrix(channels):
    embedding = torch.randn(channels, 5, 6) / 2
    _, distance = grow_one(embedding, (2, 3), 1e30, -1, factor=0.5)
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
    """The definition, slowly: pieces are joined where the line between some pair of their cells is
    clear."""
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
    part, _ = grow_one(flat_embedding(torch.from_numpy(mask)), seed, 1.1, gap, is_bridge=is_bridge)
    np.testing.assert_array_equal(part, part_by_labelling(mask, seed, gap, is_bridge))


@settings(max_examples=100, deadline=None)
@given(
    *(st.integers(0, 100_000), st.sampled_from([0.15, 0.25, 0.4]), st.sampled_from([0.5, 0.8, 1])),
    st.integers(0, 4),
)
def test_scattered_pieces_are_joined_as_the_slow_definition_says(seed, density, bridges, gap):
    """Of few cells, so that most lie apart."""
    generator = np.random.default_rng(seed)
    mask, is_bridge = generator.random((8, 9)) < density, generator.random((8, 9)) < bridges
    start = (int(generator.integers(8)), int(generator.integers(9)))
    mask[start] = True
    part, _ = grow_one(flat_embedding(torch.from_numpy(mask)), start, 1.1, gap, is_bridge=is_bridge)
    np.testing.assert_array_equal(part, part_by_labelling(mask, start, gap, is_bridge))


@pytest.mark.parametrize("is_upright", [False, True])
def test_pieces_are_bridged_up_to_the_gap(is_upright):
    ids = torch.zeros(3, 120, dtype=torch.int64)
    ids[1, 10:40], ids[1, 50:100] = 1, 1
    seed = (1, 12)
    if is_upright:
        ids, seed = ids.T, seed[::-1]
    for gap, expected in ((9, 30), (10, 80), (-1, 80)):
        assert grow_one(flat_embedding(ids), seed, 1.1, gap)[0].sum() == expected


@pytest.mark.parametrize(
    ("blocked", "is_joined"),
    [((1, 2), False), ((2, 3), False), ((0, 1), False), ((1, 1), True), ((1, 3), True)],
)
def test_a_gap_is_bridged_along_the_straight_line_and_every_cell_of_it_counts(blocked, is_joined):
    """From (0, 0) to (3, 6) the line crosses (0.5, 1), (1, 2), (1.5, 3), (2, 4) and (2.5, 5);
    halves are rounded to even: (0, 1), (1, 2), (2, 3), (2, 4), (2, 5)."""
    ids = torch.zeros(4, 7, dtype=torch.int64)
    ids[0, 0] = ids[3, 6] = 1
    is_bridge = np.ones((4, 7), dtype=bool)
    is_bridge[blocked] = False
    part, _ = grow_one(flat_embedding(ids), (0, 0), 1.1, gap=5, is_bridge=is_bridge)
    assert part.sum() == 1 + is_joined


def test_what_one_cell_cannot_be_bridged_to_another_cell_may_be():
    """The twin is out of reach of the seed, behind a cell that is no bridge, but not of the foot
    of the L."""
    ids = picture("""
        1..1.
        1....
        11...
    """)
    is_bridge = picture("""
        10011
        11111
        11111
    """).bool()
    part, _ = grow_one(flat_embedding(ids), (0, 0), 1.1, gap=2, is_bridge=is_bridge.numpy())
    np.testing.assert_array_equal(part, ids == 1)


@pytest.mark.parametrize("seed", [(0, 0), (0, 4), (3, 0), (3, 4), (0, 2), (2, 0)])
def test_a_mask_at_the_border_does_not_reach_round_the_image(seed):
    """What lies at the opposite border is as similar, and does not touch."""
    ids = picture("""
        11.11
        1...1
        1...1
        11.11
    """)
    ids[seed] = 1
    part, _ = grow_one(flat_embedding(ids), seed, 1.1)
    labels, _ = ndimage.label(ids.numpy(), structure=np.ones((3, 3)))
    np.testing.assert_array_equal(part, labels == labels[seed])


@pytest.mark.parametrize(
    ("threshold", "columns"),
    [(4.0, [1, 2, 3, 4, 5]), (np.nextafter(4.0, 0), [2, 3, 4]), (0.0, [3])],
)
@pytest.mark.parametrize("gap", [0, 2, -1])
def test_the_threshold_itself_is_near_enough(threshold, columns, gap):
    part, distance = grow_one(ramp(), (0, 3), threshold, gap)
    assert part[0].nonzero()[0].tolist() == columns
    assert distance[0, columns].tolist() == [(column - 3) ** 2 for column in columns]


def test_distances_are_scaled_by_the_seed_and_not_by_the_cell():
    factor = np.full((1, 8), 100.0)
    factor[0, 3] = 0.25
    grids = grids_of(ramp(), distance_scales=[factor])
    masks = grow_masks(grids, growing_seeds(grids, [(0, 3)], 1.0), 0)
    assert masks.cells[:, 1].tolist() == [3, 2, 4, 1, 5]
    assert masks.squared_distance.tolist() == [0, 0.25, 0.25, 1, 1]


@pytest.mark.filterwarnings("ignore:invalid value encountered")  # where loops are run as Python
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("gap", [0, 2, -1])
def test_values_that_are_not_finite_join_no_mask_and_grow_none(bad, gap):
    embedding = torch.zeros(2, 5, 5)
    embedding[1, 0, 2] = bad
    grids = grids_of(embedding)
    masks = grow_masks(grids, growing_seeds(grids, [(0, 2), (3, 3)], 1.1, gap), 0.5)
    assert masks.seed.tolist() == [1]
    part = masks_on((5, 5), masks)[0]
    assert part.sum() == 24 and not part[0, 2]

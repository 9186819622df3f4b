"""A mask from any point against the definition on the whole grid, and against what seeds give."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dml_instance.modeling.similarity import similarity
from hand_made import HandSeed, flat_embedding, grouping_of, maps_of, picture


def ground_of(embedding, *seeds, size=None, distance_scale=None, **changes):
    maps = maps_of(embedding, list(seeds), distance_scale=distance_scale)
    return grouping_of(**changes).ground([maps], size or maps.image_size)


def whole(mask, size):
    """(H, W) bool of a ``PointMask``."""
    pixels = np.zeros(size, dtype=bool)
    top, left = mask.corner
    pixels[top : top + mask.pixels.shape[0], left : left + mask.pixels.shape[1]] = mask.pixels
    return pixels


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 100_000),
    st.floats(0.05, 0.95),
    st.sampled_from([1, 3]),
    st.sampled_from([0, 2]),
)
def test_a_mask_is_what_is_similar_and_hangs_together(seed, tau, cell, gap):
    """Cell by cell: sigma from the point by its own factor, then pieces within reach of another."""
    rng = np.random.default_rng(seed)
    embedding = torch.from_numpy(ndimage.gaussian_filter(rng.normal(0, 6, (2, 11, 14)), (0, 1, 1)))
    factor = torch.from_numpy(rng.uniform(0.3, 3, (11, 14)).astype(np.float32))
    size = (11 * cell, 14 * cell)
    ground = ground_of(embedding.float(), size=size, distance_scale=factor, connect_gap=gap)
    point = rng.uniform(0, 1, 2) * size
    row, column = (int(x / cell) for x in point)
    away = embedding - embedding[:, row, column][:, None, None]
    sigma = similarity(factor[row, column] * away.square().sum(0)).numpy()
    near = sigma >= tau
    # Cells with no more than ``gap`` others between them are of one piece.
    reach = 2 * gap + 3
    apart = np.array(
        [[max(abs(a - c), abs(b - d)) <= (reach - 1) // 2 for c, d in np.argwhere(near)]
         for a, b in np.argwhere(near)]
    )  # fmt: skip
    cells = np.argwhere(near)
    (start,) = np.flatnonzero((cells == (row, column)).all(1))
    reached = np.zeros(len(cells), dtype=bool)
    reached[start] = True
    for _ in cells:
        reached = apart[reached].any(0)
    expected = np.zeros((11, 14), dtype=bool)
    expected[tuple(cells[reached].T)] = True
    doubt = np.abs(sigma - tau) < 1e-5
    if doubt.any():
        return
    mask = ground.grow(point, tau)
    assert mask.tau == tau
    np.testing.assert_array_equal(
        whole(mask, size), expected.repeat(cell, axis=0).repeat(cell, axis=1)
    )
    np.testing.assert_allclose(ground.similarity(point), sigma, atol=1e-5)


SCENE = picture("11.22  11.22  .....  33333")


def test_without_a_tau_it_is_the_choice_of_the_model_there():
    """Cells of 1 differ a little: the threshold decides how many belong together."""
    embedding = flat_embedding(SCENE)
    embedding[0, 0, 1] += 0.9  # sigma 0.62 from its neighbours
    for tau_index, area in ((0, 4), (1, 4), (2, 3)):
        ground = ground_of(embedding, HandSeed(0, 0, 0.8, pred_class=3, tau_index=tau_index))
        mask = ground.grow((0.5, 0.5))
        assert mask.tau == ground.taus[tau_index]
        assert mask.pixels.sum() == area
        assert (mask.pred_class, mask.score) == (3, pytest.approx(0.8, abs=1e-5))


@pytest.mark.parametrize("mean_shifts", [0, 2])
def test_the_seed_of_an_instance_grows_that_instance_with_its_class_and_score(mean_shifts):
    seeds = [HandSeed(0, 0, 0.9, 1), HandSeed(1, 4, 0.7, 2), HandSeed(3, 2, 0.5, 4)]
    rules = {
        "class_by": "vote",
        "score": "seediness_similarity",
        "small_mask_cells": 2.0,
        "mask_resolution": "output",
        "mean_shifts": mean_shifts,
    }
    size = (13, 19)
    embedding = flat_embedding(SCENE)
    embedding[0, 0, 0] += 0.5  # the seed of the first is none of the best
    maps = maps_of(embedding, seeds)
    grouping = grouping_of(**rules)
    found, ground = grouping([maps], size), grouping.ground([maps], size)
    assert len(found) == 3
    for seed in seeds:
        point = ((seed.row + 0.5) * size[0] / 4, (seed.column + 0.5) * size[1] / 5)
        mask = ground.grow(point)
        (index,) = np.flatnonzero(found.pred_classes.numpy() == mask.pred_class)
        np.testing.assert_array_equal(whole(mask, size), found.pred_masks[index].numpy())
        assert mask.score == pytest.approx(float(found.scores[index]))


def test_with_mean_shifts_a_tau_counts_from_the_mean_of_the_object():
    """The point lies at 0, with cells up to 0.9; their mean is some 0.4, and of its cells those up
    to 1.2 are within 0.85 of it."""
    embedding = torch.tensor([[[0.0, 0.3, 0.6, 0.9, 1.2, 9, 9]]])
    changes = {"taus": (0.25, 0.55, 0.75), "mask_resolution": "grid"}
    seed = HandSeed(0, 0, 0.9, tau_index=1)
    plain, shifted = (ground_of(embedding, seed, mean_shifts=n, **changes) for n in (0, 1))
    near, far = 2 / (1 + np.exp(0.85**2)), 2 / (1 + np.exp(0.2**2))
    for tau, of_point, of_mean in ((near, 3, 5), (far, 1, 1)):
        counts = [ground.grow((0.5, 0.5), tau).pixels.sum() for ground in (plain, shifted)]
        assert counts == [of_point, of_mean]
    assert shifted.grow((0.5, 0.5), far).corner == (0, 1)  # the cell at 0.3
    assert shifted.grow((0.5, 0.5)).tau == 0.55
    away = np.abs(embedding[0, 0].numpy() - 0.393)
    expected = 2 / (1 + np.exp(away**2))
    np.testing.assert_allclose(shifted.similarity((0.5, 0.5))[0], expected, atol=1e-2)


def test_of_several_scales_the_likeliest_one_counts():
    coarse, fine = picture("12 33"), SCENE
    maps = [
        maps_of(flat_embedding(fine), [HandSeed(0, 0, 0.3, 1)]),
        maps_of(flat_embedding(coarse), [HandSeed(0, 0, 0.9, 5)], scale=0.5, image_size=(2, 2)),
    ]
    ground = grouping_of().ground(maps, (4, 4))
    assert ground.choice((0.5, 0.5))[:4] == (1, (0, 0), 1, 5)
    assert ground.grow((0.5, 0.5)).pixels.shape == (2, 2)
    assert ground.similarity((0.5, 0.5)).shape == (2, 2)


def test_classes_that_lie_in_pieces_alone_are_bridged():
    """The bar of 3 is cut by 2; its halves are one object where its class lies in pieces."""
    cut = picture("33233 33233")
    changes = {"connect_gap": 1, "min_share_apart": 0.02}
    maps = maps_of(flat_embedding(cut), [HandSeed(0, 0, 0.9, pred_class=1)])
    grouping = grouping_of(**changes)
    assert grouping.ground([maps], (2, 5)).grow((0, 0)).pixels.sum() == 8
    grouping.pieces.num_objects[1] = 100  # none of which was in pieces
    assert grouping.ground([maps], (2, 5)).grow((0, 0)).pixels.sum() == 4


def test_nothing_grows_where_the_embedding_is_no_number():
    embedding = flat_embedding(SCENE)
    embedding[0, 2, 2] = float("nan")
    ground = ground_of(embedding)
    assert ground.grow((2.5, 2.5)) is None
    assert ground.similarity((0, 0))[2, 2] == 0


@pytest.mark.parametrize("point", [(-0.1, 0), (0, 5), (4, 0), (float("nan"), 0)])
def test_a_point_outside_is_refused(point):
    with pytest.raises(ValueError, match="outside of the image, which is 4 x 5"):
        ground_of(flat_embedding(SCENE)).grow(point)


@pytest.mark.parametrize("tau", [0.0, 1.0, -1.0])
def test_a_threshold_out_of_range_is_refused(tau):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        ground_of(flat_embedding(SCENE)).grow((0, 0), tau)


def test_what_is_kept_is_counted():
    ground = ground_of(flat_embedding(SCENE))
    # Embedding and factor of 4 bytes, a bridge of 1, for three thresholds nine classes, and an
    # object of any of them, of 4 bytes.
    assert ground.nbytes == 20 * (4 + 4 + 1 + 3 * (9 + 1) * 4)
    logits = torch.zeros(3, 2, 4, 5)
    ground = grouping_of(num_classes=1).ground([maps_of(flat_embedding(SCENE), logits)], (4, 5))
    assert ground.nbytes == 20 * (4 + 4 + 1 + 3 * 4)

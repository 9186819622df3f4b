"""Several scales, each for the objects of a size."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dml_instance.grouping import ReachedLimits
from dml_instance.grouping.grouping import grown_of, growth_rules
from dml_instance.modeling.grouping import explain
from hand_made import HandSeed, flat_embedding, grid_maps, grouping_of, maps_of, picture

OVERLAP = "MODEL.DML.GROUPING.MAX_OVERLAP"
SIZE = (4, 8)


def two_scales(fine_seeds, coarse_seeds):
    """A block of 4 x 4 pixels and one of 2 x 2, seen at scale 1 and at a half."""
    fine = maps_of(
        flat_embedding(picture("1111..22 1111..22 1111.... 1111....")), fine_seeds, image_size=SIZE
    )
    coarse = maps_of(
        flat_embedding(picture("11.2 11..")), coarse_seeds, scale=0.5, image_size=(2, 4)
    )
    return [fine, coarse]


BOTH = (
    [HandSeed(0, 0, 0.9, 1), HandSeed(1, 6, 0.6, 2)],
    [HandSeed(0, 0, 0.8, 1), HandSeed(0, 3, 0.7, 2)],
)


def found(pyramid, **changes):
    """Level and cells of every mask, in their order."""
    grouping = grouping_of(**changes)
    masks = grown_of(
        [grid_maps(maps) for maps in pyramid], grouping.settings, ReachedLimits()
    ).masks
    return sorted(zip(masks.level.tolist(), masks.area.tolist(), strict=True))


@pytest.mark.parametrize("mean_shifts", [0, 2])
@pytest.mark.parametrize(
    ("handover_size", "expected"),
    [
        (0.0, [(0, 16), (1, 1)]),  # the better score of each, whatever its size
        (1.5, [(1, 1), (1, 4)]),  # both are larger than 1.5 pixels of the fine scale
        (2.1, [(0, 4), (1, 4)]),  # the small one is not
        (4.1, [(0, 4), (0, 16)]),
    ],
)
def test_the_finer_scale_is_for_the_smaller_objects(handover_size, expected, mean_shifts):
    rules = {"handover_size": handover_size, "mean_shifts": mean_shifts}
    assert found(two_scales(*BOTH), **rules) == expected


def test_a_part_of_an_object_that_does_not_fit_is_dropped_with_it():
    """The fine scale sees the block as a whole, and worse a part of it, which alone would fit."""
    fine, coarse = two_scales([], [])
    embedding = fine.embedding.clone()
    embedding[0, :2, :2] += 0.3
    seeds = [HandSeed(3, 3, 0.9, 1, tau_index=1), HandSeed(0, 0, 0.8, 1, tau_index=2)]
    fine = maps_of(embedding * torch.ones(8, 1, 1), seeds, image_size=SIZE)
    wide = coarse.embedding * torch.ones(8, 1, 1)
    coarse = maps_of(wide, BOTH[1][:1], scale=0.5, image_size=(2, 4))
    assert found([fine]) == [(0, 16)]
    assert found([fine, coarse], handover_size=3) == [(1, 4)]


def test_one_scale_is_for_all_sizes():
    fine, _ = two_scales(*BOTH)
    assert found([fine], handover_size=3) == [(0, 4), (0, 16)]


@given(
    st.lists(st.sampled_from([0.25, 0.5, 0.7, 1.0, 1.5, 2.0]), min_size=2, max_size=4, unique=True),
    st.floats(0.5, 40),
    st.sampled_from([1, 4]),
)
def test_every_size_is_of_one_scale(scales, handover_size, stride):
    pyramid = [
        grid_maps(maps_of(torch.zeros(1, 2, 2), [], scale=scale, stride=stride)) for scale in scales
    ]
    rules = growth_rules(None, pyramid, grouping_of(handover_size=handover_size).settings)
    areas = np.array([1, 2, 9, 30, 120, 1000])

    class Masks:
        level = np.arange(len(scales)).repeat(len(areas))
        area = np.tile(areas, len(scales))

    fits = rules.fits(Masks).reshape(len(scales), len(areas))
    for level, scale in enumerate(scales):
        finer = [s for s in scales if s > scale]
        for place, area in enumerate(areas):
            across = stride * area**0.5  # in pixels of this scale
            expected = scale == min(scales) or across < handover_size
            if finer:
                expected &= across * min(finer) / scale >= handover_size * (1 - 1e-12)
            if abs(across - handover_size) > 1e-6:
                assert fits[level, place] == expected


def test_an_object_that_fits_no_scale_is_not_lost():
    """The coarse scale sees two cells, 2.8 pixels across at scale 1, and the fine one 4 pixels."""
    fine, _ = two_scales(BOTH[0][:1], [])
    coarse = maps_of(
        flat_embedding(picture("1... 1...")), BOTH[1][:1], scale=0.5, image_size=(2, 4)
    )
    assert found([fine, coarse], handover_size=3) == [(0, 16)]
    # Nor is one that only the scale sees which it does not fit.
    assert found([fine, two_scales(*BOTH)[1]], handover_size=100) == [(0, 16), (1, 1)]


def test_accounts_are_those_of_the_scales():
    _, accounts = explain(grouping_of(handover_size=3), two_scales(*BOTH), SIZE)
    told = {round(a.seediness, 1): a for a in accounts if a.seediness > 0.5}
    assert {score: a.rule for score, a in told.items()} == {
        0.9: OVERLAP,
        0.8: "",
        0.7: OVERLAP,
        0.6: "",
    }
    assert accounts[told[0.9].taken_by] is told[0.8] and accounts[told[0.7].taken_by] is told[0.6]


def test_a_seed_of_one_scale_does_not_take_that_of_another_before_they_are_joined():
    """The better mask of the coarse scale holds the seeds of the fine one, of which the first takes
    the second."""
    fine = [HandSeed(0, 0, 0.8, 1), HandSeed(1, 1, 0.5, 1)]
    coarse = [HandSeed(0, 0, 0.9, 1), HandSeed(0, 3, 0.7, 2)]
    _, accounts = explain(
        grouping_of(handover_size=3, mean_shifts=1), two_scales(fine, coarse), SIZE
    )
    told = {round(a.seediness, 1): a for a in accounts if a.seediness > 0.4}
    assert {score: account.rule for score, account in told.items()} == {
        0.9: "",
        0.8: OVERLAP,
        0.7: "",
        0.5: "MODEL.DML.GROUPING.SEEDS_PER_MASK",
    }
    assert accounts[told[0.5].taken_by] is told[0.8] and told[0.5].share_taken is None
    assert told[0.8].share_taken == 1

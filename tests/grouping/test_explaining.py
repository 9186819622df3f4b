"""The account of every seed: by hand, and as a whole against what the grouping does."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dml_instance.grouping import RULES
from dml_instance.modeling.grouping import explain
from hand_made import TAUS, HandSeed, flat_embedding, grouping_of, logits_of, maps_of, picture

from .test_slow_definition import KINDS, drawn_embedding

OVERLAP = "MODEL.DML.GROUPING.MAX_OVERLAP"


def accounts_of(embedding, seeds, **changes):
    maps = maps_of(embedding, seeds)
    _, accounts = explain(grouping_of(**changes), [maps], maps.image_size)
    return accounts


def test_each_rule_by_hand():
    scene = picture("11.2  11.2  ....  3.33")
    seeds = [
        HandSeed(0, 0, 0.9, 1),
        HandSeed(1, 1, 0.8, 2),  # in the mask of the first
        HandSeed(0, 3, 0.7, 3),
        HandSeed(3, 0, 0.3, 4),  # under the least score
        HandSeed(3, 3, 0.04, 5),  # no seed
        HandSeed(2, 1, 0.0505, 6),  # beyond the limit
    ]
    accounts = accounts_of(flat_embedding(scene), seeds, min_score=0.35, max_seeds=4)
    named = {(a.row - 0.5, a.column - 0.5): a for a in accounts if a.seediness > 1e-6}
    assert [a.seediness for a in accounts] == sorted((a.seediness for a in accounts), reverse=True)
    rules = {place: account.rule for place, account in named.items()}
    assert rules == {
        (0, 0): "",
        (1, 1): OVERLAP,
        (0, 3): "",
        (3, 0): "MODEL.DML.SCORE_THRESH_TEST",
        (3, 3): "MODEL.DML.GROUPING.MIN_SEEDINESS",
        (2, 1): "MODEL.DML.GROUPING.MAX_SEEDS",
    }
    assert set(rules.values()) < set(RULES)
    assert (named[0, 0].instance, named[0, 3].instance) == (0, 1)
    assert (named[1, 1].taken_by, named[1, 1].share_taken) == (0, 1.0)
    assert named[1, 1].pred_class == 2 and named[1, 1].score is None
    assert named[3, 3].tau == 0.5 and named[3, 3].instance is None


def test_a_mask_that_lies_mostly_in_another_names_it_and_the_share():
    """On a line of embeddings 0, 1, 2 ... a seed at 3 owns those of 2 to 4, and one at 5, whose
    cells are 4 to 6, is dropped for a third only where less is allowed. That a later one, at 7,
    owns 6 then does not count."""
    line = torch.arange(9.0).view(1, 1, 9)
    seeds = [HandSeed(0, 3, 0.9), HandSeed(0, 5, 0.8), HandSeed(0, 7, 0.7)]
    for max_overlap, rule in ((0.3, OVERLAP), (0.4, "")):
        first, second, third = accounts_of(line, seeds, max_overlap=max_overlap)[:3]
        assert (first.rule, second.rule, third.rule) == ("", rule, "")
        if rule:
            assert second.taken_by == 0
            assert second.share_taken == np.float64(1 / 3)


def test_of_several_scales_a_mask_owns_its_cells_on_all():
    fine = maps_of(flat_embedding(picture("1122 1122")), [HandSeed(0, 0, 0.9)])
    coarse = maps_of(
        flat_embedding(picture("12")), [HandSeed(0, 0, 0.8, 3)], scale=0.5, image_size=(1, 2)
    )
    _, accounts = explain(grouping_of(), [fine, coarse], (2, 4))
    dropped = [a for a in accounts if a.rule == OVERLAP]
    assert [(a.pred_class, a.taken_by, a.share_taken) for a in dropped] == [(3, 0, 1.0)]


def test_small_masks_and_full_results():
    scene = picture("11.2  11.2  ....  ....")
    seeds = [HandSeed(0, 0, 0.9, 1), HandSeed(0, 3, 0.8, 3)]
    changes = {"small_mask_cells": 2.0, "max_instances": 1}
    first, second = accounts_of(flat_embedding(scene), seeds, **changes)[:2]
    assert (first.rule, second.rule) == ("", "TEST.DETECTIONS_PER_IMAGE")
    assert (first.size_factor, second.size_factor) == (4 / 6, 2 / 4)
    assert abs(second.score - 0.8 / 2) < 1e-6


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.2, 0.5, 1.0]),
    KINDS,
    st.sampled_from([0, 0, 2]),
    st.sampled_from([1, 3]),
)
def test_the_account_is_that_of_the_grouping(seed, max_overlap, kind, mean_shifts, seeds_per_mask):
    """Every seed once; kept are the instances; a dropped mask breaks the rule, by those kept."""
    generator = torch.Generator().manual_seed(seed)
    shape, count = (9, 17), 12
    embedding = drawn_embedding(kind, 2, shape, generator)
    cells = torch.randperm(shape[0] * shape[1], generator=generator)[:count].tolist()
    scores = (0.1 + 0.8 * torch.rand(count, generator=generator)).tolist()
    seeds = [
        HandSeed(cell // shape[1], cell % shape[1], score, index % 9, index % 3)
        for index, (cell, score) in enumerate(zip(cells, scores, strict=True))
    ]
    maps = maps_of(embedding, logits_of(seeds, shape))
    shifts = {"mean_shifts": mean_shifts, "seeds_per_mask": seeds_per_mask}
    grouping = grouping_of(max_overlap=max_overlap, min_score=0.2, **shifts)
    plain = grouping([maps], shape)
    instances, accounts = explain(grouping, [maps], shape)
    assert torch.equal(plain.pred_masks, instances.pred_masks)
    of_seeds = [a for a in accounts if a.seediness >= 0.05]
    assert sorted((a.row, a.column) for a in of_seeds) == sorted(
        (s.row + 0.5, s.column + 0.5) for s in seeds
    )
    kept = {a.instance: a for a in accounts if not a.rule}
    assert sorted(kept) == list(range(len(instances)))
    for index, account in kept.items():
        assert account.score == float(instances.scores[index])
        assert account.pred_class == int(instances.pred_classes[index])
        at_seed = instances.pred_masks[index, int(account.row), int(account.column)]
        assert at_seed or mean_shifts > 0  # then the seed may have moved on
    for index, account in enumerate(accounts):
        if account.rule == OVERLAP:
            assert account.share_taken > max_overlap
            assert account.taken_by != index
            if mean_shifts == 0:
                assert account.taken_by < index
                assert accounts[account.taken_by].rule != OVERLAP
        if account.rule == "MODEL.DML.GROUPING.SEEDS_PER_MASK":
            assert mean_shifts > 0 and account.share_taken is None and account.taken_by != index
        if account.rule == "MODEL.DML.SCORE_THRESH_TEST":
            assert account.score < 0.2


def test_the_threshold_told_is_the_one_that_the_cells_of_the_mask_voted_for():
    embedding = flat_embedding(picture("11.. 11.."))
    logits = torch.full((3, 10, 2, 4), -30.0)
    logits[:, 0] = 0
    logits[0, 1, 0, 0] = np.log(0.9 / 0.1)
    logits[2, 1, :, :2] = np.log(0.8 / 0.2)
    for mean_shifts, tau in ((0, TAUS[0]), (1, TAUS[2])):
        grouping = grouping_of(min_seediness=0.85, mean_shifts=mean_shifts)
        _, (account, *_) = explain(grouping, [maps_of(embedding, logits)], (2, 4))
        assert (account.rule, account.tau) == ("", tau)

from dataclasses import asdict, fields

import pytest
from detectron2.config import get_cfg

from dml_instance import add_dml_config
from dml_instance.keys.rule_nodes import node_of, rules_of
from dml_instance.modeling.grouping import GroupingRules, build_grouping

CHOICES = {
    "candidates": ("all", "peaks"),
    "diversity": ("distance", "dissimilarity"),
    "mask_resolution": ("output", "grid"),
    "class_by": ("seed", "vote"),
    "score": ("seediness", "seediness_similarity"),
}


def config(*overrides):
    cfg = get_cfg()
    add_dml_config(cfg)
    cfg.merge_from_list(list(overrides))
    return cfg


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *((name, "other", rf"one of \({choices[0]!r}, {choices[1]!r}\)")
          for name, choices in CHOICES.items()),
        ("peak_radius", 0, "positive"),
        ("peak_radius", -1, "positive"),
        ("min_seediness", -0.01, r"in \[0, 1\)"),
        ("min_seediness", 1.0, r"in \[0, 1\)"),
        ("max_seeds", -1, "at least 0"),
        ("alpha", -0.01, "at least 0"),
        ("small_mask_cells", -0.01, "at least 0"),
        ("vote_exponent", -0.01, "at least 0"),
        ("mean_shifts", -1, "at least 0"),
        ("handover_size", -1, "at least 0"),
        ("classes_per_mask", 0, "at least 1"),
        ("seeds_per_mask", 0, r"in \[1, 100\]"),
        ("seeds_per_mask", 101, r"in \[1, 100\]"),
        ("connect_gap", -2, "at least 0, or -1"),
        ("connect_gap", -0.5, "at least 0, or -1"),
        ("bridge_probability", -0.01, r"in \[0, 1\]"),
        ("bridge_probability", 1.01, r"in \[0, 1\]"),
        ("min_share_apart", -0.01, r"in \[0, 1\]"),
        ("min_share_apart", 1.01, r"in \[0, 1\]"),
        ("max_overlap", -0.01, r"in \[0, 1\]"),
        ("max_overlap", 1.01, r"in \[0, 1\]"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_named_with_its_key(name, value, expected):
    message = rf"^MODEL\.DML\.GROUPING\.{name.upper()} is {expected}, got {value!r}$"
    with pytest.raises(ValueError, match=message):
        GroupingRules(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, choice) for name, choices in CHOICES.items() for choice in choices),
        *(("peak_radius", value) for value in (1, 0.5)),
        *(("min_seediness", value) for value in (0, 0.999)),
        *((name, value) for value in (0, 7)
          for name in ("max_seeds", "alpha", "small_mask_cells", "mean_shifts", "vote_exponent",
                       "handover_size")),
        *(("classes_per_mask", value) for value in (1, 80)),
        *(("seeds_per_mask", value) for value in (1, 100)),
        *(("connect_gap", value) for value in (-1, 0, 40)),
        *((name, value) for value in (0, 1)
          for name in ("bridge_probability", "min_share_apart", "max_overlap")),
    ],
)  # fmt: skip
def test_values_at_the_ends_of_their_ranges_are_taken(name, value):
    assert getattr(GroupingRules(**{name: value}), name) == value


def test_the_defaults_are_those_that_every_yaml_counts_on():
    """Yaml files state what differs from these: another default is another model in all of them."""
    assert asdict(GroupingRules()) == {
        "candidates": "peaks",
        "peak_radius": 2,
        "min_seediness": 0.05,
        "max_seeds": 0,
        "alpha": 0.3,
        "diversity": "dissimilarity",
        "connect_gap": 0,
        "bridge_probability": 0.3,
        "min_share_apart": 0.02,
        "mean_shifts": 2,
        "seeds_per_mask": 3,
        "handover_size": 0,
        "max_overlap": 0.5,
        "mask_resolution": "output",
        "class_by": "vote",
        "vote_exponent": 0.3,
        "classes_per_mask": 3,
        "score": "seediness_similarity",
        "small_mask_cells": 2.0,
    }


def test_rules_are_not_changed_after_they_were_checked():
    with pytest.raises(AttributeError):
        GroupingRules().alpha = -1


@pytest.mark.parametrize(
    ("image_size", "max_seeds", "peaks", "of_all"),
    [
        ((64, 64), 0, 1000, 1000),
        ((125, 128), 0, 1000, 1000),
        ((128, 126), 0, 1008, 1000),
        ((512, 501), 0, 16032, 1002),
        ((4 * 1001 + 3, 4), 0, 1001, 1000),
        ((512, 1024), 1, 1, 1),
        ((64, 64), 5000, 5000, 5000),
    ],
)
def test_seeds_at_most_grow_with_the_image_unless_a_number_is_given(
    image_size, max_seeds, peaks, of_all
):
    for candidates, limit in (("peaks", peaks), ("all", of_all)):
        rules = GroupingRules(max_seeds=max_seeds, candidates=candidates)
        assert rules.seed_limit(image_size) == limit


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, False),
        ({"max_seeds": 100}, True),
        ({"candidates": "all"}, True),
        ({"candidates": "all", "alpha": 0.0}, False),
        ({"max_seeds": 100, "alpha": 0.0}, False),
    ],
)
def test_seeds_are_chosen_to_differ_where_they_are_few_of_many(values, expected):
    assert GroupingRules(**values).wants_diversity is expected


@pytest.mark.parametrize(
    ("connect_gap", "min_share_apart", "expected"),
    [(-1, 0.1, False), (0, 0.1, False), (1, 0.1, True), (1, 0.0, False), (1, 1.0, True)],
)
def test_classes_decide_where_there_are_gaps_to_bridge_and_a_share_to_reach(
    connect_gap, min_share_apart, expected
):
    rules = GroupingRules(connect_gap=connect_gap, min_share_apart=min_share_apart)
    assert rules.bridges_by_class is expected


# A value for every key that is not its default.
OTHERS = {
    "candidates": "all",
    "peak_radius": 5,
    "min_seediness": 0.25,
    "max_seeds": 12,
    "alpha": 0.6,
    "diversity": "distance",
    "connect_gap": 9,
    "bridge_probability": 0.7,
    "min_share_apart": 0.4,
    "mean_shifts": 1,
    "seeds_per_mask": 4,
    "handover_size": 64,
    "max_overlap": 0.9,
    "mask_resolution": "grid",
    "class_by": "seed",
    "vote_exponent": 0.7,
    "classes_per_mask": 5,
    "score": "seediness",
    "small_mask_cells": 5.0,
}


def test_rules_become_keys_and_keys_become_rules():
    rules = GroupingRules(**OTHERS)
    assert node_of(rules) == {name.upper(): value for name, value in OTHERS.items()}
    assert rules_of(GroupingRules, node_of(rules)) == rules


@pytest.mark.parametrize("name", [field.name for field in fields(GroupingRules)])
def test_every_key_reaches_the_rule_of_its_name(name):
    assert OTHERS[name] != getattr(GroupingRules(), name)
    cfg = config(f"MODEL.DML.GROUPING.{name.upper()}", OTHERS[name])
    rules = build_grouping(cfg, num_classes=3).rules
    assert rules == GroupingRules(**{name: OTHERS[name]})


def test_every_key_of_the_section_is_a_rule_but_its_name():
    names = {field.name.upper() for field in fields(GroupingRules)}
    assert set(config().MODEL.DML.GROUPING) == names | {"NAME"}

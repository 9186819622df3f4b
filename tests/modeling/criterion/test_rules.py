"""The rules of the losses: their ranges, lambda, and that every key reaches its field."""

from dataclasses import FrozenInstanceError, asdict

import pytest

from dml_instance.modeling.criterion import (
    CriterionRules,
    DMLCriterion,
    MaskLossRules,
    PairLossRules,
    SeedLossRules,
    build_criterion,
)
from toy_models import config

# Every key of the three sections, with a value that is not its default.
VALUES = {
    "PAIR_LOSS": {
        "WEIGHT": 0.35,
        "PIXELS_PER_INSTANCE": 7,
        "BACKGROUND_PIXELS": 33,
        "MAX_INSTANCES": 5,
        "GROUP_SIZE": "area",
        "NORMALIZATION": "joint",
    },
    "MASK_LOSS": {"WEIGHT": 2.5},
    "SEED_LOSS": {
        "PIXELS": 41,
        "FOREGROUND_FRACTION": 0.8,
        "TARGET": "class",
        "TARGET_IOU": 0.7,
        "LABELLED_SHARE": 0.4,
        "WEIGHT": 0.45,
        "RAMP_START": 0.3,
        "RAMP_END": 0.6,
    },
}


def test_every_key_reaches_its_field():
    options = [
        ("MODEL.DML." + section + "." + key, value)
        for section, keys in VALUES.items()
        for key, value in keys.items()
    ]
    cfg = config(*(part for option in options for part in option))
    defaults = asdict(CriterionRules())
    for section, keys in VALUES.items():
        assert {key.lower() for key in keys} == set(defaults[section.lower()])
        for key, value in keys.items():
            assert value != defaults[section.lower()][key.lower()], f"{section}.{key}"
    found = asdict(build_criterion(cfg).rules)
    for section, keys in VALUES.items():
        assert found[section.lower()] == {key.lower(): value for key, value in keys.items()}


def test_thresholds_context_and_length_of_the_schedule_are_those_of_the_config():
    criterion = build_criterion(
        config("MODEL.DML.TAUS", [0.3, 0.6], "MODEL.DML.CONTEXT", 17, "SOLVER.MAX_ITER", 123)
    )
    assert isinstance(criterion, DMLCriterion)
    assert (criterion.taus, criterion.context, criterion.max_iter) == ((0.3, 0.6), 17, 123)


BELOW, BEYOND = -0.01, 1.01
RULES = {"PAIR_LOSS": PairLossRules, "MASK_LOSS": MaskLossRules, "SEED_LOSS": SeedLossRules}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PAIR_LOSS.WEIGHT", BELOW),
        ("PAIR_LOSS.PIXELS_PER_INSTANCE", -1),
        ("PAIR_LOSS.BACKGROUND_PIXELS", -1),
        ("PAIR_LOSS.MAX_INSTANCES", -1),
        ("PAIR_LOSS.GROUP_SIZE", "none"),
        ("PAIR_LOSS.NORMALIZATION", "none"),
        ("MASK_LOSS.WEIGHT", BELOW),
        ("SEED_LOSS.PIXELS", 0),
        ("SEED_LOSS.WEIGHT", BELOW),
        ("SEED_LOSS.FOREGROUND_FRACTION", BELOW),
        ("SEED_LOSS.FOREGROUND_FRACTION", BEYOND),
        ("SEED_LOSS.TARGET", "none"),
        ("SEED_LOSS.TARGET_IOU", BELOW),
        ("SEED_LOSS.TARGET_IOU", BEYOND),
        ("SEED_LOSS.LABELLED_SHARE", 0.0),
        ("SEED_LOSS.LABELLED_SHARE", BEYOND),
        ("SEED_LOSS.RAMP_START", BELOW),
        ("SEED_LOSS.RAMP_START", BEYOND),
        ("SEED_LOSS.RAMP_END", BELOW),
        ("SEED_LOSS.RAMP_END", BEYOND),
    ],
)
def test_a_value_out_of_its_range_names_its_key(key, value):
    section, name = key.split(".")
    with pytest.raises(ValueError, match=rf"MODEL\.DML\.{section}\.{name} is .*got {value!r}"):
        RULES[section](**{name.lower(): value})


def test_the_ramp_does_not_end_before_it_starts():
    with pytest.raises(ValueError, match=r"SEED_LOSS\.RAMP_END is in \[0\.5, 1\], got 0\.4"):
        SeedLossRules(ramp_start=0.5, ramp_end=0.4)


def test_ends_of_ranges_are_in_them():
    assert PairLossRules(0, 0, 0, 0).weight == 0
    assert MaskLossRules(0).weight == 0
    low = SeedLossRules(pixels=1, weight=0, foreground_fraction=0, ramp_start=0, ramp_end=0)
    high = SeedLossRules(foreground_fraction=1, target_iou=1, ramp_start=1, ramp_end=1)
    assert (low.pixels, high.ramp_end) == (1, 1)


@pytest.mark.parametrize("rules", [PairLossRules(), MaskLossRules(), SeedLossRules()])
def test_rules_do_not_change_underway(rules):
    with pytest.raises(FrozenInstanceError):
        rules.weight = 1.0


def lambdas(max_iter, iterations, **options):
    rules = SeedLossRules(**options)
    return [rules.weight_at(iteration, max_iter) for iteration in iterations]


def test_lambda_is_a_ramp():
    ramp = lambdas(8, range(8), weight=0.2, ramp_start=0.25, ramp_end=0.75)
    assert ramp == pytest.approx([0, 0, 0.05, 0.1, 0.15, 0.2, 0.2, 0.2])


def test_lambda_without_a_ramp_is_constant():
    assert lambdas(8, range(3), weight=0.2, ramp_start=0, ramp_end=0) == [0.2, 0.2, 0.2]


def test_lambda_without_a_ramp_can_start_late():
    assert lambdas(4, range(4), weight=0.2, ramp_start=0.5, ramp_end=0.5) == [0, 0, 0.2, 0.2]


def test_lambda_reaches_its_weight_at_the_last_iteration_and_keeps_it():
    ramp = lambdas(10, [0, 8, 9, 10, 1000], weight=3.0, ramp_start=0, ramp_end=1)
    assert ramp == pytest.approx([0.3, 2.7, 3.0, 3.0, 3.0])


def test_the_ends_of_the_ramp_are_whole_iterations():
    """A third of 10 is the fourth iteration, number 3."""
    ramp = lambdas(10, range(10), weight=1.0, ramp_start=0.39, ramp_end=0.59)
    assert ramp == pytest.approx([0, 0, 0, 0.5, 1, 1, 1, 1, 1, 1])

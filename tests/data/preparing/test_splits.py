"""Shares, groups and given splits."""

import pytest

from dml_instance.data.preparing.splits import SplitRules, split_of_each

NAMES = [f"slide{slide}/{tile}" for slide in range(4) for tile in range(3)]
NONE = [""] * len(NAMES)


def split(rules, names=NAMES):
    return split_of_each(names, [""] * len(names), rules)[0]


@pytest.mark.parametrize(
    ("fraction", "count"), [(None, 3), (0.25, 3), (0.01, 1), (0, 0), (0.9, 11)]
)
def test_shares(fraction, count):
    splits = split(SplitRules(fraction))
    assert splits.count("val") == count and set(splits) <= {"train", "val"}
    assert splits == split(SplitRules(fraction))
    if 0 < count < 11:
        assert len({tuple(split(SplitRules(fraction, seed=seed))) for seed in range(9)}) > 1


@pytest.mark.parametrize("pattern", [r"slide\d", r"slide(\d)", r"^[^/]+"])
def test_groups_stay_together(pattern):
    splits, text = split_of_each(NAMES, NONE, SplitRules(group_by=pattern))
    of_slides = {(name.split("/")[0], split) for name, split in zip(NAMES, splits, strict=True)}
    assert len(of_slides) == 4
    assert splits.count("val") == 3
    assert text == "3 groups in train, 1 in val"


def test_a_large_group_does_not_overflow_val():
    sizes = {"a": 90, "b": 10, "c": 10}
    names = [f"{group}{number}" for group, size in sizes.items() for number in range(size)]
    rules = [SplitRules(0.1, "^.", seed) for seed in range(9)]
    assert {split(rule, names).count("val") for rule in rules} == {10}
    assert split(SplitRules(0.1, "^."), ["a1", "a2", "a3", "b1", "b2"]).count("val") == 2


def test_given_splits_stay_unless_a_user_splits():
    given = ["train", "val", "test"] * 4
    assert split_of_each(NAMES, given, SplitRules())[0] == given
    assert split_of_each(NAMES, given, SplitRules(0.25))[0] != given


@pytest.mark.parametrize("given", [{"val_fraction": 1}, {"val_fraction": -0.1}, {"group_by": "("}])
def test_rules_out_of_range_are_refused(given):
    with pytest.raises(ValueError, match=r"\[0, 1\)|no regular expression"):
        SplitRules(**given)


def test_what_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(ValueError, match="1 group of images leaves none"):
        split_of_each(NAMES, NONE, SplitRules(group_by="slide"))
    with pytest.raises(ValueError, match="1 image leaves none"):
        split_of_each(["a"], [""], SplitRules())
    with pytest.raises(ValueError, match="2 images leave none.*lower --val-fraction"):
        split_of_each(["a", "b"], ["", ""], SplitRules(0.9))
    with pytest.raises(ValueError, match="finds nothing in slide0/0"):
        split_of_each(NAMES, NONE, SplitRules(group_by="well"))
    with pytest.raises(ValueError, match="finds nothing in slide0/0"):
        split_of_each(NAMES, NONE, SplitRules(group_by="slide|(well)"))

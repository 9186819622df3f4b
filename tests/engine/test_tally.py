"""The last lines of a run: what was left out, and what to do about it."""

import pytest
import torch

from dml_instance.engine import Tally


def tally_of(images, min_score=0.5):
    """Of images by name: the scores of each, and optionally how many were empty."""
    tally = Tally(min_score)
    for name, (scores, empty) in images.items():
        scores = torch.tensor(scores)
        tally.count(name, scores, int((scores >= min_score).sum()) - empty)
    return tally


def test_nothing_is_said_where_nothing_was_left_out():
    tally = tally_of({"a": ([0.5, 0.75], 0), "b": ([1.0], 0)})
    assert (tally.images, tally.objects, tally.remarks) == (2, 3, [])


def test_weak_and_empty_objects_are_counted():
    tally = tally_of({"a": ([0.5, 0.25, 0.125], 0), "b": ([0.75, 0.625, 0.375], 1)})
    assert (tally.images, tally.objects) == (2, 2)
    assert tally.remarks == [
        "3 objects with a score under 0.5 left out",
        "1 object without a pixel left out",
    ]


@pytest.mark.parametrize(
    ("best", "told", "tried"),
    [(0.434, "0.43", "0.2"), (0.4, "0.4", "0.2"), (0.12, "0.12", "0.05"), (0.03, "0.03", "0")],
)
def test_a_lower_score_is_proposed_where_images_are_empty(best, told, tried):
    """About half of the best one that was left out in an empty image."""
    images = {"a": ([0.75, 0.45], 0), "b": ([0.01, best], 0), "c": ([], 0), "d": ([0.02], 0)}
    assert tally_of(images).remarks[-1] == (
        f"0 objects in 3 of 4 images, best score {told} (b); try --min-score {tried}"
    )


def test_images_in_which_nothing_was_found_at_all_are_told_of():
    (remark,) = tally_of({"a": ([], 0), "b": ([0.75], 0)}).remarks
    assert remark.startswith("0 objects in 1 of 2 images, at any score: ")

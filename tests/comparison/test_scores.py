"""Scores against pycocotools and by hand, and groups of images."""

import numpy as np
import pytest
from detectron2.data import MetadataCatalog
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.cocoeval import COCOeval

from dml_instance.comparison.errors import count_errors
from dml_instance.comparison.pictures import most_telling_images
from dml_instance.comparison.scores import (
    attribute_groups,
    box_overlaps,
    group_ap,
    load_predictions,
    mask_scores,
    object_counts,
    quantile_groups,
)
from dml_instance.keys.classes import with_class_indices
from toy_annotations import LEFT, RIGHT, box, data_set, predictions_of


def random_case(seed):
    rng = np.random.default_rng(seed)

    def mask():
        top, left = rng.integers(0, 25, 2)
        return box(top, left, top + rng.integers(3, 15), left + rng.integers(3, 20))

    truth = data_set(
        *[[(mask(), int(rng.integers(1, 3))) for _ in range(rng.integers(1, 5))] for _ in range(4)]
    )
    found = []
    for annotation in truth.anns.values():
        shifted = np.roll(truth.annToMask(annotation), rng.integers(-2, 3, 2), (0, 1))
        found.append(
            (annotation["image_id"], shifted, int(rng.integers(1, 3)), float(rng.random()))
        )
    return truth, predictions_of(truth, *found)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_pycocotools(seed, capsys):
    truth, found = random_case(seed)
    reference = COCOeval(truth, found, "segm")
    reference.evaluate()
    reference.accumulate()
    reference.summarize()
    scores = mask_scores(truth, found, max_detections=100)
    for name, index in (("AP", 0), ("AP50", 1), ("AP75", 2), ("APs", 3), ("AR", 8)):
        assert scores[name] == pytest.approx(100 * reference.stats[index], abs=1e-9)
    assert np.isnan(scores["APl"])


def test_a_model_that_finds_nothing_is_scored(tmp_path):
    truth = data_set([(LEFT, 1)])
    (tmp_path / "found.json").write_text("[]")
    for nothing in ([], str(tmp_path / "found.json")):
        found = load_predictions(truth, nothing)
        assert mask_scores(truth, found, 10)["AP"] == 0
        assert count_errors(truth, found, 0.05)["missed"] == 1


def test_categories_become_indices_of_classes_where_the_data_set_numbers_them():
    found = predictions_of(data_set([(LEFT, 1)]), (1, LEFT, 2, 0.9), (1, RIGHT, 1, 0.8))
    MetadataCatalog.get("numbered").set(thing_dataset_id_to_contiguous_id={1: 0, 2: 1})
    for name, expected in (("numbered", [1, 0]), ("not_numbered", [2, 1])):
        results = with_class_indices(found.anns.values(), name)
        assert [(r["category_id"], r["score"]) for r in results] == [
            *zip(expected, (0.9, 0.8), strict=True)
        ]
        MetadataCatalog.remove(name)


def test_scores_of_some_images_ignore_the_others():
    truth = data_set([(LEFT, 1)], [(RIGHT, 1)])
    found = predictions_of(truth, (1, LEFT, 1, 0.9))
    assert mask_scores(truth, found, 10, [1])["AP"] == pytest.approx(100)
    assert mask_scores(truth, found, 10, [2])["AP"] == 0
    assert 45 < mask_scores(truth, found, 10)["AP"] < 55


def test_in_a_group_a_class_counts_by_its_objects():
    truth = data_set(
        [(LEFT, 1), (RIGHT, 1), (box(30, 0, 40, 10), 1), (box(30, 30, 40, 60), 2)], [(LEFT, 2)], []
    )
    found = predictions_of(
        truth,
        (1, LEFT, 1, 0.9),
        (1, RIGHT, 1, 0.8),
        (1, box(30, 0, 40, 10), 1, 0.7),
        (3, LEFT, 1, 0.1),
    )
    assert mask_scores(truth, found, 10, [1])["AP"] == pytest.approx(50)
    assert group_ap(truth, found, 10, [1]) == pytest.approx(75)
    assert group_ap(truth, found, 10, [1, 2]) == pytest.approx(60)
    assert group_ap(truth, found, 10, [1, 3]) == pytest.approx(75)
    assert group_ap(truth, found, 10, [2]) == 0
    assert np.isnan(group_ap(truth, found, 10, [3]))


def test_images_are_ranked_by_the_difference_of_two_runs():
    truth = data_set(*[[(LEFT, 1)]] * 3)
    first = predictions_of(truth, (1, LEFT, 1, 0.9), (2, LEFT, 1, 0.9))
    second = predictions_of(truth, (2, LEFT, 1, 0.9), (3, LEFT, 1, 0.9))
    assert most_telling_images(truth, first, second, 10, count=4) == {
        "best": [1],
        "median": [2],
        "worst": [3],
    }


def test_overlap_is_the_largest_iou_with_another_box():
    truth = data_set(
        [(box(0, 0, 10, 10), 1), (box(0, 5, 10, 15), 1), (box(20, 20, 30, 30), 1)], [(LEFT, 1)]
    )
    assert box_overlaps(truth) == {1: pytest.approx((1 / 3 + 1 / 3 + 0) / 3)}
    assert object_counts(truth) == {1: 3, 2: 1}


@given(st.dictionaries(st.integers(), st.floats(0, 1), max_size=40), st.integers(1, 6))
def test_groups_hold_every_image_once(values, count):
    groups = quantile_groups(values, count, "{!r}")
    assert sorted(i for ids in groups.values() for i in ids) == sorted(values)
    assert len(groups) <= count or not values


def test_groups_by_an_attribute_of_the_images():
    truth = data_set([], [], [])
    assert attribute_groups(truth, "scene") == {}
    for image_id, scene in ((1, "a"), (2, "b"), (3, "a")):
        truth.imgs[image_id]["scene"] = scene
    assert attribute_groups(truth, "scene") == {"a": [1, 3], "b": [2]}

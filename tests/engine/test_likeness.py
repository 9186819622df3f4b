"""Classes that a model takes objects for, on drawn scenes whose classes have other names."""

from collections import Counter

import pytest
from detectron2.data import DatasetCatalog

import dml_instance
from dml_instance.data import register_coco
from dml_instance.data.datasets.shapes import write_shapes
from dml_instance.engine import likest_classes


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    write_shapes(str(root / "set"), {"val": 6})
    annotations = root / "set/annotations/instances_val.json"
    register_coco("scenes_of_likeness", str(annotations), str(root / "set/images/val"))
    yield DatasetCatalog.get("scenes_of_likeness")
    DatasetCatalog.remove("scenes_of_likeness")


@pytest.fixture(scope="module")
def shapes():
    return dml_instance.load("shapes", device="cpu")


def renumbered(records, new_index):
    return [
        {
            **record,
            "annotations": [
                {**a, "category_id": new_index(a["category_id"])} for a in record["annotations"]
            ],
        }
        for record in records
    ]


def test_each_class_is_taken_for_the_one_that_was_drawn(shapes, records):
    turned = renumbered(records, lambda index: 5 - index)
    drawn = {a["category_id"] for record in turned for a in record["annotations"]}
    assert len(drawn) > 3
    assert likest_classes(shapes.model, shapes.cfg, turned) == {i: 5 - i for i in drawn}


def test_of_a_class_that_is_several_the_most_frequent_counts(shapes, records):
    counts = Counter(a["category_id"] for record in records for a in record["annotations"])
    (most, _), *_ = counts.most_common()
    assert likest_classes(shapes.model, shapes.cfg, renumbered(records, lambda _: 7)) == {7: most}


def test_what_is_not_found_or_a_crowd_has_no_class(shapes, records):
    (record, *_) = records
    width = record["width"]
    strip = {"category_id": 0, "segmentation": [[0, 0, width, 0, width, 2, 0, 2]], "iscrowd": 0}
    crowds = [{**a, "category_id": 1, "iscrowd": 1} for a in record["annotations"]]
    assert likest_classes(shapes.model, shapes.cfg, [{**record, "annotations": [strip]}]) == {}
    assert likest_classes(shapes.model, shapes.cfg, [{**record, "annotations": crowds}]) == {}

"""What the report says of classes and neighbours."""

from dml_instance.comparison.neighbours import by_neighbours
from dml_instance.comparison.report import FEW_OBJECTS, _voc_table
from dml_instance.comparison.scores import objects_of_classes
from toy_annotations import LEFT, RIGHT, box, data_set

FIGURES = {"AP50-cat": 60.0, "AP70-cat": 40.0, "AP50-dog": 80.0, "AP70-dog": 50.0}


def summary_of(counts, **runs):
    return {"classes": counts, "runs": {name: {"voc": voc} for name, voc in runs.items()}}


def test_classes_with_enough_objects_are_averaged():
    voc = {**FIGURES, "AP50-sofa": 0.0, "AP70-sofa": 0.0}
    counts = {"cat": FEW_OBJECTS, "dog": 50, "sofa": FEW_OBJECTS - 1}
    _, _, text = _voc_table(summary_of(counts, ours=voc))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert rows[0] == ["class", "objects", "ours, 50", "ours, 70"]
    assert [row[0] for row in rows[2:]] == ["cat", "dog", "mean"]
    assert [float(cell) for cell in rows[-1][1:]] == [60, 70.0, 45.0]


def test_without_figures_or_objects_there_is_no_table():
    assert _voc_table(summary_of({"cat": 50}, ours=None)) == []
    assert _voc_table(summary_of({"cat": 1}, ours=FIGURES)) == []


def test_objects_are_counted_by_class_and_by_whom_they_touch():
    truth = data_set([(LEFT, 1), (RIGHT, 1), (box(30, 0, 39, 9), 2)], [(LEFT, 2)])
    truth.anns[2001]["iscrowd"] = 1
    assert objects_of_classes(truth) == {"1": 2, "2": 1}
    assert by_neighbours(truth) == {"touch one of their class": {1001, 1002}, "stand apart": {1003}}
    assert by_neighbours(data_set([(LEFT, 1)])) == {}

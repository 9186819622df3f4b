"""Which ids are one, and which numbers they get."""

import math

import pytest

from dml_instance.data.coco.check.findings import Findings
from dml_instance.data.coco.check.ids import identity, number_annotations, number_entries


@pytest.mark.parametrize(
    ("value", "stands_for"),
    [
        *((7, 7), (7.0, 7), ("7", 7), ("7.0", 7), (" 7 ", 7), ("-7", -7), (0, 0), ("0", 0)),
        *(("007", "007"), ("-0", "-0"), ("a7", "a7"), ("9" * 20, "9" * 20), (2**70, 2**70)),
        *((None, None), (True, None), ("", None), (" ", None), (7.5, None), (math.nan, None)),
        *(([7], None), ({}, None)),
    ],
)
def test_an_id_stands_for_a_number_where_it_can_be_no_other(value, stands_for):
    assert identity(value) == stands_for


def numbered(*ids):
    entries = {identity(i): {"id": i} for i in ids}
    findings = Findings()
    number_entries(entries, "things", findings)
    return [entry["id"] for entry in entries.values()], findings.repaired()


def test_numbers_stay_and_others_are_numbered_anew_all_together():
    assert numbered(5, 0, -2) == ([5, 0, -2], "")
    assert numbered("5", 7.0, 3) == ([5, 7, 3], "ids of things read as numbers (2)")
    assert numbered("b", 1, "a") == ([1, 2, 3], "ids of things numbered anew (3)")
    assert numbered(9, 2**53) == ([1, 2], "ids of things numbered anew (2)")


@pytest.mark.parametrize(
    "ids", [[0, 1], [1, 1], ["1", 2], [1.0, 2], [True, 2], [-1, 2], [1, 2**53]]
)
def test_annotations_that_pycocotools_would_mix_up_are_numbered_anew(ids):
    annotations, findings = [{"id": i} for i in ids], Findings()
    number_annotations(annotations, findings)
    assert [annotation["id"] for annotation in annotations] == [1, 2]
    assert findings.repaired() == "ids of annotations numbered anew (2)"


def test_annotations_that_can_be_told_apart_keep_their_ids():
    annotations, findings = [{"id": 2**53 - 1}, {"id": 1}], Findings()
    number_annotations(annotations, findings)
    assert [annotation["id"] for annotation in annotations] == [2**53 - 1, 1]
    assert findings.repaired() == ""

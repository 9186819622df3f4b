"""Lists of classes as programs export them."""

import math

import pytest

from dml_instance.data.coco.check.categories import check_categories
from dml_instance.data.coco.check.findings import Findings


def checked(*categories, used=(1,)):
    """(id, name) of what is left, the numbers, the faults and the repairs, of (id, name)."""
    findings = Findings()
    entries = [{"id": i, "name": name} for i, name in categories]
    left, numbers = check_categories(entries, set(used), findings)
    faults = str(findings.error("f")) if findings else ""
    return [(e["id"], e["name"]) for e in left], numbers, faults, findings.repaired()


def test_ids_stay_also_of_a_group_that_no_object_is_of():
    categories = [(0, "cells"), (1, "cell"), (7, "debris")]
    assert checked(*categories) == (categories, {0: 0, 1: 1, 7: 7}, "", "")
    assert checked(*categories[::-1])[:2] == (categories, {0: 0, 1: 1, 7: 7})


def test_ids_that_are_texts_are_read_or_numbered_in_their_order():
    assert checked((1, "cell"), ("2", "debris"))[:2] == ([(1, "cell"), (2, "debris")], {1: 1, 2: 2})
    for categories in ([("b", "x"), ("a", "y")], [("a", "y"), ("b", "x")]):
        left, numbers, faults, repairs = checked(*categories, used=("a",))
        assert left == [(1, "y"), (2, "x")]
        assert numbers == {"a": 1, "b": 2}
        assert (faults, repairs) == ("", "ids of categories numbered anew (2)")


def test_names_that_are_numbers_are_texts():
    left, _, faults, repairs = checked((1, 1), (2, 2.5))
    assert left == [(1, "1"), (2, "2.5")]
    assert (faults, repairs) == ("", "names of categories read as texts (2)")


def test_a_category_that_stands_there_twice_is_one():
    left, _, faults, repairs = checked((1, "cell"), (2, "debris"), ("1", "cell"))
    assert left == [(1, "cell"), (2, "debris")]
    assert (faults, repairs) == ("", "categories that stand there twice left out (1)")


def test_an_id_of_two_names_is_refused():
    assert checked((1, "cell"), (1, "debris"))[2].startswith(
        "f: category id 1 is that of cell and debris; "
    )


@pytest.mark.parametrize(("used", "kept"), [({1}, 1), ({0}, 0), (set(), 1)])
def test_of_one_name_the_category_that_objects_are_of_is_kept(used, kept):
    left, numbers, faults, repairs = checked((0, "cell"), (1, "cell"), (2, "x"), used=used)
    assert left == [(kept, "cell"), (2, "x")]
    assert numbers == {kept: kept, 2: 2}
    assert not faults
    assert repairs == "categories left out that have the name of another and no object (1)"


def test_one_name_of_two_categories_with_objects_is_refused():
    faults = checked((0, "cell"), (1, "cell"), used={0, 1})[2]
    assert faults.startswith("f: categories 0 and 1 are both cell; ")


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        *((None, "cell"), (True, "cell"), (1.5, "cell"), ([], "cell")),
        *((1, None), (1, ""), (1, True), (1, math.nan), (1, ["cell"]), (1, "\ud800")),
    ],
)
def test_a_category_needs_an_id_and_a_name(identifier, name):
    assert checked((identifier, name))[2].startswith(
        f"f: a category has the id {identifier!r} and the name {name!r}; "
    )


def test_a_list_without_categories_is_refused_where_objects_have_some():
    assert checked()[2].startswith("f: it lists no categories; ")
    assert not checked(used=())[2]

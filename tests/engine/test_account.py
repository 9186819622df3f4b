import csv
import io

import cv2
import numpy as np
import pytest

import dml_instance
from dml_instance.engine.account import COLUMNS, account_of, as_csv
from dml_instance.grouping import RULES
from toy_scenes import crowd_of_cells


@pytest.fixture(scope="module")
def model():
    return dml_instance.load("nuclei", device="cpu")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "cells.png"
    cv2.imwrite(str(path), crowd_of_cells(96, 128, 24, seed=0)[..., ::-1])
    return str(path)


@pytest.mark.parametrize("min_score", [0.0, 0.55, 0.85])
def test_every_object_that_is_found_has_its_seed_in_the_table(model, image, min_score):
    rows = account_of(model.model, model.cfg, {"file_name": image}, min_score)
    result = model(image, min_score=min_score)
    of_object = {row["object"]: row for row in rows if row["object"] is not None}
    assert sorted(of_object) == list(range(1, len(result) + 1))
    for found in result.objects:
        row = of_object[found.label]
        assert row["score"] == pytest.approx(found.score, abs=1e-4)
        assert row["class"] == "nucleus" and row["rule"] == ""
        # A mask holds its seed.
        whole = np.zeros(result.image.shape[:2], bool)
        whole[found.window] = found.mask
        near = [slice(max(int(row[side]) - 2, 0), int(row[side]) + 3) for side in ("row", "column")]
        assert whole[tuple(near)].any()
    hidden = [row for row in rows if row["rule"] == "TEST.MIN_SCORE"]
    assert len(hidden) == len(model(image, min_score=0.0)) - len(result)
    assert all(row["score"] < min_score and "least score" in row["reason"] for row in hidden)


def test_what_was_dropped_says_by_which_rule_and_by_whom(model, image):
    rows = account_of(model.model, model.cfg, {"file_name": image}, 0.5)
    assert [row["seed"] for row in rows] == list(range(1, len(rows) + 1))
    keys = ["MODEL.DML.GROUPING.SEEDS_PER_MASK", "MODEL.DML.GROUPING.MAX_OVERLAP"]
    taken = [row for row in rows if row["rule"] in keys]
    assert taken and all(row["reason"] == RULES[row["rule"]] for row in taken)
    for row in taken:
        share, rule = row["share_taken"], row["rule"]
        assert row["object"] is None and (share is None if rule == keys[0] else 0 < share <= 1)
        assert row["taken_by"] is None or row["taken_by"] in range(1, len(rows) + 1)
        assert row["taken_by"] != row["seed"]


def test_the_table_is_read_back_as_it_was(model, image):
    rows = account_of(model.model, model.cfg, {"file_name": image}, 0.5)
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [tuple(row) for row in read] == [COLUMNS] * len(rows)
    for row, text in zip(rows, read, strict=True):
        assert text == {k: "" if v is None else str(v) for k, v in row.items()}

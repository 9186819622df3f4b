"""Writing a data set leaves alone what lies beside it."""

import numpy as np
import pytest

from dml_instance.data.forms.coco_writer import CocoWriter


def write_one(root, mask_size=(8, 9), meanwhile=lambda: None):
    """One image with one object, which fills its mask; something else may happen before the end."""
    with CocoWriter(str(root), "cell") as writer:
        writer.start_split("train", "one image")
        writer.add("train", "a", np.zeros((8, 9, 3), np.uint8), [np.ones(mask_size, bool)])
        meanwhile()


def test_folders_beside_a_data_set_stay_as_they_are(tmp_path):
    mine = tmp_path / "cell.part"
    mine.mkdir()
    (mine / "annotated_by_hand.png").touch()
    with pytest.raises(ValueError, match="image a is"):
        write_one(tmp_path / "cell", mask_size=(3, 3))
    assert list(tmp_path.rglob("*")) == [mine, mine / "annotated_by_hand.png"]
    write_one(tmp_path / "cell")
    assert (tmp_path / "cell" / "annotations" / "instances_train.json").is_file()
    assert [path.name for path in mine.iterdir()] == ["annotated_by_hand.png"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_data_set_that_came_meanwhile_is_not_replaced(tmp_path):
    root = tmp_path / "cell"

    def come():
        root.mkdir()
        (root / "theirs").touch()

    with pytest.raises(OSError, match="cell"):
        write_one(root, meanwhile=come)
    assert [path.name for path in root.iterdir()] == ["theirs"]

"""Files and folders that are whole or not there."""

import os
import re

import pytest

from dml_instance.files import GrowingFile, replacing, replacing_folder, write_text


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def write_and_fail(manager, write):
    with manager as part:
        write(part)
        raise KeyError


def test_a_file_is_replaced_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("old")
    with replacing(str(path)) as part:
        assert part.endswith(".png") and os.path.dirname(part) == str(tmp_path)
        with open(part, "w") as file:
            file.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with pytest.raises(KeyError):
        write_and_fail(replacing(str(path)), lambda part: write_text(part, "spoilt"))
    assert path.read_text() == "new" and names_in(tmp_path) == ["a.png"]


def test_a_file_that_nobody_wrote_is_an_error_and_changes_nothing(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileNotFoundError), replacing(str(tmp_path / "a")):
        pass
    assert (tmp_path / "a").read_text() == "old"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "full"), "[Errno 28] full: '{path}'"),
        (OSError(28, "full", "other"), "[Errno 28] full: 'other'"),
        (OSError("no room: take another"), "no room: take another"),
    ],
)
def test_an_error_says_the_name_of_the_file_if_it_has_none(tmp_path, error, said):
    path = str(tmp_path / "a.png")
    for manager in (replacing(path), replacing_folder(path)):
        with pytest.raises(OSError, match=re.escape(said.format(path=path)) + "$"), manager:
            raise type(error)(*error.args, *filter(None, [error.filename]))
    missing = pytest.raises(FileNotFoundError, match=re.escape(f"'{path}/b'"))
    with missing, replacing_folder(path) as part:
        os.stat(os.path.join(part, "b"))


def test_a_folder_is_moved_at_the_end_of_the_block_with_the_rights_of_any_other(tmp_path):
    root = tmp_path / "above" / "set"
    with replacing_folder(str(root)) as part:
        write_text(os.path.join(part, "a.txt"), "text")
        assert not root.exists()
    (tmp_path / "plain").mkdir()
    assert root.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert names_in(root) == ["a.txt"] and names_in(root.parent) == ["set"]


def test_a_folder_is_replaced_where_that_is_asked_for_and_no_error_came(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    (root / "old").touch()

    def fill(part):
        write_text(os.path.join(part, "new"), "")

    def replace(overwrite):
        with replacing_folder(str(root), overwrite=overwrite) as part:
            fill(part)

    with pytest.raises(OSError, match="set"):
        replace(overwrite=False)
    with pytest.raises(KeyError):
        write_and_fail(replacing_folder(str(root), overwrite=True), fill)
    assert names_in(root) == ["old"] and names_in(tmp_path) == ["set"]
    replace(overwrite=True)
    assert names_in(root) == ["new"] and names_in(tmp_path) == ["set"]


def test_a_growing_file_is_complete_after_each_addition(tmp_path):
    """Read while it is open, by another: its end is always the last one, also a shorter one."""
    path = tmp_path / "a.txt"
    path.write_text("an old file, longer than what it is replaced by")
    file = GrowingFile(str(path), "head\n")
    for text, end, expected in (
        ("", "", "head\n"),
        ("one ä\n", "[1]", "head\none ä\n[1]"),
        ("two\n", "[1, 2]", "head\none ä\ntwo\n[1, 2]"),
        ("", "[]", "head\none ä\ntwo\n[]"),
    ):
        file.add(text, end)
        assert path.read_bytes().decode() == expected
    file.close()

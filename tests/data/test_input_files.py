"""Which images are meant, and that no two of them share a name for their results."""

import os

import pytest

from dml_instance.data.input_files import images_below, input_files, named, remarks_on_names


@pytest.fixture
def touch(tmp_path, monkeypatch):
    """Makes empty files below the working directory, which is a new folder."""
    monkeypatch.chdir(tmp_path)

    def touch(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()

    return touch


def found(*paths, **options):
    files = input_files(list(paths), **options)
    assert len({file.name for file in files}) == len(files)
    return {file.relative: file.name for file in files}


def test_sub_folders_are_walked_by_name_and_mirrored(touch):
    touch("raw/b.TIF", "raw/a.png", "raw/sub/a.png", "raw/sub/deep/c.jpg", "raw/notes.txt")
    assert [file.path for file in input_files(["raw"])] == [
        *("raw/a.png", "raw/b.TIF", "raw/sub/a.png", "raw/sub/deep/c.jpg")
    ]
    assert found("raw") == {
        **{"a.png": "a", "b.TIF": "b"},
        **{"sub/a.png": "sub/a", "sub/deep/c.jpg": "sub/deep/c"},
    }


def test_several_inputs_are_named_from_the_folder_that_holds_them_all(touch):
    touch("plate/A01/f.png", "plate/A02/f.png", "plate/A02/x/f.png", "plate/g.png", "h.png")
    assert found("plate/A01", "plate/A02") == {
        **{"A01/f.png": "A01/f", "A02/f.png": "A02/f"},
        "A02/x/f.png": "A02/x/f",
    }
    assert found("plate/A01/f.png") == {"f.png": "f"}
    assert set(found("plate/A02/x")) == {"f.png"}
    touch("rack/only/f.png")
    assert set(found("rack")) == {"only/f.png"}, "below the input, wherever the images are"
    assert found("plate/A01/f.png", "h.png") == {"plate/A01/f.png": "plate/A01/f", "h.png": "h"}
    assert found("./plate/A01/", "plate/A01/f.png") == {"f.png": "f"}, "given twice"


def test_the_ending_stays_where_two_images_differ_by_it_alone(touch):
    touch("a.png", "a.tif", "b.png", "sub/a.png")
    assert found(".") == {
        **{"a.png": "a.png", "a.tif": "a.tif"},
        **{"b.png": "b", "sub/a.png": "sub/a"},
    }
    touch("a.png.tif")
    assert found(".") == {name: name for name in found(".")}


def test_hidden_files_and_earlier_results_are_left_out(touch):
    touch("raw/a.png", "raw/._a.png", "raw/.cache/a.png", "raw/out/a.png", "raw/out/deep/a.png")
    assert set(found("raw", leave_out=["raw/out"])) == {"a.png"}
    assert set(found("raw/out", leave_out=["raw/out"])) == {"a.png", "deep/a.png"}
    assert set(found("raw", leave_out=["raw/none"])) == {"a.png", "out/a.png", "out/deep/a.png"}


def test_endings_of_microscopes_are_images_in_any_case(touch):
    touch("raw/a.lsm", "raw/b.BTF", "raw/c.svs", "raw/d.jp2", "raw/e.GIF", "raw/f.pdf", "raw/g.h5")
    assert set(found("raw")) == {"a.lsm", "b.BTF", "c.svs", "d.jp2", "e.GIF"}
    assert found("gone.lsm") == {"gone.lsm": "gone"}, "its reader complains"


def test_links_to_folders_are_followed_and_circles_are_not(touch, tmp_path):
    touch("far/b.png", "raw/a.png")
    (tmp_path / "raw" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "raw")
    assert set(found("raw")) == {"a.png", "link/b.png"}


def test_what_is_not_there_is_named(touch):
    touch("raw/notes.txt")
    with pytest.raises(FileNotFoundError, match=r"^\(empty name\), x: no such folder"):
        input_files(["", "x"])
    with pytest.raises(FileNotFoundError, match="none: no such folder"):
        input_files(["raw", "none"])
    with pytest.raises(FileNotFoundError, match=r"no image was found in raw; looked for \.png"):
        input_files(["raw"])
    assert images_below(["raw"]) == []
    assert found("gone.png") == {"gone.png": "gone"}, "its reader complains"


def test_files_of_a_data_set_are_named_from_the_folder_that_they_share():
    files = named(["/data/v/A01/f.png", "/data/v/A02/f.png"])
    assert [file.name for file in files] == ["A01/f", "A02/f"]
    assert [file.name for file in named(["/data/v/A01/f.png"])] == ["f"]


def test_folders_of_results_and_pipes_are_passed_over(touch, tmp_path, caplog):
    touch("raw/a.png", "raw/found/labels/a.png", "raw/found/objects.csv", "raw/b/instances.json")
    touch("raw/p/uploads/a.png", "raw/p/actions.jsonl")
    touch("raw/b/labels/a.png")
    os.mkfifo(tmp_path / "raw" / "pipe.png")
    (tmp_path / "raw" / "lost.png").symlink_to("nowhere.png")
    assert [file.path for file in input_files(["raw"])] == ["raw/a.png", "raw/lost.png"]
    assert "raw/found holds results" in caplog.text and "raw/b holds results" in caplog.text
    # Asked for by name it is meant.
    assert [file.path for file in input_files(["raw/found"])] == ["raw/found/labels/a.png"]


# Letters of one, two, three and four bytes.
@pytest.mark.parametrize("letter", ["a", "\u00e4", "\u7d30", "\U0001f9eb"])
def test_results_of_long_names_fit_and_are_told_apart(touch, tmp_path, letter):
    """With the place of a tile, the longest ending, and the name that they are written under."""
    most = (255 - len(".tif1")) // len(letter.encode())
    long = [f"{letter * most}{number}.tif" for number in (1, 2)]
    touch(f"raw/sub/{long[0]}", f"raw/sub/{long[1]}", f"raw/{letter}.tif")
    files = input_files(["raw"])
    names = {file.relative: file.name for file in files}
    assert len(set(names.values())) == 3 and names[f"{letter}.tif"] == letter
    for name in (names[f"sub/{file}"] for file in long):
        assert name.startswith(f"sub/{letter}{letter}")
        (tmp_path / "sub").mkdir(exist_ok=True)
        for addition in ("_10000_10000.png", ".4194304.part.geojson"):
            (tmp_path / f"{name}{addition}").touch()
    assert [file.name for file in input_files(["raw"])] == [file.name for file in files]
    (remark,) = remarks_on_names(files)
    assert long[0] in remark and names[f"sub/{long[0]}"] in remark and "1 image more" in remark
    assert remarks_on_names([file for file in files if "sub" not in file.path]) == []


def test_names_that_are_no_text_can_be_written_everywhere(touch, tmp_path):
    touch(*(os.fsdecode(name) for name in (b"raw/\xe4.png", b"raw/\xff.png", b"raw/%.png")))
    files = input_files(["raw"])
    assert {file.name for file in files} == {"%E4", "%FF", "%"}
    assert all(file.relative.encode() and os.path.isfile(file.path) for file in files)

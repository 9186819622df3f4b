"""Images of a COCO file beside files that are drawn here."""

import pytest
from PIL import Image as Picture

from dml_instance.data.coco.check.findings import Findings
from dml_instance.data.coco.check.images import check_images
from dml_instance.images import ReadingRules


def draw(path, width=9, height=8, orientation=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Picture.Exif()
    if orientation:
        exif[274] = orientation
    Picture.new("RGB", (width, height)).save(path, exif=exif)


def entry(name="a.png", identifier=1, height=8, width=9):
    return {"id": identifier, "file_name": name, "height": height, "width": width}


def checked(entries, folder):
    """The images, the message of the faults if there are some, and the repairs."""
    findings = Findings()
    images = check_images(entries, str(folder), findings)
    return images, str(findings.error("f")) if findings else "", findings.repaired()


def test_images_are_found_by_their_ids(tmp_path):
    draw(tmp_path / "a.png")
    draw(tmp_path / "b" / "c.png", 5, 6)
    entries = [entry(identifier=4), entry("b/c.png", 0, 6, 5)]
    images, faults, repairs = checked(entries, tmp_path)
    assert (faults, repairs) == ("", "")
    assert {i: (image.name, image.number, image.size) for i, image in images.items()} == {
        4: ("a.png", 4, (8, 9)),
        0: ("b/c.png", 0, (6, 5)),
    }
    assert entries == [entry(identifier=4), entry("b/c.png", 0, 6, 5)]


def test_an_image_may_be_a_single_pixel(tmp_path):
    draw(tmp_path / "a.png", 1, 1)
    assert checked([entry(height=1, width=1)], tmp_path)[1] == ""


def test_ids_that_are_texts_are_numbered_anew(tmp_path):
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png")
    entries = [entry(identifier="field-7"), entry("b.png", 7)]
    images, faults, repairs = checked(entries, tmp_path)
    assert (faults, repairs) == ("", "ids of images numbered anew (2)")
    assert [e["id"] for e in entries] == [1, 2]
    assert {i: image.number for i, image in images.items()} == {"field-7": 1, 7: 2}


def test_an_id_of_two_images_is_refused_with_both(tmp_path):
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png")
    _, faults, _ = checked([entry(), entry("b.png", "1")], tmp_path)
    assert faults.startswith("f: image id 1 is that of a.png and b.png; ")


@pytest.mark.parametrize("identifier", [None, True, 1.5, "", []])
def test_an_image_needs_an_id(tmp_path, identifier):
    draw(tmp_path / "a.png")
    _, faults, _ = checked([entry(identifier=identifier)], tmp_path)
    assert faults.startswith(f"f: image a.png has the id {identifier!r}; ")


def test_a_file_that_is_listed_twice_is_refused(tmp_path):
    draw(tmp_path / "a.png")
    _, faults, _ = checked([entry(), entry("./a.png", 77)], tmp_path)
    assert faults.startswith("f: file ./a.png is listed twice, as images 1 and 77; ")


@pytest.mark.parametrize("name", [None, 3, "", "\ud800.png"])
def test_an_image_needs_a_file_name(tmp_path, name):
    _, faults, _ = checked([entry(name)], tmp_path)
    assert faults.startswith(f"f: image 1 has file_name {name!r}; ")


def test_back_slashes_are_read_where_no_file_has_them(tmp_path):
    draw(tmp_path / "b" / "c.png")
    entries = [entry("b\\c.png")]
    images, faults, repairs = checked(entries, tmp_path)
    assert (faults, repairs) == ("", "file names given slashes for back slashes (1)")
    assert images[1].name == entries[0]["file_name"] == "b/c.png"
    draw(tmp_path / "b\\c.png")
    assert checked([entry("b\\c.png")], tmp_path)[2] == ""


@pytest.mark.parametrize("absolute", [False, True])
def test_files_elsewhere_are_reached_by_paths(tmp_path, absolute):
    draw(tmp_path / "b" / "c.png")
    name = str(tmp_path / "b" / "c.png") if absolute else "../b/c.png"
    (tmp_path / "root").mkdir()
    assert checked([entry(name)], tmp_path / "root")[1:] == ("", "")


def test_what_to_do_about_a_missing_file_follows_from_where_it_is(tmp_path):
    root = tmp_path / "all" / "set" / "images"
    draw(root / "a.png")
    draw(root.parent / "b" / "c.png")
    draw(tmp_path / "d.png")

    def cure(name):
        (line,) = checked([entry(name)], root)[1].splitlines()
        start = f"f: image {name} is not in {root}; "
        assert line.startswith(start)
        return line[len(start) :]

    for name in ("images/a.png", "images\\a.png", "b/c.png"):
        assert cure(name) == f"the names are relative to {root.parent}: give this folder"
    assert cure("set/b/c.png").startswith(f"the names are relative to {tmp_path / 'all'}: ")
    draw(root / "val" / "e.png")
    assert cure("e.png") == f"the names are relative to {root / 'val'}: give this folder"
    for name in ("x/a.png", "C:\\x\\a.png", "/x/a.png"):
        assert cure(name).startswith("a.png is: ")
    for name in ("d.png", "a\0.png"):
        assert cure(name).startswith("give the folder that the names are relative to")


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    _, faults, _ = checked([entry()], tmp_path)
    assert faults.startswith(f"f: cannot read {tmp_path / 'a.png'}: ")


def test_a_page_of_a_stack_is_an_image_where_the_rules_choose_it(tmp_path):
    pages = [Picture.new("L", (9, 8)), Picture.new("L", (9, 8))]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    for reading, is_fit in ((ReadingRules(page=1), True), (ReadingRules(), False)):
        findings = Findings()
        check_images([entry("a.tif")], str(tmp_path), findings, reading, "do that")
        assert bool(findings) != is_fit
    assert "a.tif holds 2 images" in str(findings.error("f"))
    assert str(findings.error("f")).endswith("; do that")


@pytest.mark.parametrize(("height", "width"), [(8.0, 9), ("8", "9.0"), (8, "9")])
def test_whole_sizes_are_read_in_any_type(tmp_path, height, width):
    draw(tmp_path / "a.png")
    entries = [entry(height=height, width=width)]
    images, faults, repairs = checked(entries, tmp_path)
    assert (faults, repairs) == ("", "sizes of images read as whole numbers (1)")
    assert repr(entries[0]) == repr(entry())
    assert images[1].size == (8, 9)


@pytest.mark.parametrize(
    "entry_", [{"id": 1, "file_name": "a.png"}, entry(height=None, width=None)]
)
def test_sizes_that_are_not_given_are_those_of_the_file(tmp_path, entry_):
    draw(tmp_path / "a.png")
    images, faults, repairs = checked([entry_], tmp_path)
    assert (faults, repairs) == ("", "images given the size of their files (1)")
    assert entry_ == entry()
    assert images[1].size == (8, 9)


@pytest.mark.parametrize(
    ("height", "width"), [(9, 8), (8, None), (8.5, 9), ("x", 9), (0, 9), (-8, 9), (True, 9)]
)
def test_a_size_that_is_not_that_of_the_file_is_refused(tmp_path, height, width):
    draw(tmp_path / "a.png")
    images, faults, _ = checked([entry(height=height, width=width)], tmp_path)
    assert faults.startswith(
        f"f: image a.png is listed as {height!r} x {width!r} (height x width), and its file 8 x 9; "
    )
    assert images[1].size is None


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_of_the_file_turned_as_it_says(tmp_path, ending, orientation):
    draw(tmp_path / f"a.{ending}", 9, 8, orientation)
    size = (9, 8) if orientation >= 5 else (8, 9)
    assert not checked([entry(f"a.{ending}", 1, *size)], tmp_path)[1]
    assert "EXIF" in checked([entry(f"a.{ending}", 1, *size[::-1])], tmp_path)[1]

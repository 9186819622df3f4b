"""Results are there once their image was added, and nothing takes them away."""

import contextlib
import csv
import errno
import json
import resource

import numpy as np
import pytest
import roifile
from PIL import Image

from dml_instance.data.coco import check_coco
from dml_instance.data.forms.results import (
    RESULT_FORMS,
    ResultImage,
    ResultWriter,
    found_objects,
    label_images,
)

from .found_scenes import CLASSES, SIZE, box, instances_of, many_shapes

TWO = [(box(2, 2, 6, 6), 0, 0.75), (box(10, 12, 6, 8), 1, 0.5)]


def add(writer, name, objects=TWO):
    image = ResultImage(name, f"{name}.tif", SIZE)
    writer.add(image, found_objects(instances_of(objects)))


def contents(folder, names):
    """What each form says of some images, (image, number of objects); read as complete files."""
    coco = json.loads((folder / "instances.json").read_text())
    names_of = {image["id"]: image["file_name"] for image in coco["images"]}
    of_coco = dict.fromkeys(names_of.values(), 0)
    for annotation in coco["annotations"]:
        of_coco[names_of[annotation["image_id"]]] += 1
    with (folder / "objects.csv").open(newline="") as file:
        rows = [row["image"] for row in csv.DictReader(file)]
    return {
        "coco": of_coco,
        "csv": {f"{name}.tif": rows.count(f"{name}.tif") for name in names},
        **{
            form: {f"{name}.tif": count(folder / form / f"{name}{ending}") for name in names}
            for form, ending, count in (
                ("labels", ".png", lambda path: int(np.array(Image.open(path)).max())),
                ("geojson", ".geojson", lambda path: len(json.loads(path.read_text())["features"])),
                ("rois", ".zip", lambda path: len(roifile.roiread(path))),
            )
        },
    }


def test_every_form_is_complete_after_each_image(tmp_path):
    writer = ResultWriter(str(tmp_path), CLASSES, list(RESULT_FORMS))
    numbers = {"a": 2, "sub/b": 0, "sub/deep/a": 1, "c": 2}
    so_far = {}
    for name, number in numbers.items():
        add(writer, name, TWO[:number])
        so_far[f"{name}.tif"] = number
        of_forms = contents(tmp_path, [name.removesuffix(".tif") for name in so_far])
        assert of_forms == dict.fromkeys(of_forms, so_far)
    endings = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert endings == {".png", ".tif", ".csv", ".json", ".geojson", ".zip"}


class FullDisk:
    """A raw file on a disk that has no room for more than so many bytes of it."""

    def __init__(self, file, most):
        self._file, self._most = file, most

    def write(self, data):
        room = self._most - self._file.tell()
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(data[:room])

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.mark.parametrize("form", ["csv", "coco"])
@pytest.mark.parametrize("room", [0, 1, 100, 200])
def test_a_full_disk_loses_the_image_at_hand_alone(tmp_path, form, room):
    with ResultWriter(str(tmp_path), CLASSES, [form]) as writer:
        add(writer, "a")
        path = tmp_path / RESULT_FORMS[form].target
        before = path.read_bytes()
        grown = writer._forms[0].file
        grown._file = FullDisk(grown._file, len(before) + room)
        with pytest.raises(OSError, match="space"):
            add(writer, "b", many_shapes())
        assert path.read_bytes() == before
        grown._file = grown._file._file
        add(writer, "c")
    if form == "coco":
        coco = json.loads(path.read_text())
        assert [image["file_name"] for image in coco["images"]] == ["a.tif", "c.tif"]
        assert [(a["id"], a["image_id"]) for a in coco["annotations"]] == [
            *((1, 1), (2, 1), (3, 2), (4, 2))
        ]


@contextlib.contextmanager
def room_of(number):
    """In the block no file gets longer than so many bytes: as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (number, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def tree(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("form", RESULT_FORMS)
def test_an_image_that_one_form_has_no_room_for_is_in_none(tmp_path, form):
    """The form is the only one, the first, the last; its file is new, replaces another, grows."""
    others = [name for name in RESULT_FORMS if name != form]
    for forms in ([form], [form, *others], [*others, form]):
        folder, scene = tmp_path / "-".join(forms), many_shapes()
        with ResultWriter(str(tmp_path / "alone"), CLASSES, [form], replaced=["a.tif"]) as writer:
            add(writer, "a", scene)
        (path,) = (p for p in (tmp_path / "alone").rglob("*") if p.is_file())
        room = path.stat().st_size - 1
        path.unlink()
        with ResultWriter(str(folder), CLASSES, forms) as writer:
            with room_of(room), pytest.raises(OSError, match="too large") as caught:
                add(writer, "a", scene)
            assert caught.value.filename.startswith(f"{folder}/")
            assert caught.value.strerror and ".part" not in caught.value.filename
            add(writer, "b", TWO[:1])
            before = tree(folder)
            with room_of(room), pytest.raises(OSError, match="too large"):
                add(writer, "a", scene)
            assert tree(folder) == before
        with (
            ResultWriter(str(folder), CLASSES, forms, replaced=["b.tif"]) as writer,
            room_of(room),
            pytest.raises(OSError, match="too large"),
        ):
            add(writer, "b", scene)
        assert tree(folder) == before


def test_the_results_are_a_data_set_with_the_categories_of_the_training(tmp_path):
    with ResultWriter(str(tmp_path / "out"), CLASSES) as writer:
        for name, number in (("a", 2), ("none", 0), ("b", 2)):
            Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / f"{name}.tif")
            add(writer, name, TWO[:number])
    coco = check_coco(str(tmp_path / "out" / "instances.json"), str(tmp_path)).content
    assert coco["categories"] == [{"id": 3, "name": "nucleus"}, {"id": 7, "name": "mitosis/late"}]
    assert [image["file_name"] for image in coco["images"]] == ["a.tif", "none.tif", "b.tif"]
    assert [(a["id"], a["image_id"], a["category_id"]) for a in coco["annotations"]] == [
        *((1, 1, 3), (2, 1, 7), (3, 3, 3), (4, 3, 7))
    ]
    assert coco["annotations"][3]["bbox"] == [12, 10, 8, 6]
    assert coco["annotations"][3]["area"] == 48


@pytest.mark.parametrize("form", RESULT_FORMS)
def test_earlier_results_are_replaced_only_where_that_is_wanted(tmp_path, form):
    def files():
        return {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    with ResultWriter(str(tmp_path), CLASSES, [form]) as writer:
        add(writer, "a", TWO)
        add(writer, "sub/b", TWO)
    before = files()
    with pytest.raises(
        FileExistsError, match=rf"{RESULT_FORMS[form].target} exists .* --overwrite"
    ):
        ResultWriter(str(tmp_path), CLASSES, [form])
    with ResultWriter(str(tmp_path), CLASSES, [form], replaced=["a.tif", "sub/b.tif"]) as writer:
        assert files() == before, "until there is something to put in their place"
        add(writer, "a", TWO[:1])
    after = files()
    assert set(after) == set(before) and after != before


@pytest.mark.parametrize("form", ["csv", "coco"])
def test_results_of_other_images_are_never_replaced(tmp_path, form):
    """A file that all images share has them, and a new one would not."""
    with ResultWriter(str(tmp_path), CLASSES, [form]) as writer:
        for name in ("a", "b", "c", "d", "e"):
            add(writer, name)
    path = tmp_path / RESULT_FORMS[form].target
    before = path.read_bytes()
    others = r"4 images not given now \(b.tif, c.tif, d.tif \.\.\.\)"
    with pytest.raises(FileExistsError, match=f"{path} has results of {others}.* another --output"):
        ResultWriter(str(tmp_path), CLASSES, [form], replaced=["a.tif", "x.tif"])
    assert path.read_bytes() == before
    every = [f"{name}.tif" for name in "abcdex"]
    with ResultWriter(str(tmp_path), CLASSES, [form], replaced=every) as writer:
        add(writer, "x")
    assert b"x.tif" in path.read_bytes() and b"a.tif" not in path.read_bytes()


@pytest.mark.parametrize("form", ["csv", "coco"])
@pytest.mark.parametrize("content", ["", "name,size\n1,2\n", "[1, 2]", '{"images": 3}'])
def test_a_file_of_somebody_else_is_never_replaced(tmp_path, form, content):
    path = tmp_path / RESULT_FORMS[form].target
    path.write_text(content)
    with pytest.raises(FileExistsError, match=f"{path} is .*, and would be replaced: give another"):
        ResultWriter(str(tmp_path), CLASSES, [form], replaced=["a.tif"])
    assert path.read_text() == content


def test_what_is_written_of_many_images_grows_as_their_number_and_none_is_missing(tmp_path):
    count = 300
    sizes = []
    with ResultWriter(str(tmp_path), CLASSES, ["coco"]) as writer:
        for number in range(count):
            add(writer, f"{number}", TWO[: number % 3])
            sizes.append((tmp_path / "instances.json").stat().st_size)
            if number % 50 == 49:
                coco = json.loads((tmp_path / "instances.json").read_text())
                assert len(coco["images"]) > number * 63 / 64 - 1
    assert len(set(sizes)) < 64 + 64 * np.log(count / 64) + 2
    coco = json.loads((tmp_path / "instances.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [f"{n}.tif" for n in range(count)]
    of_images = [annotation["image_id"] for annotation in coco["annotations"]]
    assert of_images == [n + 1 for n in range(count) for _ in range(n % 3)]
    assert [annotation["id"] for annotation in coco["annotations"]] == list(
        range(1, len(of_images) + 1)
    )


def test_a_label_image_of_another_depth_does_not_stay_beside_the_new_one(tmp_path, monkeypatch):
    for most, ending in ((1, ".tif"), (2, ".png"), (1, ".tif")):
        monkeypatch.setattr(label_images, "_MOST_OF_16_BITS", most)
        with ResultWriter(str(tmp_path), CLASSES, ["labels"], replaced=["a.tif"]) as writer:
            add(writer, "a")
        assert [path.name for path in (tmp_path / "labels").iterdir()] == [f"a{ending}"]


def test_what_two_forms_lose_alike_is_said_once(tmp_path):
    with ResultWriter(str(tmp_path), CLASSES, ["labels", "labels32"]) as writer:
        add(writer, "a", many_shapes())
    assert len(writer.remarks) == 1


def test_one_form_beside_another_is_no_earlier_result(tmp_path):
    for form in ("csv", "geojson"):
        with ResultWriter(str(tmp_path), CLASSES, [form]) as writer:
            add(writer, "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["geojson", "objects.csv"]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(FileExistsError, match=f"{tmp_path / 'a'} is no folder.*--output"):
        ResultWriter(str(tmp_path / "a"), CLASSES)

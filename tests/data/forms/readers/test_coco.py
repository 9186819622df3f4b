"""COCO's format, read with the rules that a user gives for its images."""

import json
import re
import shutil

import pytest
import tifffile

from dml_instance.data.forms.readers import SourceRules, read_annotations
from dml_instance.errors import FileError
from dml_instance.images import ReadingRules
from toy_scenes import square_and_disc, write_coco


@pytest.fixture
def stack(tmp_path):
    """Annotations whose image is a stack of two pages; and its folder."""
    path, images = write_coco(tmp_path, "toy", [square_and_disc()])
    (image,) = images.iterdir()
    grey = square_and_disc()[0][..., 0]
    image.unlink()
    with tifffile.TiffWriter(image) as file:
        for _ in range(2):
            file.write(grey)
    return str(path), str(images)


def read(stack, reading):
    rules = SourceRules(*stack, reading=reading)
    return list(read_annotations(rules, "coco")[1])


def test_a_page_of_a_stack_is_an_image(stack):
    (image,) = read(stack, ReadingRules(page=1))
    assert image.size == square_and_disc()[1].shape[1:] and len(image.objects) == 2
    with pytest.raises(ValueError, match="holds 2 images .* --page"):
        read(stack, ReadingRules())


def write_splits(folder, of_split):
    """As Roboflow exports COCO: a folder for each split, with the images and a file beside them."""
    for split, scenes in of_split.items():
        path, images = write_coco(folder, split, scenes)
        shutil.move(path, images / "_annotations.coco.json")
    return SourceRules(str(folder))


def test_a_file_for_each_split_is_the_split_of_its_images(tmp_path):
    one = square_and_disc()
    rules = write_splits(tmp_path, {"train": [one, one], "valid": [one]})
    images = list(read_annotations(rules)[1])
    assert [(image.split, len(image.objects)) for image in images] == [
        *(("train", 2), ("train", 2), ("val", 2))
    ]
    assert len({image.file for image in images}) == 3
    (tmp_path / "valid").rename(tmp_path / "unknown")
    with pytest.raises(FileError, match="holds 2 .json files: give the one that is meant"):
        list(read_annotations(rules)[1])
    (tmp_path / "unknown").rename(tmp_path / "val")
    shutil.copytree(tmp_path / "val", tmp_path / "more" / "val")
    with pytest.raises(FileError, match="holds 3 .json files"):
        list(read_annotations(rules)[1])
    rules = SourceRules(str(tmp_path / "val"))
    assert [image.split for image in read_annotations(rules)[1]] == [""]


def test_objects_without_a_pixel_are_said_and_counted(tmp_path):
    scene = square_and_disc()
    path, images = write_coco(tmp_path, "toy", [scene, scene])
    content = json.loads(path.read_text())
    content["annotations"][2]["segmentation"] = [[5.0, 5.0, 5.0, 5.0, 5.0, 5.0]]
    path.write_text(json.dumps(content))
    first, second = read_annotations(SourceRules(str(path), str(images)))[1]
    assert [len(first.objects), len(second.objects)] == [2, 1]
    (doubt,) = first.doubts.values()
    assert doubt.startswith(f"{path} was repaired: objects without a single pixel left out (1)")
    assert not second.doubts


@pytest.mark.parametrize("place", ["C:\\cells\\", "/datasets/x/", "elsewhere/"])
def test_images_are_found_by_name_below_the_folder_that_is_given(tmp_path, place):
    """As those of LabelMe are; where two have the name neither is taken."""
    scene = square_and_disc()
    path, images = write_coco(tmp_path, "toy", [scene, scene])
    content = json.loads(path.read_text())
    names = [image["file_name"] for image in content["images"]]
    for image in content["images"]:
        image["file_name"] = place + image["file_name"]
    path.write_text(json.dumps(content))
    (images / "deep").mkdir()
    (images / names[1]).rename(images / "deep" / names[1])
    rules = SourceRules(str(path), str(images))
    read_files = [image.file for image in read_annotations(rules)[1]]
    assert read_files == [str(images / names[0]), str(images / "deep" / names[1])]
    (images / "other").mkdir()
    shutil.copy(images / names[0], images / "other")
    (images / names[0]).rename(images / "deep" / names[0])
    with pytest.raises(FileError, match=f"{re.escape(names[0])} have that name"):
        list(read_annotations(rules)[1])
    shutil.rmtree(images / "other")
    (images / "deep" / names[0]).unlink()
    with pytest.raises(FileNotFoundError, match=f"{re.escape(place + names[0])} is not in"):
        list(read_annotations(rules)[1])

"""COCO's format, read with the rules that a user gives for its images."""

import shutil

import pytest
import tifffile

from dml_instance.data.forms.annotated import FormError
from dml_instance.data.forms.readers import SourceRules, form_of
from dml_instance.data.images import ReadingRules
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
    return list(form_of(rules, "coco").read(rules))


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
    images = list(form_of(rules).read(rules))
    assert [(image.split, len(image.objects)) for image in images] == [
        *(("train", 2), ("train", 2), ("val", 2))
    ]
    assert len({image.file for image in images}) == 3
    (tmp_path / "valid").rename(tmp_path / "unknown")
    with pytest.raises(FormError, match="holds 2 .json files: give the one that is meant"):
        list(form_of(rules).read(rules))
    (tmp_path / "unknown").rename(tmp_path / "val")
    shutil.copytree(tmp_path / "val", tmp_path / "more" / "val")
    with pytest.raises(FormError, match="holds 3 .json files"):
        list(form_of(rules).read(rules))
    rules = SourceRules(str(tmp_path / "val"))
    assert [image.split for image in form_of(rules).read(rules)] == [""]

"""COCO's format, read with the rules that a user gives for its images."""

import pytest
import tifffile

from dml_instance.data.forms.readers import SourceRules, form_of
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
    return list(form_of(rules, "coco").read(rules))


def test_a_page_of_a_stack_is_an_image(stack):
    (image,) = read(stack, ReadingRules(page=1))
    assert image.size == square_and_disc()[1].shape[1:] and len(image.objects) == 2
    with pytest.raises(ValueError, match="holds 2 images .* --page"):
        read(stack, ReadingRules())

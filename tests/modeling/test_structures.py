import pytest
import torch

from dml_instance.structures import PixelPredictions

SHAPES = {"embedding": (2, 4, 5, 6), "distance_scale": (2, 5, 6), "class_logits": (2, 3, 2, 5, 6)}


def predictions(**shapes):
    return PixelPredictions(
        **{name: torch.zeros(shape) for name, shape in {**SHAPES, **shapes}.items()}, stride=4
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"embedding": (2, 5, 6)},
        {"class_logits": (2, 3, 5, 6)},
        {"class_logits": (1, 3, 2, 5, 6)},
        {"class_logits": (2, 3, 2, 5, 7)},
        {"distance_scale": (1, 5, 6)},
        {"distance_scale": (2, 4, 6)},
    ],
)
def test_maps_that_do_not_fit_together_are_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        predictions(**wrong)


def test_an_image_without_its_padding():
    embedding, distance_scale, class_logits = predictions().of_image(1, (13, 9))
    assert embedding.shape == (4, 4, 3)
    assert distance_scale.shape == (4, 3)
    assert class_logits.shape == (3, 2, 4, 3)

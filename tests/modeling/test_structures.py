import pytest
import torch

from dml_instance.modeling.structures import BatchMaps, ImageMaps

SHAPES = {"embedding": (2, 4, 5, 6), "distance_scale": (2, 5, 6), "class_logits": (2, 3, 2, 5, 6)}


def batch_maps(**shapes):
    return BatchMaps(
        **{name: torch.rand(shape) for name, shape in {**SHAPES, **shapes}.items()}, stride=4
    )


def image_maps(**shapes):
    of_image = {name: shape[1:] for name, shape in SHAPES.items()}
    maps = {name: torch.rand(shape) for name, shape in {**of_image, **shapes}.items()}
    return ImageMaps(**maps, stride=4, scale=0.5, image_size=(20, 24))


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
def test_maps_of_a_batch_that_do_not_fit_together_are_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        batch_maps(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"embedding": (1, 4, 5, 6)},
        {"embedding": (4, 5, 7)},
        {"class_logits": (3, 5, 6)},
        {"class_logits": (3, 2, 4, 6)},
        {"distance_scale": (1, 5, 6)},
    ],
)
def test_maps_of_an_image_that_do_not_fit_together_are_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        image_maps(**wrong)


def test_numbers_of_channels_thresholds_and_classes_are_free():
    maps = image_maps(embedding=(7, 5, 6), class_logits=(1, 9, 5, 6))
    assert len(maps.embedding) == 7


def test_an_image_without_its_padding():
    batch = batch_maps()
    maps = batch.of_image(1, (13, 9))
    assert maps.embedding.shape == (4, 4, 3)
    assert maps.distance_scale.shape == (4, 3)
    assert maps.class_logits.shape == (3, 2, 4, 3)
    assert torch.equal(maps.embedding, batch.embedding[1, :, :4, :3])
    assert torch.equal(maps.distance_scale, batch.distance_scale[1, :4, :3])
    assert torch.equal(maps.class_logits, batch.class_logits[1, :, :, :4, :3])
    assert (maps.stride, maps.scale, maps.image_size) == (4, 1.0, (13, 9))


def test_the_size_of_a_cell_in_an_image_of_another_size():
    # Cells of 4 pixels in 20 x 24 pixels: in 40 x 24 pixels they are twice as high.
    assert image_maps().cell_size((40, 24)) == (8.0, 4.0)
    assert image_maps().cell_size((5, 6)) == (1.0, 1.0)

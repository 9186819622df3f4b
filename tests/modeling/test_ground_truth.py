"""What Detectron2's data loader gives, as tensors."""

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Instances, PolygonMasks

from dml_instance.modeling.ground_truth import GroundTruth, object_masks
from toy_models import empty, losses_of, model_of
from toy_scenes import model_input, square_and_disc


def test_bit_masks_and_classes_are_taken_as_they_are():
    image, masks, classes = square_and_disc()
    truth = GroundTruth.of_input(model_input(image, masks, classes))
    assert np.array_equal(truth.masks.tensor.numpy(), masks)
    assert truth.classes.tolist() == classes.tolist()
    assert truth.classes.dtype == torch.int64
    assert truth.ignored.shape == (64, 96)
    assert not truth.ignored.any()


def test_an_image_without_objects_has_none_of_the_size_of_the_image():
    truth = GroundTruth.of_input(empty(48, 64))
    assert (len(truth.masks), truth.masks.size) == (0, (48, 64))
    assert truth.masks.tensor.shape == (0, 48, 64)
    assert truth.classes.shape == (0,)
    assert truth.classes.dtype == torch.int64


def test_what_is_ignored_is_taken_where_it_is_given():
    ignored = torch.rand(48, 64) > 0.5
    truth = GroundTruth.of_input({**empty(48, 64), "ignored": ignored})
    assert torch.equal(truth.ignored, ignored)


def test_polygons_are_rasterised():
    instances = Instances((8, 10), gt_classes=torch.tensor([1]))
    instances.gt_masks = PolygonMasks([[np.array([2, 1, 6, 1, 6, 5, 2, 5.0])]])
    masks, classes = object_masks(instances, (8, 10))
    expected = torch.zeros(8, 10, dtype=torch.bool)
    expected[1:5, 2:6] = True
    assert torch.equal(masks.tensor[0], expected)
    assert classes.tolist() == [1]


def test_polygons_train_like_bit_masks():
    batch = [model_input(*square_and_disc())]
    x = batch[0]["instances"]
    square, rhombus = [8, 10, 31, 10, 31, 35, 8, 35.0], [52, 24, 80, 24, 80, 52, 52, 52.0]
    x.gt_masks = PolygonMasks([[np.array(square)], [np.array(rhombus)]])
    polygons = losses_of(model_of(), batch)
    x.gt_masks = BitMasks.from_polygon_masks(x.gt_masks, 64, 96)
    assert losses_of(model_of(), batch) == pytest.approx(polygons, rel=1e-5)


def test_objects_without_masks_are_named_as_the_problem():
    batch = [model_input(*square_and_disc())]
    batch[0]["instances"].remove("gt_masks")
    with pytest.raises(ValueError, match="MASK_ON"):
        losses_of(model_of(), batch)


def test_masks_of_another_size_than_the_image_are_an_error():
    x = model_input(*square_and_disc())
    x["image"] = x["image"][:, :-1]
    with pytest.raises(ValueError, match=r"gt_masks are \(64, 96\), but the image is \(63, 96\)"):
        GroundTruth.of_input(x)

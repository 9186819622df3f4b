"""Masks in windows hold what masks of the whole image hold."""

import numpy as np
import pytest
import torch
from detectron2.structures import Instances
from hypothesis import given, settings
from hypothesis import strategies as st

from dml_instance.object_masks import ObjectMasks


def drawn(seed, count=4, size=(9, 13)):
    """Masks of a few pixels, the second of none."""
    masks = torch.from_numpy(np.random.default_rng(seed).random((count, *size)) < 0.04)
    masks[1:2] = False
    return masks


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 4))
def test_what_goes_in_comes_out(seed, count):
    masks = drawn(seed, count)
    objects = ObjectMasks.of(masks)
    assert len(objects) == count and objects.size == (9, 13)
    assert torch.equal(objects.tensor, masks)
    for index, mask in enumerate(masks):
        rows, columns = mask.nonzero().unbind(1)
        if not len(rows):
            assert objects[index].numel() == 0
            continue
        window = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert torch.equal(objects[index], window)
    corners = objects.corner.tolist()
    again = ObjectMasks.of_windows([m.numpy() for m in objects], corners, objects.size)
    assert torch.equal(again.tensor, masks)


@pytest.mark.parametrize(
    "chosen", [torch.tensor([True, False, True, True]), torch.tensor([3, 0, 0]), slice(1, 3)]
)
def test_chosen_objects_are_those_that_a_tensor_gives(chosen):
    masks = drawn(1)
    assert torch.equal(ObjectMasks.of(masks)[chosen].tensor, masks[chosen])


def test_they_are_a_field_of_instances():
    masks = drawn(2)
    instances = Instances((9, 13), gt_masks=ObjectMasks.of(masks), gt_classes=torch.arange(4))
    kept = instances[instances.gt_classes > 1].to("cpu")
    assert torch.equal(kept.gt_masks.tensor, masks[2:])
    with pytest.raises(IndexError, match="there are 4 objects"):
        instances.gt_masks[4]


def test_memory_goes_with_the_windows():
    """20,000 objects of 9 pixels in 8,192 x 8,192, which would be 1.3 TB in full."""
    corners = np.random.default_rng(0).integers(0, 8189, (20_000, 2))
    objects = ObjectMasks.of_windows([np.ones((3, 3), bool)] * 20_000, corners, (8192, 8192))
    assert objects.pixels.numel() == 180_000
    owner, rows, columns = objects.places
    expected = (corners[:, None] + np.argwhere(np.ones((3, 3)))[None]).reshape(-1, 2)
    assert np.array_equal(torch.stack([rows, columns], 1).numpy(), expected)
    assert torch.equal(owner, torch.arange(20_000).repeat_interleave(9))

"""Pasted objects against what is in the two images, pixel by pixel."""

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Instances

from dml_instance.data.copy_paste import CopyPaste, _place, pasted

SIZE = (24, 30)


def scene(masks, classes, value, ignored=None):
    """An input dict whose pixels all differ from one another, and from those of other values."""
    height, width = np.shape(masks)[1:] if len(masks) else SIZE
    image = torch.arange(height * width).reshape(1, height, width) + value
    instances = Instances((height, width))
    if len(masks):
        instances.gt_masks = BitMasks(torch.as_tensor(np.array(masks), dtype=torch.bool))
        instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    x = {"image": image.int(), "instances": instances, "file_name": "a.png"}
    return x if ignored is None else {**x, "ignored": ignored}


def rectangle(top, left, bottom, right, size=SIZE):
    mask = np.zeros(size, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.fixture(params=range(40))
def seed(request):
    np.random.seed(request.param)
    return request.param


def test_every_pixel_comes_from_one_of_the_two_images(seed):
    mine = [rectangle(2, 3, 12, 14), rectangle(12, 15, 22, 29)]
    theirs = [rectangle(1, 1, 9, 8, (20, 18)), rectangle(9, 4, 15, 17, (20, 18))]
    void = torch.from_numpy(rectangle(0, 0, 24, 2))
    x = scene(mine, [4, 5], 0, void)
    donor = scene(theirs, [6, 7], 10_000)
    out = pasted(x, donor["image"], donor["instances"])

    origin = out["image"][0].numpy()
    is_pasted = origin >= 10_000
    stayed = x["image"][0].numpy()
    assert (origin[~is_pasted] == stayed[~is_pasted]).all()
    assert is_pasted.any()
    # Whose pixel it was, by the number that it carries; all moved by the same step.
    rows, columns = np.nonzero(is_pasted)
    from_rows, from_columns = np.divmod(origin[is_pasted] - 10_000, 18)
    ((down, right),) = set(zip(rows - from_rows, columns - from_columns, strict=True))
    every = np.zeros(SIZE, dtype=bool)
    for row, column in zip(*np.nonzero(np.any(theirs, axis=0)), strict=True):
        if 0 <= row + down < SIZE[0] and 0 <= column + right < SIZE[1]:
            every[row + down, column + right] = True
    over, under = every, every & ~np.any(mine, axis=0)
    assert (is_pasted == over).all() or (is_pasted == under).all()

    owner = np.full(SIZE, -1)
    for mask, index in zip(mine, (4, 5), strict=True):
        owner[mask] = index
    for row, column, from_row, from_column in zip(
        rows, columns, from_rows, from_columns, strict=True
    ):
        (owner[row, column],) = (
            index for mask, index in zip(theirs, (6, 7), strict=True) if mask[from_row, from_column]
        )
    classes = out["instances"].gt_classes.tolist()
    for index, mask in zip(classes, out["instances"].gt_masks.tensor.numpy(), strict=True):
        assert (mask == (owner == index)).all()
    lost = np.isin(owner, sorted({4, 5, 6, 7} - set(classes)))
    assert (out["ignored"].numpy() == (lost | (void.numpy() & ~is_pasted))).all()
    boxes = out["instances"].gt_boxes.tensor.int().tolist()
    for box, mask in zip(boxes, out["instances"].gt_masks.tensor.numpy(), strict=True):
        rows, columns = np.nonzero(mask)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_what_can_hardly_be_seen_is_ignored():
    hidden, lost = rectangle(5, 5, 19, 25), set()
    for seed in range(60):
        np.random.seed(seed)
        x = scene([hidden], [0], 0)
        donor = scene([rectangle(0, 0, 24, 30)], [1], 10_000)
        out = pasted(x, donor["image"], donor["instances"])
        seen = hidden & (out["image"][0].numpy() < 10_000)
        is_kept = 0 in out["instances"].gt_classes.tolist()
        assert is_kept == (seen.sum() >= 0.2 * hidden.sum())
        assert (out["ignored"].numpy() == (seen & (not is_kept))).all()
        lost.add((is_kept, seen.any(), bool(seen.sum() == hidden.sum())))
    # Hidden in part and kept; hidden but for a few pixels; and left as it was.
    assert {(True, True, False), (False, True, False), (True, True, True)} <= lost


def test_most_objects_come_to_lie_beside_one_of_the_image():
    np.random.seed(0)
    size = (400, 400)
    object_box, extent = (180, 180, 230, 210), np.array([20, 40])
    instances = scene([rectangle(*object_box, size)], [0], 0)["instances"]
    touching = (np.array([50, 30]) + extent) / 2
    apart = []
    for _ in range(400):
        first = np.array(_place(instances, (0, 0, extent[1], extent[0]), size))
        apart.append((np.abs(first + extent / 2 - (205, 195)) / touching).max())
    apart = np.array(apart)
    # Half a pixel of rounding in some 30.
    beside = (apart > 0.47) & (apart < 1.03)
    assert 0.6 < beside.mean() < 0.8
    assert (apart[beside] > 0.9).any() and (apart[beside] < 0.6).any()
    assert apart.max() > 3


def test_an_image_without_objects_gets_some(seed):
    donor = scene([rectangle(3, 3, 9, 9)], [2], 10_000)
    out = pasted(scene([], [], 0), donor["image"], donor["instances"])
    assert out["instances"].gt_classes.tolist() == [2]
    assert (out["instances"].gt_masks.tensor[0] == (out["image"][0] >= 10_000)).all()


def records_and_mapper():
    records = [
        {"name": index, "annotations": [{"category_id": index % 3}] * (index > 0)}
        for index in range(9)
    ]
    drawn = []

    def mapper(record):
        drawn.append(record.pop("name"))
        return scene([rectangle(5, 5, 15, 15)], [drawn[-1] % 3], 10_000 * len(drawn))

    return records, mapper, drawn


def test_it_pastes_as_often_as_it_is_told():
    records, mapper, drawn = records_and_mapper()
    np.random.seed(0)
    paste = CopyPaste(mapper, records, 0.25)
    count = sum("ignored" in paste(dict(records[1])) for _ in range(400))
    assert 70 < count < 130
    assert len(drawn) == 400 + count
    assert 0 not in drawn  # it has no object


def test_half_of_the_donors_are_of_a_class_of_the_image():
    records, mapper, drawn = records_and_mapper()
    np.random.seed(0)
    paste = CopyPaste(mapper, records, 1.0)
    for _ in range(400):
        paste(dict(records[1]))
    alike = sum(name % 3 == 1 for name in drawn[1::2])
    # By chance 3 of 8 records are of its class.
    assert alike / 400 == pytest.approx(0.5 + 0.5 * 3 / 8, abs=0.06)


def test_records_stay_as_they_are():
    records, mapper, _ = records_and_mapper()
    paste = CopyPaste(mapper, records, 1.0)
    paste(dict(records[1]))
    assert [record["name"] for record in records] == list(range(9))


def test_a_probability_is_at_most_one():
    with pytest.raises(ValueError, match="COPY_PASTE"):
        CopyPaste(lambda record: record, [], 1.5)

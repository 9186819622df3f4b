"""Groupings of others on predictions with a known answer."""

import sys

import pytest
import torch
from detectron2.structures import BoxMode

from benchmarks.peers.clusterings import (
    hdbscan,
    instances_of_labels,
    loop_over_seeds,
    mean_shift,
    sklearn_cluster,
)
from benchmarks.peers.groupings import _as_coco, _scores, ground_truth_of
from benchmarks.peers.panoptic_deeplab import panoptic_deeplab, perfect_maps, project_module
from benchmarks.timing.predicted import evenly_taken
from dml_instance.modeling.grouping import GroupingRules, InstanceGrouping
from toy_scenes import rle

TAUS = (0.5, 0.75)


def plain_grouping():
    rules = GroupingRules(
        min_seediness=0.5,
        max_seeds=50,
        mask_resolution="grid",
        class_by="seed",
        score="seediness",
        small_mask_cells=0.0,
    )
    return InstanceGrouping(rules, num_classes=2, taus=TAUS, context=-1, max_instances=10)


def of_ours(masks, classes, image):
    return plain_grouping()([image.maps], image.output_size)


def of_panoptic_deeplab(masks, classes, image):
    return panoptic_deeplab(
        perfect_maps(masks, classes, image.maps.image_size, 2),
        2,
        image.cell_size,
        image.output_size,
    )


GROUPINGS = {
    "ours": of_ours,
    "seed_loop": lambda masks, classes, image: loop_over_seeds(image, plain_grouping(), TAUS),
    "mean_shift": lambda masks, classes, image: mean_shift(image, binned=False),
    "mean_shift_binned": lambda masks, classes, image: mean_shift(image, binned=True),
    "hdbscan": lambda masks, classes, image: hdbscan(image),
    "panoptic_deeplab": of_panoptic_deeplab,
}


@pytest.mark.parametrize("name", GROUPINGS)
def test_every_grouping_finds_two_objects(name, two_objects):
    if name in ("mean_shift", "mean_shift_binned", "hdbscan"):
        pytest.importorskip("sklearn")
    masks, classes, image = two_objects
    found = GROUPINGS[name](masks, classes, image)
    assert found.image_size == (64, 96) and len(found) == 2
    for index in range(2):
        (of_class,) = (found.pred_classes == classes[index]).nonzero()
        assert found.pred_masks.dtype == torch.bool
        assert torch.equal(found.pred_masks[of_class[0]], masks[index])
        assert found.scores[of_class[0]] > 0.95


@pytest.mark.parametrize("name", GROUPINGS)
def test_every_grouping_bears_an_image_without_objects(name, two_objects):
    if name in ("mean_shift", "mean_shift_binned", "hdbscan"):
        pytest.importorskip("sklearn")
    masks, classes, image = two_objects
    image.maps.class_logits[:, 0] = 30.0
    found = GROUPINGS[name](masks[:0], classes[:0], image)
    assert len(found) == 0 and found.pred_masks.shape == (0, 64, 96)


def test_clusters_take_the_score_and_class_of_their_cells():
    labels = torch.tensor([[1, 1, 0], [0, 2, 2]])
    probability = torch.tensor(
        [[[0.9, 0.5, 0.8], [0.1, 0.2, 0.3]], [[0.1, 0.6, 0.1], [0.1, 0.7, 0.3]]]
    )
    found = instances_of_labels(labels, probability, (2.0, 1.5), (4, 5))
    assert found.scores.tolist() == pytest.approx([(0.9 + 0.6) / 2, (0.7 + 0.3) / 2])
    assert found.pred_classes.tolist() == [0, 1]
    # Columns have their centres at 0.5, 1.5 ... 4.5 pixels, which lie in the cells 0, 1, 1, 2 and
    # 3, which is 2 still.
    expected = torch.zeros(2, 4, 5, dtype=torch.bool)
    expected[0, :2, :3] = True
    expected[1, 2:, 1:] = True
    assert torch.equal(found.pred_masks, expected)


def test_maps_of_the_ground_truth_point_at_the_centres(two_objects):
    masks, classes, _ = two_objects
    maps = perfect_maps(masks, classes, (64, 96), stride=2)
    assert [int(maps.semantic[0, row, column]) for row, column in ((6, 8), (20, 30), (0, 0))] == [
        1,
        2,
        0,
    ]
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    pointed = torch.stack([rows, columns]) + maps.offsets
    for index, centre in enumerate([(8.5, 12.0), (22.5, 34.5)]):
        cells = masks[index, ::2, ::2]
        assert pointed[:, cells].unique(dim=1).T.tolist() == [list(centre)]
        assert maps.centers[0, round(centre[0]), round(centre[1])] == 1
    assert not maps.offsets[:, maps.semantic[0] == 0].any()


def test_more_objects_than_the_project_takes_by_default_come_back():
    labels = torch.zeros(160, 200, dtype=torch.int64)
    for index in range(320):
        row, column = divmod(index, 20)
        labels[10 * row + 2 : 10 * row + 8, 10 * column + 2 : 10 * column + 8] = index + 1
    masks = labels == torch.arange(1, 321)[:, None, None]
    maps = perfect_maps(masks, torch.zeros(320, dtype=torch.int64), (160, 200), stride=1)
    found = panoptic_deeplab(maps, 1, (1.0, 1.0), (160, 200))
    assert {mask.numpy().tobytes() for mask in found.pred_masks} == {
        mask.numpy().tobytes() for mask in masks
    }


def test_true_masks_score_full_marks_and_none_score_zero(two_objects):
    masks, classes, image = two_objects
    record = {"image_id": "a", "file_name": "a.png", "height": 64, "width": 96}
    record["annotations"] = [
        {
            "category_id": int(c),
            "bbox": [0, 0, 96, 64],
            "bbox_mode": BoxMode.XYXY_ABS,
            "segmentation": rle(m.numpy()),
        }
        for m, c in zip(masks, classes, strict=True)
    ]
    truth = ground_truth_of([record], num_classes=2)
    found = of_panoptic_deeplab(masks, classes, image)
    perfect = {"AP": pytest.approx(100), "AP50": pytest.approx(100)}
    assert _scores(truth, _as_coco(found, "a"), 100) == perfect
    half = _as_coco(found[found.pred_classes == 0], "a")
    assert _scores(truth, half, 100)["AP"] == pytest.approx(50)
    assert _scores(truth, [], 100) == {"AP": 0.0, "AP50": 0.0}
    record["annotations"][0]["segmentation"] = []
    with pytest.raises(ValueError, match=r"a\.png has an object without a mask"):
        ground_truth_of([record], num_classes=2)


def test_a_missing_peer_is_named_with_its_cure(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        sklearn_cluster()
    monkeypatch.setattr("detectron2.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ImportError, match="comes without its projects"):
        project_module.__wrapped__()


def test_an_unknown_data_set_is_named():
    with pytest.raises(ValueError, match="data set nowhere is not registered"):
        evenly_taken("nowhere", 3)

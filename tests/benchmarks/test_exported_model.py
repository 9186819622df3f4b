"""Objects of an exported model beside those of torch, and what a fresh process takes."""

import json

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Instances
from hypothesis import given
from hypothesis.extra import numpy as hnp

from benchmarks import exported_model
from dml_instance.engine import NO_DATA, load_config
from page_commands import parsed
from toy_network import write_toy_model
from toy_scenes import square_and_disc, write_coco

LABELS = hnp.arrays(np.int32, (4, 6), elements={"min_value": 0, "max_value": 4})


@given(LABELS, LABELS)
def test_the_best_overlap_of_an_object_is_the_largest_iou_of_all(labels, others):
    expected = []
    for label in sorted(set(labels[labels > 0])):
        mask = labels == label
        masks = [others == other for other in set(others[others > 0])]
        expected.append(max([(mask & m).sum() / (mask | m).sum() for m in masks], default=0))
    np.testing.assert_allclose(exported_model.best_overlaps(labels, others), expected)


def test_labels_are_those_of_the_objects_that_are_good_enough():
    masks = torch.zeros(3, 4, 5, dtype=torch.bool)
    masks[0, :2], masks[1, 1:3], masks[2, 3] = True, True, True
    instances = Instances((4, 5), pred_masks=masks)
    instances.scores, instances.pred_classes = torch.tensor([0.6, 0.9, 0.3]), torch.zeros(3)
    expected = np.repeat([[2], [1], [1], [0]], 5, axis=1)
    np.testing.assert_array_equal(exported_model.labels_of(instances, 0.5), expected)


@pytest.fixture
def toy(tmp_path):
    write_toy_model(str(tmp_path / "model"))
    cv2.imwrite(str(tmp_path / "a.png"), square_and_disc()[0])
    return str(tmp_path / "model"), str(tmp_path / "a.png")


def test_a_fresh_process_says_when_it_had_the_first_result(toy):
    result = exported_model.first_result("exported", *toy)
    assert set(result) == {"first_s", "second_s", "processor_s", "peak_mib", "objects"}
    assert result["first_s"] > result["second_s"] > 0 and result["objects"] > 0
    assert 50 < result["peak_mib"] < 600


def test_one_command_compares_and_writes(toy, tmp_path, monkeypatch, capsys, registered):
    """By a model of torch that says what the exported one says, but for one object."""
    folder, _ = toy
    registered("toys", *write_coco(tmp_path, "toys", [square_and_disc()] * 2))
    exported = exported_model.load(folder)

    class Model:
        grouping = torch.nn.Identity()

        def __call__(self, inputs):
            found = exported(inputs[0]["file_name"])
            masks = torch.zeros(len(found), *found.image_size, dtype=torch.bool)
            for pixels, mask in zip(masks, found.masks, strict=True):
                pixels[mask.window] = torch.from_numpy(mask.pixels)
            masks[-1, :, : found.masks[-1].window[1].start + 4] = False
            instances = Instances(found.image_size, pred_masks=masks)
            instances.scores = torch.from_numpy(found.scores)
            instances.pred_classes = torch.from_numpy(found.classes)
            return [{"instances": instances}]

    cfg = load_config("configs/Shapes/dml_slim_unet.yaml", ["MODEL.DEVICE", "cpu"], needs=NO_DATA)
    monkeypatch.setattr(exported_model, "load_trained", lambda *a, **k: (Model(), cfg))
    start = {"first_s": 1.5, "second_s": 0.2, "processor_s": 1.0, "peak_mib": 200, "objects": 2}
    monkeypatch.setattr(exported_model, "first_result", lambda *a, **k: start)
    words = ["python", "-m", "benchmarks.exported_model", "--config-file", "c", "--weights", "w"]
    words += ["--model", folder, "--dataset", "toys", "--output", str(tmp_path / "out.json")]
    exported_model.main(parsed(words)[1])
    written = json.loads((tmp_path / "out.json").read_text())
    objects = written["objects"]
    assert (objects["images"], objects["images_with_the_same_labels"]) == (2, 0)
    assert objects["objects_torch"] == objects["objects_exported"] == 2 * len(exported(toy[1]))
    assert 0 < objects["least_iou"] < 0.99 and objects["objects_under_0_99"] == 4
    assert objects["largest_difference_of_a_score"] == 0
    assert written["starts"]["torch"] == [start] * 5
    assert "| exported_without_machine_code |" in capsys.readouterr().out

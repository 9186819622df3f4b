import json

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import launch
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm

from dml_instance.engine import leave_processes
from dml_instance.evaluation import VOCInstanceEvaluator, score_predictions
from dml_instance.evaluation.voc_instance import PREDICTIONS_FILE, RESULTS_FILE
from dml_instance.report import class_table
from forked import forked_processes
from toy_scenes import rle, square_and_disc

IMAGE, MASKS, _ = square_and_disc()
HEIGHT, WIDTH = IMAGE.shape[:2]
NAMES = ["square", "disc", "ring"]


def record(image_id, annotations, **more):
    return {
        "image_id": image_id,
        "height": HEIGHT,
        "width": WIDTH,
        "annotations": annotations,
        **more,
    }


def annotation(mask, category_id, **more):
    return {"segmentation": rle(mask), "category_id": category_id, **more}


@pytest.fixture
def records():
    content = [
        record("a", [annotation(MASKS[0], 0), annotation(MASKS[1], 1)]),
        record("b", [annotation(MASKS[1], 1)]),
        record("empty", []),
    ]
    DatasetCatalog.register("toy_voc", lambda: content)
    MetadataCatalog.get("toy_voc").set(thing_classes=NAMES)
    yield content
    DatasetCatalog.remove("toy_voc")
    MetadataCatalog.remove("toy_voc")


def instances(masks, classes, scores):
    result = Instances((HEIGHT, WIDTH))
    result.pred_masks = torch.from_numpy(np.array(masks, dtype=bool).reshape(-1, HEIGHT, WIDTH))
    result.pred_classes = torch.tensor(classes, dtype=torch.int64)
    result.scores = torch.tensor(scores, dtype=torch.float32)
    result.pred_boxes = Boxes(torch.zeros(len(classes), 4))
    return {"instances": result}


def test_predictions_are_scored_saved_and_scored_again(records, tmp_path):
    evaluator = VOCInstanceEvaluator("toy_voc", str(tmp_path))
    evaluator.reset()
    evaluator.process([{"image_id": "a"}], [instances(MASKS, [0, 1], [0.9, 0.8])])
    evaluator.process([{"image_id": "b"}, {"image_id": "empty"}], [instances([], [], [])] * 2)
    result = evaluator.evaluate()["segm_voc"]
    assert result["AP50-square"] == 100
    assert result["AP50-disc"] == 50
    assert np.isnan(result["AP50-ring"])
    assert all(result[name] == 75 for name in ("AP50", "AP60", "AP70", "AP80", "AP90", "APvol"))
    saved = json.loads((tmp_path / PREDICTIONS_FILE).read_text())
    assert score_predictions(records, saved, NAMES) == pytest.approx(result, nan_ok=True)
    assert json.loads((tmp_path / RESULTS_FILE).read_text())["AP50"] == 75
    assert [line.split() for line in class_table(result).splitlines()[2:]] == [
        ["|", name, *["|", value] * 6, "|"]
        for name, value in (("square", "100.0"), ("disc", "50.0"), ("ring", "-"), ("mean", "75.0"))
    ]
    evaluator.reset()
    assert evaluator.evaluate()["segm_voc"]["AP50"] == 0


def test_the_mean_over_thresholds_is_that_of_all_nine(records):
    smaller = cv2.erode(MASKS[1].astype(np.uint8), np.ones((3, 3), np.uint8), iterations=3)
    iou = smaller.sum() / MASKS[1].sum()
    predictions = [
        {"image_id": name, "category_id": 1, "segmentation": rle(smaller), "score": 0.5}
        for name in ("a", "b")
    ]
    result = score_predictions(records, predictions, NAMES)
    reached = [100.0 if iou >= threshold / 10 else 0.0 for threshold in range(1, 10)]
    assert 0.5 < iou < 0.9
    assert result["APvol"] == pytest.approx((np.mean(reached) + 0) / 2)  # the square is missed
    assert [result[f"AP{t}-disc"] for t in (50, 60, 70, 80, 90)] == reached[4:]
    assert result["APvol-disc"] == pytest.approx(np.mean(reached))
    assert [result[f"AP{t}"] for t in (50, 60, 70, 80, 90)] == [value / 2 for value in reached[4:]]


def test_crowds_and_void_are_no_objects_and_cost_nothing(records):
    leaking = MASKS[0] | MASKS[1]
    prediction = {"image_id": "c", "category_id": 0, "segmentation": rle(leaking), "score": 0.9}
    for left_out in (
        {"annotations": [annotation(MASKS[0], 0), annotation(MASKS[1], 1, iscrowd=1)]},
        {"annotations": [annotation(MASKS[0], 0)], "void": rle(MASKS[1])},
    ):
        result = score_predictions([record("c", **left_out)], [prediction], NAMES)
        assert result["AP90"] == 100
        assert np.isnan(result["AP50-disc"])
    judged = score_predictions([record("c", [annotation(MASKS[0], 0)])], [prediction], NAMES)
    assert judged["AP90"] == 0


def test_polygons_are_masks_too():
    polygon = {"segmentation": [[8.0, 10, 31, 10, 31, 35, 8, 35]], "category_id": 0}
    prediction = {"image_id": "c", "category_id": 0, "segmentation": rle(MASKS[0]), "score": 0.9}
    assert score_predictions([record("c", [polygon])], [prediction], NAMES)["AP90"] == 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": "nowhere"}, "'nowhere', which the data set does not have"),
        (
            {"segmentation": rle(np.zeros((3, 4)))},
            r"'a' is \[64, 96\], but a mask predicted for it \[3, 4\]",
        ),
        ({"segmentation": None}, "'a' has a prediction without a mask"),
        ({"category_id": 3}, "class 3, but classes are 0 to 2"),
        ({"category_id": -1}, "class -1, but"),
        ({"score": float("nan")}, "'a' has a prediction of score nan"),
    ],
)
def test_predictions_of_something_else_are_refused(records, change, message):
    prediction = {
        "image_id": "a",
        "category_id": 0,
        "segmentation": rle(MASKS[0]),
        "score": 0.9,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        score_predictions(records, [prediction], NAMES)


def test_objects_without_masks_cannot_be_scored():
    with pytest.raises(ValueError, match="'c' has an object without a mask"):
        score_predictions([record("c", [{"bbox": [0, 0, 1, 1], "category_id": 0}])], [], NAMES)


def _records():
    return [record(index, [annotation(MASKS[index % 2], index % 2)]) for index in range(5)]


def _evaluate_my_share(folder):
    """One of two processes, each with every other image; the first writes what both found."""
    DatasetCatalog.register("toy_shared", _records)
    MetadataCatalog.get("toy_shared").set(thing_classes=NAMES)
    evaluator = VOCInstanceEvaluator("toy_shared", str(folder))
    evaluator.reset()
    for index in range(comm.get_rank(), 5, comm.get_world_size()):
        found = [] if index == 4 else [MASKS[index % 2]]
        evaluator.process(
            [{"image_id": index}], [instances(found, [index % 2] * len(found), [0.9] * len(found))]
        )
    result = evaluator.evaluate()
    assert bool(result) == comm.is_main_process()
    leave_processes()


def test_the_predictions_of_all_processes_are_gathered(tmp_path):
    with forked_processes():
        launch(_evaluate_my_share, 2, dist_url="auto", args=(tmp_path,))
    result = json.loads((tmp_path / RESULTS_FILE).read_text())
    assert result["AP50-square"] == pytest.approx(100 * 2 / 3)
    assert result["AP50-disc"] == 100
    assert len(json.loads((tmp_path / PREDICTIONS_FILE).read_text())) == 4


def test_masks_of_another_size_than_their_image_are_refused():
    for change, what in (
        ({"annotations": [annotation(np.ones((3, 4)), 0)]}, "an object in it"),
        ({"annotations": [], "void": rle(np.ones((3, 4)))}, "its void"),
    ):
        with pytest.raises(ValueError, match=rf"'c' is \[64, 96\], but a mask of {what} \[3, 4\]"):
            score_predictions([record("c", **change)], [], NAMES)


def test_models_need_masks_and_no_boxes(records):
    evaluator = VOCInstanceEvaluator("toy_voc")
    output = instances(MASKS, [0, 1], [0.9, 0.8])
    output["instances"].remove("pred_boxes")
    evaluator.process([{"image_id": "a"}], [output])
    assert evaluator.evaluate()["segm_voc"]["AP50"] == 75
    output["instances"].remove("pred_masks")
    with pytest.raises(ValueError, match="no masks for image 'a'"):
        evaluator.process([{"image_id": "a"}], [output])


def test_predictions_in_any_of_cocos_forms(records):
    polygon = {
        "image_id": "a",
        "category_id": 0,
        "segmentation": [[8.0, 10, 31, 10, 31, 35, 8, 35]],
        "score": 0.9,
    }
    assert score_predictions(records, [polygon], NAMES)["AP50-square"] == 100

"""All metrics together: averages over images and classes by hand, and the evaluator of them."""

import json
import re

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import launch
from detectron2.structures import Instances
from detectron2.utils import comm
from hypothesis import given, settings
from hypothesis import strategies as st

from dml_instance.engine import leave_processes
from dml_instance.evaluation import (
    InstanceMetricRules,
    InstanceMetricsEvaluator,
    score_instances,
    score_predictions,
)
from forked import forked_processes
from toy_masks import SHAPE, Scene, block, random_scene

NAMES = ["leaf", "stem", "root"]
LEFT, RIGHT, BELOW = block(0, 0, 4, 4), block(0, 4, 4, 8), block(4, 0, 7, 8)
# Of 16 pixels of LEFT; IoU 0.75.
PART = block(0, 0, 4, 3)
SCENES = {
    # A leaf of IoU 0.75, a stem and one that is none.
    3: Scene([LEFT, RIGHT], [0, 1], [PART, RIGHT, BELOW], [0, 1, 1], [0.9, 0.8, 0.7]),
    # A leaf that is missed, and found below the least score.
    1: Scene([LEFT], [0], [LEFT], [0], [0.3]),
    # Neither objects nor predictions.
    2: Scene(),
}


def data_of(scenes):
    records = [scene.record(image_id) for image_id, scene in scenes.items()]
    return records, [p for image_id, scene in scenes.items() for p in scene.results(image_id)]


def figures_of(scenes, *rules, names=NAMES):
    return score_instances(*data_of(scenes), names, InstanceMetricRules(*rules))


def test_averages_by_hand():
    got = figures_of(SCENES, 0.5)["segm_instances"]
    # True, false and missed up to IoU 0.75: 2, 1, 1; above: 1, 2, 2.
    assert got["min_score"] == 0.5
    assert got["AP_dsb@50"] == got["AP_dsb@75"] == pytest.approx(100 * 2 / 4)
    assert got["AP_dsb@80"] == got["AP_dsb@90"] == pytest.approx(100 * 1 / 5)
    assert got["AP_dsb"] == pytest.approx(100 * (6 * 2 / 4 + 4 * 1 / 5) / 10)
    assert got["precision@50"] == got["recall@50"] == got["F1@50"] == pytest.approx(100 * 2 / 3)
    assert got["F1"] == got["recall"] == pytest.approx(100 * (6 * 2 / 3 + 4 / 3) / 10)
    # Of the images 2 / 3 and 0; nothing is said of the empty one.
    assert got["AP_dsb_image@50"] == pytest.approx(100 * (2 / 3 + 0) / 2)
    assert got["AP_dsb_image"] == pytest.approx(100 * ((6 * 2 / 3 + 4 * 1 / 4) / 10 + 0) / 2)
    # Of the classes: leaf 0.75 / 1.5, stem 1 / 1.5; there is no root.
    assert got["PQ-leaf"] == pytest.approx(50)
    assert got["PQ"] == pytest.approx(100 * (0.75 / 1.5 + 1 / 1.5) / 2)
    assert got["SQ"] == pytest.approx(100 * (0.75 + 1) / 2)
    assert got["RQ"] == pytest.approx(100 * 1 / 1.5)
    assert got["F1@50-leaf"] == got["F1@50-stem"] == pytest.approx(100 * 2 / 3)
    assert got["AP_dsb-stem"] == pytest.approx(50)
    assert np.isnan(got["PQ-root"]) and np.isnan(got["AP_dsb-root"])
    # Of predictions the best Dice is 6 / 7, 1 and 0, of objects 6 / 7 and 1; and 0 of a missed one.
    assert got["SBD"] == pytest.approx(100 * ((6 / 7 + 1) / 3 + 0) / 2)
    assert (got["DiC"], got["absDiC"]) == (0, pytest.approx(2 / 3))
    # The outline of the part is within 2 pixels, and so is all of the leaf's.
    assert got["BF"] == got["BF_precision"] == got["BF_recall"] == pytest.approx(100 * 2 / 3)


def test_the_least_score_is_that_of_the_highest_f1_or_the_given_one():
    best = figures_of(SCENES)["segm_instances"]
    assert best["min_score"] == 0.05 and best["F1@50"] == pytest.approx(100 * 6 / 7)
    assert figures_of(SCENES, 0.3)["segm_instances"]["absDiC"] == pytest.approx(1 / 3)
    assert figures_of(SCENES, 0.85)["segm_instances"]["precision@50"] == 100


def test_a_mask_that_is_predicted_for_several_classes_is_an_object_once():
    """Its likeliest class counts, wherever it stands; boundary AP ranks all of them."""
    masks, classes = [PART, RIGHT, PART, RIGHT, BELOW, BELOW], [0, 1, 1, 2, 1, 1]
    scores = [0.9, 0.8, 0.85, 0.81, 0.7, 0.65]
    guesses = {1: Scene([LEFT, RIGHT], [0, 1], masks, classes, scores)}
    objects = {1: Scene([LEFT, RIGHT], [0, 1], [PART, RIGHT, BELOW, BELOW], [0, 2, 1, 1],
                        [0.9, 0.81, 0.7, 0.65])}  # fmt: skip
    for rules in ((0.5,), ()):
        got, expected = figures_of(guesses, *rules), figures_of(objects, *rules)
        np.testing.assert_equal(got["segm_instances"], expected["segm_instances"])
    assert got["segm_boundary"]["AP-stem"] > expected["segm_boundary"]["AP-stem"] == 0


def test_a_tolerance_in_pixels():
    scenes = {1: Scene([block(0, 0, 1, 8)], [0], [block(3, 0, 4, 8)], [0], [0.9])}
    for tolerance, expected in ((2, 0), (3, 100)):
        assert figures_of(scenes, 0.5, tolerance)["segm_instances"]["BF"] == expected


def test_boundary_ap_ranks_all_predictions():
    """Also those below the least score; of each class where there are several."""
    got = figures_of(SCENES, 0.95)["segm_boundary"]
    assert got["AP-stem"] == pytest.approx(100)
    assert got["AP50"] == pytest.approx(100)
    one = {3: Scene([LEFT], [0], [LEFT], [0], [0.1])}
    assert set(figures_of(one, 0.5, names=["leaf"])["segm_boundary"]) == {
        *("AP", "AP50", "AP75", "APs", "APm", "APl")
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1_000_000))
def test_the_order_of_images_does_not_count(seed):
    rng = np.random.default_rng(seed)
    scenes = {f"image {i}": random_scene(rng, 3) for i in range(5)}
    shuffled = {name: scenes[name] for name in rng.permutation(list(scenes)).tolist()}
    first, second = (json.dumps(figures_of(s)) for s in (scenes, shuffled))
    assert first == second


def test_hundreds_of_objects_of_a_pixel():
    """pycocotools counts the pixels of 255 masks at once."""
    masks = np.eye(17 * 18, dtype=bool).reshape(-1, 17, 18)
    scene = Scene(list(masks), [0] * len(masks), list(masks), [0] * len(masks), [0.9] * len(masks))
    records = [{**scene.record(1), "height": 17, "width": 18}]
    got = score_instances(records, scene.results(1), ["dot"], max_detections=400)
    perfect = ("AP_dsb", "AP_dsb_image", "F1", "PQ", "SQ", "RQ", "SBD", "BF")
    assert all(got["segm_instances"][name] == 100 for name in perfect)
    assert got["segm_instances"]["absDiC"] == 0
    assert got["segm_boundary"]["AP"] == pytest.approx(100)
    assert score_predictions(records, scene.results(1), ["dot"])["APvol"] == 100


@pytest.mark.parametrize("scenes", [{}, {1: Scene()}, {1: Scene(), 2: Scene()}])
def test_nothing_at_all_has_no_figures(scenes):
    got = figures_of(scenes)
    counts = {"DiC", "absDiC"} if scenes else set()
    assert got["segm_instances"].pop("min_score") == 0.05
    for name, value in {**got["segm_instances"], **got["segm_boundary"]}.items():
        assert value == 0 if name in counts else np.isnan(value), name


def test_objects_alone_and_predictions_alone():
    for scene, zeros in (
        (Scene([LEFT], [0]), {"AP_dsb", "F1", "PQ", "SQ", "RQ", "SBD", "BF", "precision@50"}),
        (Scene([], [], [LEFT], [0], [0.9]), {"AP_dsb", "F1", "SBD", "BF", "recall@50"}),
    ):
        got = figures_of({1: scene})["segm_instances"]
        assert {name: got[name] for name in zeros} == dict.fromkeys(zeros, 0)
        assert got["absDiC"] == 1
    assert np.isnan(got["PQ"]), "of no class there are objects"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ((1.5,), "MIN_SCORE is None or in [0, 1], got 1.5"),
        ((-0.1,), "MIN_SCORE is None or in [0, 1], got -0.1"),
        (("0.5",), "MIN_SCORE is None or in [0, 1], got '0.5'"),
        ((float("nan"),), "MIN_SCORE is None or in [0, 1], got nan"),
        ((0.5, -1), "BOUNDARY_TOLERANCE is in pixels, >= 0, got -1"),
    ],
)
def test_values_out_of_range_are_named_by_their_key(rules, message):
    with pytest.raises(ValueError, match=re.escape(f"TEST.INSTANCE_METRICS.{message}")):
        InstanceMetricRules(*rules)


def test_predictions_of_something_else_are_refused():
    records, (first, *_) = data_of(SCENES)
    with pytest.raises(ValueError, match="'nowhere', which the data set does not have"):
        score_instances(records, [{**first, "image_id": "nowhere"}], NAMES)
    with pytest.raises(ValueError, match="has an object without a mask, which cannot be scored"):
        score_instances([{**records[0], "annotations": [{"category_id": 0}]}], [], NAMES)


def outputs_of(scene):
    """What a model without boxes gives."""
    instances = Instances(SHAPE)
    instances.pred_masks = torch.from_numpy(np.array(scene.predictions, bool).reshape(-1, *SHAPE))
    instances.pred_classes = torch.tensor(scene.prediction_classes, dtype=torch.int64)
    instances.scores = torch.tensor(scene.scores, dtype=torch.float64)
    return {"instances": instances}


def evaluate(folder=None, scenes=SCENES, **options):
    """Of scenes, each process its share; the first writes what it says."""
    DatasetCatalog.register("toy_instances", lambda: data_of(scenes)[0])
    MetadataCatalog.get("toy_instances").set(thing_classes=NAMES)
    evaluator = InstanceMetricsEvaluator("toy_instances", InstanceMetricRules(0.5), **options)
    evaluator.reset()
    try:
        for image_id in list(scenes)[comm.get_rank() :: comm.get_world_size()]:
            evaluator.process([{"image_id": image_id}], [outputs_of(scenes[image_id])])
        result = evaluator.evaluate()
    finally:
        DatasetCatalog.remove("toy_instances")
        MetadataCatalog.remove("toy_instances")
    assert bool(result) == comm.is_main_process()
    if folder is not None:
        if result:
            (folder / "result.json").write_text(json.dumps(result))
        leave_processes()
    return result


def test_the_evaluator_says_what_is_scored_of_its_predictions(caplog):
    caplog.set_level("INFO", logger="dml_instance.evaluation.instance_metrics")
    for options in ({}, {"distributed": False}):
        assert json.dumps(evaluate(**options)) == json.dumps(figures_of(SCENES, 0.5))
    assert "toy_instances, predictions of score 0.50 and more\n" in caplog.text
    assert "| stem" in caplog.text and "| all" in caplog.text


def test_so_many_detections_an_image_count_for_boundary_ap():
    scenes = {1: Scene([LEFT, RIGHT], [0, 0], [LEFT, RIGHT], [0, 0], [0.9, 0.8])}
    assert evaluate(scenes=scenes)["segm_boundary"]["AP"] == pytest.approx(100)
    limited = evaluate(scenes=scenes, max_detections=1)
    assert 45 < limited["segm_boundary"]["AP"] < 55
    assert limited["segm_instances"]["F1"] == 100


def test_the_predictions_of_all_processes_are_gathered(tmp_path):
    with forked_processes():
        launch(evaluate, 2, dist_url="auto", args=(tmp_path,))
    written = (tmp_path / "result.json").read_text()
    assert written == json.dumps(figures_of(SCENES, 0.5))

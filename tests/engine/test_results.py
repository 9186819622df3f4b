from types import SimpleNamespace

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from torch import nn

from dml_instance.engine import (
    RESULTS_FILE,
    TRAINING_FILE,
    InferenceTimer,
    TrainingClock,
    build_evaluator,
    check_evaluator,
    results_table,
)
from dml_instance.engine.results import write_results
from dml_instance.files import read_json
from toy_scenes import data_config


def test_a_table_shows_masks_first_and_a_dash_for_what_was_not_measured():
    results = {
        "metrics": {"toy": {"bbox": {"AP": 1.0}, "segm": {"AP": 23.456, "AP50": None}}},
        "ms_per_image": 12.5,
        "training": None,
    }
    header, _, masks, boxes = results_table(results).splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        *("data set", "of", "AP", "AP50", "training min", "ms/image")
    ]
    assert [cell.strip() for cell in masks.strip("|").split("|")] == [
        *("toy", "masks", "23.5", "-", "-", "12.5")
    ]
    assert "boxes" in boxes


def test_metrics_that_want_a_least_score_have_a_table_of_their_own():
    figures = dict.fromkeys(("AP_dsb", "AP_dsb@50", "F1", "F1@50", "precision@50"), 12.345)
    figures |= dict.fromkeys(("recall@50", "PQ", "SQ", "RQ", "SBD", "BF"), None)
    results = {
        "metrics": {
            "toy": {
                "segm_instances": {"min_score": 0.45, **figures, "absDiC": 1.5, "PQ-cell": 3.0},
                "segm": {"AP": 1.0},
                "segm_boundary": {"AP": 2.0, "AP-cell": 2.0},
            }
        }
    }
    first, second = results_table(results).split("\n\n")
    assert [line.split("|")[2].strip() for line in first.splitlines()[2:]] == [
        *("masks", "masks, boundaries")
    ]
    header, _, row = second.splitlines()
    names, values = ([c.strip() for c in line.strip("|").split("|")] for line in (header, row))
    cells = dict(zip(names, values, strict=True))
    assert (cells.pop("data set"), cells.pop("least score")) == ("toy", "0.45")
    assert cells.pop("absDiC") == "1.5"
    assert set(cells) == set(figures)
    assert all(cells[name] == ("-" if value is None else "12.3") for name, value in figures.items())


def test_a_clock_goes_on_where_a_resumed_run_stopped(tmp_path, monkeypatch):
    times = iter([10.0, 12.5, 20.0, 20.5])
    monkeypatch.setattr("dml_instance.engine.hooks.time.perf_counter", lambda: next(times))
    cfg = data_config("SOLVER.IMS_PER_BATCH", 4, "SEED", 7, "OUTPUT_DIR", str(tmp_path))
    first, second = TrainingClock(cfg), TrainingClock(cfg)
    first.before_step()
    first.after_step()
    second.load_state_dict(first.state_dict())
    second.before_step()
    second.after_step()
    second.trainer = SimpleNamespace(iter=2, model=nn.Linear(3, 1))
    second.after_train()
    training = read_json(str(tmp_path / TRAINING_FILE))
    assert training["minutes"] == 0.05
    assert training["images_per_second"] == round(2 * 4 / 3, 2)
    assert (training["iterations"], training["seed"], training["parameters"]) == (2, 7, 4)
    write_results(str(tmp_path), {"toy": {}}, float("nan"))
    results = read_json(str(tmp_path / RESULTS_FILE))
    assert results["training"] == training
    assert results["ms_per_image"] is None


@pytest.mark.parametrize(("calls", "expected"), [(0, None), (2, 1000), (5, 3500)])
def test_the_first_three_calls_count_where_there_are_no_others(calls, expected, monkeypatch):
    """Of two images each; with no more than three calls, all of them count."""
    times = iter([float(t) for i in range(5) for t in (0, [1, 3, 100, 6, 8][i])])
    monkeypatch.setattr("dml_instance.engine.hooks.time.perf_counter", lambda: next(times))
    model = nn.Identity()
    with InferenceTimer(model) as timer:
        for _ in range(calls):
            model(torch.zeros(2))
    model(torch.zeros(2))
    assert timer.ms_per_image == pytest.approx(expected or float("nan"), nan_ok=True)


def test_an_unknown_kind_of_evaluation_is_named_with_the_data_set():
    MetadataCatalog.get("odd_set").set(evaluator_type="odd")
    with pytest.raises(ValueError, match="odd_set has evaluator_type 'odd'; known are 'coco'"):
        build_evaluator(data_config(), "odd_set")
    MetadataCatalog.remove("odd_set")


@pytest.fixture
def boxes_alone():
    record = {"image_id": 7, "annotations": [{"bbox": [0, 0, 1, 1], "category_id": 0}]}
    DatasetCatalog.register("boxes_alone", lambda: [record])
    yield "boxes_alone"
    DatasetCatalog.remove("boxes_alone")
    MetadataCatalog.pop("boxes_alone", None)


def test_instance_metrics_of_what_has_no_masks_or_a_wrong_key_are_refused(boxes_alone):
    check_evaluator(data_config(), boxes_alone)
    enabled = ("TEST.INSTANCE_METRICS.ENABLED", True)
    with pytest.raises(ValueError, match="ENABLED, boxes_alone: image 7 has an object without a"):
        check_evaluator(data_config(*enabled), boxes_alone)
    with pytest.raises(ValueError, match="TEST.INSTANCE_METRICS.MIN_SCORE is None or in"):
        check_evaluator(data_config(*enabled, "TEST.INSTANCE_METRICS.MIN_SCORE", 50), boxes_alone)

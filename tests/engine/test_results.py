from types import SimpleNamespace

import pytest
import torch
from detectron2.data import MetadataCatalog
from torch import nn

from dml_instance.engine import (
    RESULTS_FILE,
    TRAINING_FILE,
    InferenceTimer,
    TrainingClock,
    build_evaluator,
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

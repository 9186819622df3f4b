"""The least score that a training leaves behind, and which one a tool works with."""

import errno
import json
import logging

import numpy as np
import pytest
import torch
import yaml
from detectron2.data import MetadataCatalog

from dml_instance.engine import least_score, min_score_of, predictions_file
from dml_instance.engine.least_score import choose_min_score
from dml_instance.stored_config import config_of, with_config
from toy_scenes import data_config, rle, square_and_disc, write_coco


@pytest.fixture
def run_with(tmp_path, registered):
    """Leaves predictions (mask, class, score) on one image; returns the config of the run."""
    scene = square_and_disc()
    registered("least_score_set", *write_coco(tmp_path, "toy", [scene], first_category=3))

    def run_with(predictions, **stored):
        cfg = data_config("OUTPUT_DIR", str(tmp_path), "DATASETS.TEST", ("least_score_set",))
        entries = [
            {"image_id": 1, "category_id": 3 + index, "segmentation": rle(mask), "score": score}
            for mask, index, score in predictions
        ]
        path = predictions_file(str(tmp_path), "least_score_set")
        (tmp_path / "inference" / "least_score_set").mkdir(parents=True)
        with open(path, "w") as file:
            json.dump(entries, file)
        (tmp_path / "config.yaml").write_text(cfg.dump())
        return cfg

    return run_with


def stored_in(cfg):
    with open(f"{cfg.OUTPUT_DIR}/config.yaml") as file:
        return yaml.safe_load(file)["TEST"]["MIN_SCORE"]


MASKS = square_and_disc()[1]


def test_the_score_of_the_best_f1_is_stored_and_nothing_else_changes(run_with, caplog):
    """Right ones of 0.9 and 0.62, a wrong one of 0.43: 0.45 parts them. That the first may be of
    another class as well is no object."""
    wrong, guess = (MASKS[0] | MASKS[1], 1, 0.43), (MASKS[0], 1, 0.7)
    cfg = run_with([(MASKS[0], 0, 0.9), guess, (MASKS[1], 1, 0.62), wrong])
    checkpoint = f"{cfg.OUTPUT_DIR}/model_final.pth"
    torch.save(with_config({"model": {}}, cfg), checkpoint)
    with caplog.at_level(logging.INFO):
        choose_min_score(cfg)
    assert stored_in(cfg) == config_of(checkpoint).TEST.MIN_SCORE == 0.45
    assert "objects of score 0.45 and more give the best F1 at IoU 0.5 on least_score_set" in (
        caplog.text
    )
    again = data_config()
    again.merge_from_file(f"{cfg.OUTPUT_DIR}/config.yaml")
    assert again.TEST.MIN_SCORE == 0.45
    before, after = (yaml.safe_load(c.dump()) for c in (cfg, again))
    before["TEST"]["MIN_SCORE"] = 0.45
    assert after == before


@pytest.mark.parametrize(
    ("predictions", "why"),
    [
        ([], "no object of least_score_set was found"),
        ([(np.roll(MASKS[0], 20, axis=1), 0, 0.9)], "no object of least_score_set was found"),
        ([(MASKS[0], 0, float("nan"))], "cannot be ranked"),
    ],
)
def test_a_run_that_found_nothing_stores_nothing_and_says_why(run_with, caplog, predictions, why):
    cfg = run_with(predictions)
    with caplog.at_level(logging.WARNING):
        choose_min_score(cfg)
    assert stored_in(cfg) is None
    assert "TEST.MIN_SCORE was not chosen: " in caplog.text and why in caplog.text


def test_a_run_without_predictions_or_config_is_left_alone(run_with, tmp_path, caplog):
    cfg = run_with([(MASKS[0], 0, 0.9)])
    cfg.DATASETS.TEST = ("least_score_set", "another")
    choose_min_score(cfg)
    assert stored_in(cfg) is None and "another" in caplog.text
    caplog.clear()
    cfg.DATASETS.TEST = ()
    choose_min_score(cfg)
    assert stored_in(cfg) is None and "DATASETS.TEST names no data set" in caplog.text
    cfg.DATASETS.TEST = ("least_score_set",)
    (tmp_path / "config.yaml").unlink()
    choose_min_score(cfg)
    assert f"not chosen: there is no {tmp_path / 'config.yaml'}" in caplog.text
    assert not (tmp_path / "config.yaml").exists()


def test_a_disk_without_room_does_not_end_the_training(run_with, monkeypatch, caplog):
    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(least_score, "write_text", full)
    choose_min_score(run_with([(MASKS[0], 0, 0.9)]))
    assert "TEST.MIN_SCORE was not chosen: " in caplog.text and "No space left" in caplog.text


def test_a_data_set_without_names_of_classes_does_not_end_the_training(run_with, caplog):
    cfg = run_with([(MASKS[0], 0, 0.9)])
    del MetadataCatalog.get("least_score_set").thing_classes
    choose_min_score(cfg)
    assert "TEST.MIN_SCORE was not chosen: " in caplog.text and "thing_classes" in caplog.text


@pytest.mark.parametrize(
    ("given", "chosen", "expected", "whose"),
    [
        (0.0, 0.45, 0.0, "as given"),
        (None, 0.45, 0.45, "the best on the evaluation images"),
        (None, None, 0.5, "no training has chosen one"),
    ],
)
def test_the_user_comes_first_then_the_training(given, chosen, expected, whose, caplog):
    with caplog.at_level(logging.INFO):
        assert min_score_of(data_config("TEST.MIN_SCORE", chosen), given) == expected
    assert f"least score of an object: {expected} ({whose}" in caplog.text


@pytest.mark.parametrize("given", [-0.1, 50.0, float("nan")])
def test_a_score_out_of_range_is_refused(given):
    with pytest.raises(ValueError, match=r"--min-score, and TEST.MIN_SCORE, is in \[0, 1\]"):
        min_score_of(data_config(), given)

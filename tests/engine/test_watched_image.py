"""An image that is drawn while a model learns: which, when, and at no cost to the training."""

import itertools
import logging
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from torch import nn

from dml_instance.data import register_coco
from dml_instance.engine import watched_image
from dml_instance.engine.inference import at_inference
from dml_instance.engine.watched_image import WatchedImage, watched_record
from toy_models import config, model_of
from toy_scenes import data_config, square_and_disc, write_coco


def record(name, side, objects):
    return {"file_name": name, "height": side, "width": side, "annotations": [{}] * objects}


def test_the_watched_image_is_small_and_has_the_median_number_of_objects():
    records = [record(f"small {n}", 10 + n, n) for n in (7, 0, 5, 9)]
    records += [record(f"large {n}", 100 + n, n) for n in (5, 6, 7)]
    assert watched_record(records)["file_name"] == "small 7"
    assert watched_record([record("empty", 9, 0)])["file_name"] == "empty"


@pytest.fixture
def hook(tmp_path, monkeypatch):
    """A hook whose pictures take so many seconds of a clock; the iterations that were drawn."""
    clock, drawn = SimpleNamespace(now=0.0, picture=0.0), []
    monkeypatch.setattr(watched_image.time, "monotonic", lambda: clock.now)

    def draw(self, done):
        drawn.append(done)
        clock.now += clock.picture

    monkeypatch.setattr(WatchedImage, "_draw", draw)
    cfg = data_config("OUTPUT_DIR", str(tmp_path), "SOLVER.CHECKPOINT_PERIOD", 10)
    hook = WatchedImage(cfg, for_tensorboard=False)

    def train(iterations, picture, max_iter):
        clock.picture = picture
        for iteration in range(iterations):
            clock.now += 1.0
            hook.trainer = SimpleNamespace(iter=iteration, max_iter=max_iter)
            hook.after_step()
        return drawn

    return train


def test_pictures_come_every_period_and_at_the_end(hook):
    assert hook(34, 0.1, 34) == [10, 20, 30, 34]


def test_slow_pictures_take_a_twentieth_of_the_time_at_most(hook):
    drawn = hook(999, 2.5, 1001)
    assert drawn[0] == 10 and min(b - a for a, b in itertools.pairwise(drawn)) >= 50
    assert 2.5 * (len(drawn) - 1) <= 999 / 20


def test_a_picture_that_fails_is_a_warning_and_the_training_goes_on(hook, monkeypatch, caplog):
    def fail(self, done):
        raise RuntimeError(f"no memory at {done}")

    monkeypatch.setattr(WatchedImage, "_draw", fail)
    monkeypatch.setattr(logging.getLogger("dml_instance"), "propagate", True)
    hook(30, 0.0, 30)
    assert [r.getMessage() for r in caplog.records] == [
        "no pictures of the training any more: no memory at 10"
    ]


def draw_numbers(act):
    """Random numbers after a seed and an action."""
    seed_all_rng(5)
    act()
    return random.random(), np.random.random(), torch.rand(1).item()


def test_a_picture_lies_in_its_folder_and_waits_for_tensorboard(tmp_path):
    path, images = write_coco(tmp_path, "watched_toy", [square_and_disc()])
    register_coco("watched_toy", str(path), str(images))
    cfg = config("OUTPUT_DIR", str(tmp_path), "DATASETS.TEST", ("watched_toy",))
    model = model_of().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        hook = WatchedImage(cfg, for_tensorboard=True)
        with EventStorage() as storage:
            hook.trainer = SimpleNamespace(iter=6, max_iter=7, model=model, storage=storage)
            numbers = draw_numbers(hook.after_step)
            ((name, picture, _),) = storage._vis_data
    finally:
        DatasetCatalog.remove("watched_toy")
        MetadataCatalog.remove("watched_toy")
    assert numbers == draw_numbers(lambda: None), "a training that is watched is the same training"
    assert name == "watched" and picture.dtype == np.uint8 and picture.shape[0] == 3
    assert [p.name for p in (tmp_path / "watched").iterdir()] == ["iteration_0000007.jpg"]
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_pictures_of_an_earlier_training_are_taken_away(tmp_path):
    """Those of the part that is resumed stay."""
    folder = tmp_path / "watched"
    folder.mkdir()
    for done in (10, 20, 30):
        (folder / f"iteration_{done:07d}.jpg").touch()
    (folder / "mine.jpg").touch()
    hook = WatchedImage(data_config("OUTPUT_DIR", str(tmp_path)), for_tensorboard=False)
    for start, left in ((20, [10, 20]), (0, [])):
        hook.trainer = SimpleNamespace(start_iter=start)
        hook.before_train()
        names = [f"iteration_{done:07d}.jpg" for done in left] + ["mine.jpg"]
        assert sorted(path.name for path in folder.iterdir()) == names


def test_a_model_of_another_architecture_trains_on_after_an_error():
    model = nn.Sequential(nn.BatchNorm1d(2)).train()

    def fail():
        with at_inference(config(), SimpleNamespace(module=model)) as used:
            assert used is model and not used.training
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        fail()
    assert model.training


def test_a_model_of_ours_is_copied():
    model = model_of().train()
    with at_inference(config(), model) as copied:
        assert copied is not model and not copied.training
        copied.grouping.limits.add("KEY", "an image", "something")
    assert model.training and model.grouping.limits.remarks == []

"""Shipped models: what is in the package loads by name, and a spoilt or unknown one is refused."""

import json

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from detectron2.utils.file_io import PathManager

from dml_instance import model_zoo
from dml_instance.engine import NO_DATA, load_config
from dml_instance.stored_config import config_of, with_config
from toy_models import config


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "model_final.pth"
    state = {"weight": torch.randn(20, 5), "count": torch.tensor(70000)}
    save(path, state)
    return path, state


def save(path, state):
    """As a training does."""
    cfg = config("OUTPUT_DIR", "/home/me", "MODEL.WEIGHTS", "/home/me/a", "TEST.MIN_SCORE", 0.4)
    torch.save(with_config({"model": state, "optimizer": {"state": torch.randn(1000)}}, cfg), path)


def test_a_model_is_shipped_in_half_precision_with_its_facts(tmp_path, checkpoint):
    path, state = checkpoint
    folder = tmp_path / "zoo"
    folder.mkdir()
    model_zoo.ship(str(path), "other", {"seed": 2}, folder)
    entry = model_zoo.ship(str(path), "toy", {"seed": 1}, folder)
    assert model_zoo.shipped_models(folder)["toy"] == entry
    assert set(model_zoo.shipped_models(folder)) == {"other", "toy"}
    assert entry["seed"] == 1
    loaded = torch.load(model_zoo.checkpoint_path("toy", folder), weights_only=True)["model"]
    assert loaded["weight"].dtype == torch.float16
    torch.testing.assert_close(loaded["weight"].float(), state["weight"], atol=1e-3, rtol=1e-3)
    assert loaded["count"] == 70000
    assert sorted(file.name for file in folder.iterdir()) == ["models.json", "other.pth", "toy.pth"]


def test_the_config_is_shipped_with_the_weights_and_says_nothing_of_who_trained(
    tmp_path, checkpoint
):
    model_zoo.ship(str(checkpoint[0]), "toy", {}, tmp_path)
    cfg = config_of(model_zoo.checkpoint_path("toy", tmp_path))
    assert cfg.TEST.MIN_SCORE == 0.4
    assert (cfg.OUTPUT_DIR, cfg.MODEL.WEIGHTS) == ("output/toy", "dml://toy")
    torch.save({"model": checkpoint[1]}, tmp_path / "bare.pth")
    with pytest.raises(ValueError, match="bare.pth holds no config"):
        model_zoo.ship(str(tmp_path / "bare.pth"), "bare", {}, tmp_path)


def test_a_changed_file_and_an_unknown_name_are_refused(tmp_path, checkpoint):
    model_zoo.ship(str(checkpoint[0]), "toy", {}, tmp_path)
    with pytest.raises(FileNotFoundError, match="'tyo'.*toy"):
        model_zoo.checkpoint_path("tyo", tmp_path)
    with open(tmp_path / "toy.pth", "ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match="toy.pth"):
        model_zoo.checkpoint_path("toy", tmp_path)


def test_what_float16_cannot_hold_and_what_is_too_large_stays_out(
    tmp_path, checkpoint, monkeypatch
):
    path, state = checkpoint
    monkeypatch.setattr(model_zoo, "LARGEST_MEGABYTES", 1e-4)
    with pytest.raises(ValueError, match="MB"):
        model_zoo.ship(str(path), "toy", {}, tmp_path)
    save(path, {"weight": state["weight"] * 1e6})
    with pytest.raises(ValueError, match="weight.*float16"):
        model_zoo.ship(str(path), "toy", {}, tmp_path)
    assert model_zoo.shipped_models(tmp_path) == {}


@pytest.mark.parametrize("name", sorted(model_zoo.shipped_models()))
def test_every_shipped_model_fits_its_config(name):
    entry = model_zoo.shipped_models()[name]
    cfg = load_config(entry["config"], ["MODEL.DEVICE", "cpu"])
    stored = load_config(config_of(f"dml://{name}"), needs=NO_DATA)
    assert 0 < stored.TEST.MIN_SCORE < 1
    assert stored.DATASETS == cfg.DATASETS and stored.INPUT == cfg.INPUT
    assert stored.MODEL.DML == cfg.MODEL.DML
    model = build_model(cfg)
    left = DetectionCheckpointer(model).load(f"dml://{name}")
    assert not left.get("missing_keys")
    state = torch.load(PathManager.get_local_path(f"dml://{name}"), weights_only=True)["model"]
    assert set(state) == set(model.state_dict())
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, state[key].to(value.dtype))
    assert json.dumps(entry["metrics"])

"""Which weights a run begins with."""

import os
import pickle

import pytest
import torch
from torch import nn

from dml_instance.engine import load_weights, starting_weights, weights_of
from toy_scenes import data_config


@pytest.fixture
def run(tmp_path):
    """A config whose OUTPUT_DIR has a latest checkpoint, and its config file elsewhere."""
    for folder in ("out", "moved"):
        (tmp_path / folder).mkdir()
    for name in ("out/latest.pth", "given.pth"):
        torch.save({"model": {}}, tmp_path / name)
    (tmp_path / "out" / "last_checkpoint").write_text("latest.pth")
    return data_config("OUTPUT_DIR", str(tmp_path / "out")), tmp_path


def begun_with(cfg, root, *, resume=False, scores_only=False):
    config_file = str(root / "moved" / "config.yaml")
    weights = starting_weights(cfg, config_file, resume=resume, scores_only=scores_only)
    return weights and weights.removeprefix(f"{root}/")


@pytest.mark.parametrize("scores_only", [False, True])
def test_the_latest_checkpoint_comes_before_given_weights_only_where_a_run_is_resumed(
    run, scores_only
):
    cfg, root = run
    cfg.MODEL.WEIGHTS = str(root / "given.pth")
    assert begun_with(cfg, root, scores_only=scores_only) == "given.pth"
    assert begun_with(cfg, root, scores_only=scores_only, resume=True) == "out/latest.pth"
    (root / "out" / "last_checkpoint").unlink()
    assert begun_with(cfg, root, scores_only=scores_only, resume=True) == "given.pth"


def test_without_weights_a_training_has_none_and_a_score_those_of_the_run(run):
    cfg, root = run
    assert begun_with(cfg, root) == ""
    with pytest.raises(FileNotFoundError, match=f"no weights at {root / 'out'}/model_final.pth"):
        begun_with(cfg, root, scores_only=True)
    for place in ("moved", "out"):
        torch.save({"model": {}}, root / place / "model_final.pth")
        assert begun_with(cfg, root, scores_only=True) == f"{place}/model_final.pth"
        assert weights_of(cfg, str(root / "moved" / "c.yaml")).startswith(str(root / place))


def test_an_address_is_there_until_it_is_fetched(run):
    cfg, root = run
    cfg.MODEL.WEIGHTS = "https://localhost:1/a.pth"
    assert begun_with(cfg, root) == cfg.MODEL.WEIGHTS
    with pytest.raises(ValueError, match="https://localhost:1/a.pth cannot be loaded"):
        load_weights(nn.Linear(1, 1), cfg.MODEL.WEIGHTS)


class _Code:
    """What makes a folder as it is read from a pickle."""

    def __init__(self, folder):
        self._folder = folder

    def __reduce__(self):
        return os.mkdir, (self._folder,)


def test_a_checkpoint_runs_no_code(tmp_path):
    torch.save({"model": {}, "code": _Code(str(tmp_path / "trace"))}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="a.pth cannot be loaded"):
        load_weights(nn.Linear(1, 1), str(tmp_path / "a.pth"))
    assert not (tmp_path / "trace").exists()


def test_of_a_pickle_it_is_said_that_it_may_run_code(tmp_path, caplog):
    linear = nn.Linear(1, 1)
    state = {name: value.numpy() for name, value in linear.state_dict().items()}
    for name in ("a.pkl", "b.pth"):
        torch.save({"model": linear.state_dict()}, tmp_path / name)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"model": state, "__author__": "nobody"}))
    for name, warned in (("a.pkl", True), ("b.pth", False)):
        caplog.clear()
        load_weights(nn.Linear(1, 1), str(tmp_path / name))
        assert any("is a pickle" in message for message in caplog.messages) == warned

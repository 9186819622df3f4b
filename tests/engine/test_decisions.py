"""What is decided by chance once, and kept with the checkpoints."""

import numpy as np
import pytest
import torch
from torch import nn

from dml_instance.engine import Trainer, precision
from dml_instance.engine.decisions import Decisions, decided
from dml_instance.engine.precision import set_precision
from toy_models import config


def test_what_the_config_says_stays():
    given = config("SEED", 5, "SOLVER.AMP.CPU_BFLOAT16", "off")
    assert decided(given).dump() == given.dump()


def test_a_seed_is_drawn_and_auto_becomes_what_was_measured(monkeypatch):
    for measured, word in ((True, "on"), (False, "off")):
        monkeypatch.setattr(precision, "_is_chosen", lambda choice, it=measured: it)
        given = config("SEED", -1)
        cfg = decided(given)
        assert cfg.SEED >= 0 and word == cfg.SOLVER.AMP.CPU_BFLOAT16
        assert given.SEED == -1 and given.SOLVER.AMP.CPU_BFLOAT16 == "auto"


@pytest.mark.parametrize("seed", [-1, 9])
@pytest.mark.parametrize("choice", ["auto", "off"])
def test_a_checkpoint_decides_what_the_config_leaves_open(seed, choice, monkeypatch):
    monkeypatch.setattr(precision, "_is_chosen", lambda choice: choice == "on")
    given = config("SEED", seed, "SOLVER.AMP.CPU_BFLOAT16", choice)
    cfg = decided(given)
    Decisions(given, cfg).load_state_dict({"SEED": 77, "CPU_BFLOAT16": "on"})
    assert (cfg.SEED == 77) == (seed == -1)
    assert ("on" if choice == "auto" else "off") == cfg.SOLVER.AMP.CPU_BFLOAT16
    assert Decisions(given, cfg).state_dict()["SEED"] == cfg.SEED


def test_the_precision_of_a_model_can_be_set_again():
    model, x = nn.Linear(2, 2), torch.ones(1, 2)
    for choice in ("on", "on", "off", "off", "on"):
        set_precision(config("SOLVER.AMP.CPU_BFLOAT16", choice), model)
        assert model(x).dtype == (torch.bfloat16 if choice == "on" else torch.float32)


def test_a_resumed_training_has_the_seed_and_the_precision_that_it_began_with(
    monkeypatch, tmp_path
):
    """Another process draws and measures something else."""
    monkeypatch.setattr("detectron2.engine.defaults.build_model", lambda cfg: nn.Linear(2, 2))
    monkeypatch.setattr(Trainer, "build_train_loader", classmethod(lambda cls, cfg: [cfg.SEED]))
    monkeypatch.setattr(Trainer, "build_hooks", lambda self: [])
    keys = ("SEED", -1, "OUTPUT_DIR", str(tmp_path))
    np.random.seed(1)
    monkeypatch.setattr(precision, "_all_are_quicker_in_bfloat16", lambda: True)
    first = Trainer(config(*keys))
    first.checkpointer.save("model_0000003")
    monkeypatch.setattr(precision, "_all_are_quicker_in_bfloat16", lambda: False)
    second = Trainer(config(*keys))
    assert second.model(torch.ones(1, 2)).dtype == torch.float32
    assert second.cfg.SEED != first.cfg.SEED and second.data_loader == [second.cfg.SEED]
    second.resume_or_load(resume=True)
    assert second.cfg.SEED == first.cfg.SEED and second.data_loader == [first.cfg.SEED]
    assert second.model(torch.ones(1, 2)).dtype == torch.bfloat16
    third = Trainer(config("SEED", 2, "SOLVER.AMP.CPU_BFLOAT16", "off", *keys[2:]))
    third.resume_or_load(resume=True)
    assert third.data_loader == [2] and third.model(torch.ones(1, 2)).dtype == torch.float32

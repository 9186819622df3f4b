from types import SimpleNamespace

import numpy as np
import pytest

from dml_instance.data import mapper
from dml_instance.data.copy_paste import CopyPaste
from dml_instance.engine import Trainer, trainer
from toy_scenes import data_config


@pytest.fixture
def given(monkeypatch):
    """What Detectron2 is asked to build a loader of, beside the config."""
    kept = {}

    def from_config(cfg, **given):
        # Some of its samplers draw their seed so.
        kept.update(given, drawn=np.random.randint(2**31))
        return {}

    loader = SimpleNamespace(from_config=from_config)
    monkeypatch.setattr(trainer, "build_detection_train_loader", loader)
    monkeypatch.setattr(trainer, "training_stream", lambda seed: seed)
    return kept


@pytest.mark.parametrize(("power", "ours"), [(0.0, False), (0.5, True)])
def test_detectron2_chooses_the_training_images_unless_they_are_drawn_by_area(
    power, ours, monkeypatch, given
):
    """Its own choice knows keypoints and proposals as well, which other meta-architectures need."""
    monkeypatch.setattr(trainer, "training_records", lambda _: [{"height": 9, "width": 9}])
    cfg = data_config(
        *("INPUT.CROP.ENABLED", True, "INPUT.CROP.TYPE", "absolute", "INPUT.CROP.SIZE", [3, 3]),
        *("DATALOADER.REPEAT_BY_AREA", power),
    )
    Trainer.build_train_loader(cfg)
    assert ("dataset" in given) == ("sampler" in given) == ours


def test_objects_are_pasted_from_the_list_that_is_loaded_and_no_other(monkeypatch, given):
    records, loaded = [{"annotations": [{"category_id": 0}]}], []
    monkeypatch.setattr(trainer, "training_records", lambda _: loaded.append(1) or records)
    monkeypatch.setattr(mapper, "training_records", lambda _: pytest.fail("loaded again"))
    Trainer.build_train_loader(data_config("INPUT.AUG.COPY_PASTE", 0.5))
    assert given["dataset"] is records and loaded == [1]
    assert isinstance(given["mapper"], CopyPaste)
    assert "sampler" not in given  # Detectron2's


def test_the_seed_of_the_config_is_that_of_the_images_and_of_their_order(given):
    def order(seed):
        assert Trainer.build_train_loader(data_config("SEED", seed)) == seed
        return given["drawn"]

    first = order(4)
    np.random.seed(0)
    assert order(4) == first != order(5)


def test_a_seed_by_chance_is_drawn(given):
    np.random.seed(0)
    seeds = [Trainer.build_train_loader(data_config("SEED", -1)) for _ in range(2)]
    assert min(seeds) >= 0 and seeds[0] != seeds[1]

import pytest

from dml_instance.data import mapper
from dml_instance.data.copy_paste import CopyPaste
from dml_instance.engine import Trainer, trainer
from toy_scenes import data_config


@pytest.mark.parametrize(("power", "ours"), [(0.0, False), (0.5, True)])
def test_detectron2_chooses_the_training_images_unless_they_are_drawn_by_area(
    power, ours, monkeypatch
):
    """Its own choice knows keypoints and proposals as well, which other meta-architectures need."""
    monkeypatch.setattr(trainer, "training_records", lambda _: [{"height": 9, "width": 9}])
    monkeypatch.setattr(trainer, "build_detection_train_loader", lambda cfg, **given: given)
    cfg = data_config(
        *("INPUT.CROP.ENABLED", True, "INPUT.CROP.TYPE", "absolute", "INPUT.CROP.SIZE", [3, 3]),
        *("DATALOADER.REPEAT_BY_AREA", power),
    )
    given = Trainer.build_train_loader(cfg)
    assert ("dataset" in given) == ("sampler" in given) == ours


def test_objects_are_pasted_from_the_list_that_is_loaded_and_no_other(monkeypatch):
    records, loaded = [{"annotations": [{"category_id": 0}]}], []
    monkeypatch.setattr(trainer, "training_records", lambda _: loaded.append(1) or records)
    monkeypatch.setattr(mapper, "training_records", lambda _: pytest.fail("loaded again"))
    monkeypatch.setattr(trainer, "build_detection_train_loader", lambda cfg, **given: given)
    given = Trainer.build_train_loader(data_config("INPUT.AUG.COPY_PASTE", 0.5))
    assert given["dataset"] is records and loaded == [1]
    assert isinstance(given["mapper"], CopyPaste)
    assert "sampler" not in given  # Detectron2's

import pytest

from dml_instance.engine import Trainer, trainer
from toy_scenes import data_config


@pytest.mark.parametrize(("power", "ours"), [(0.0, False), (0.5, True)])
def test_detectron2_chooses_the_training_images_unless_they_are_drawn_by_area(
    power, ours, monkeypatch
):
    """Its own choice knows keypoints and proposals as well, which other meta-architectures need."""
    monkeypatch.setattr(
        trainer, "get_detection_dataset_dicts", lambda *_, **__: [{"height": 9, "width": 9}]
    )
    monkeypatch.setattr(trainer, "build_detection_train_loader", lambda cfg, **given: given)
    cfg = data_config(
        *("INPUT.CROP.ENABLED", True, "INPUT.CROP.TYPE", "absolute", "INPUT.CROP.SIZE", [3, 3]),
        *("DATALOADER.REPEAT_BY_AREA", power),
    )
    given = Trainer.build_train_loader(cfg)
    assert ("dataset" in given) == ("sampler" in given) == ours

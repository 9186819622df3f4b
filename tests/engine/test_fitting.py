"""Lengths from the sizes of objects: those that were found by trying, by hand, and in a config."""

import dataclasses
import logging
from operator import attrgetter

import pytest
from detectron2.data import MetadataCatalog

from dml_instance.data import register_coco
from dml_instance.data.object_sizes import ObjectSizes
from dml_instance.engine import Trainer, fitting, load_config
from dml_instance.engine.fitting import FITTED_KEYS, lengths_for
from toy_models import plain_config
from toy_scenes import square_and_disc, write_coco

NO_GPU = ["MODEL.DEVICE", "cpu"]
NUCLEI = "configs/DSB2018/dml_slim_unet.yaml"
# As measured on Pascal VOC's animals, and on photographs of cables.
ANIMALS = ObjectSizes(1162, 1734, 9, (92.0, 167.1, 237.9), 243.0, 300.0, 0.058, 39.0)
CABLES = ObjectSizes(45, 298, 10, (40.2, 53.7, 64.7), 233.0, 480.0, 0.0, 0.0)


def chosen(sizes, *overrides):
    return {
        key.split(".")[-1]: value
        for key, value in lengths_for(
            sizes, plain_config("INPUT.MIN_SIZE_TRAIN", (0,), *overrides)
        ).items()
    }


def test_nuclei_get_the_lengths_that_were_found_by_trying():
    cfg, defaults = load_config(NUCLEI), plain_config()
    assert not cfg.INPUT.FIT_TO_OBJECTS
    expected = {key: attrgetter(key)(defaults) for key in FITTED_KEYS}
    expected["MODEL.DML.TEST_SCALES"] = [1.25]
    expected["TEST.DETECTIONS_PER_IMAGE"] = 400  # an image of val holds 375
    assert {key: attrgetter(key)(cfg) for key in FITTED_KEYS} == expected


def test_shapes_would_get_what_their_yaml_says():
    cfg = load_config("configs/Shapes/dml_slim_unet.yaml")
    sizes = MetadataCatalog.get("shapes_train").object_sizes
    for key, value in lengths_for(sizes, cfg).items():
        assert attrgetter(key)(cfg) == value, key


def test_photographs_are_shrunk_or_resized_and_seen_as_a_whole():
    lengths = {
        "CONTEXT": -1,
        "TEST_SCALES": [],
        "STRIDE": 4,
        "SEED_STRIDE": 8,
        "COORDINATE_UNIT": 64.0,
        "RADII": [16, 32, 64, 128],
        "CONNECT_GAP": 32,
        "DETECTIONS_PER_IMAGE": 100,
    }
    shrunk = {"SCALE_TRAIN": 0.7, "SCALE_TEST": 0.7}
    assert chosen(ANIMALS) == {**lengths, **shrunk}
    resized = {"SCALE_TRAIN": 1.0, "SCALE_TEST": 1.0}
    assert chosen(ANIMALS, "INPUT.MIN_SIZE_TRAIN", (240,)) == {**lengths, **resized}


def test_thin_objects_keep_fine_cells_and_have_no_place():
    # No piece of them lies apart: a crossing belongs to both.
    found = chosen(CABLES)
    assert (found["STRIDE"], found["COORDINATE_UNIT"], found["CONTEXT"]) == (2, 0.0, -1)
    assert (found["SCALE_TRAIN"], found["CONNECT_GAP"]) == (1.0, 0)


def test_the_yaml_of_photographs_says_what_would_be_chosen():
    cfg = load_config("configs/VOC/dml_efficientnet_lite0.yaml")
    for key, value in lengths_for(ANIMALS, cfg).items():
        assert attrgetter(key)(cfg) == value, key


@pytest.mark.parametrize(("smallest", "scales"), [(4, [2.0]), (8, [2.0]), (12, [1.25]), (20, [])])
def test_small_objects_are_magnified_at_most_twice(smallest, scales):
    sizes = dataclasses.replace(ANIMALS, diameter=(smallest, smallest, smallest), extent=smallest)
    assert chosen(sizes)["TEST_SCALES"] == scales


@pytest.mark.parametrize(("most", "counted"), [(1, 100), (95, 100), (96, 200), (5476, 5800)])
def test_more_objects_are_counted_than_an_image_of_training_holds(most, counted):
    assert chosen(dataclasses.replace(ANIMALS, most=most))["DETECTIONS_PER_IMAGE"] == counted


def test_the_other_models_count_as_many_objects(own_data, monkeypatch):
    many = dataclasses.replace(ANIMALS, most=300)
    monkeypatch.setattr(fitting, "measure_objects", lambda records: many)
    cfg = load_config("configs/DSB2018/mask_rcnn_R_18_FPN.yaml", own_data)
    assert cfg.TEST.DETECTIONS_PER_IMAGE == 400


@pytest.fixture
def own_data(tmp_path):
    """A registered data set of two objects: a square of 16 pixels a side, and a disc."""
    name = f"fitted_{tmp_path.name}"
    register_coco(name, *write_coco(tmp_path, "images", [square_and_disc(61, 97)] * 3))
    return ["DATASETS.TRAIN", (name,), "DATASETS.TEST", (name,)]


def test_own_data_is_measured(own_data):
    cfg = load_config(NUCLEI, own_data)
    # The yaml of nuclei says nothing of magnification: these objects are larger.
    assert cfg.MODEL.DML.TEST_SCALES == []
    assert not cfg.INPUT.FIT_TO_OBJECTS
    assert len(cfg.INPUT.OBJECT_DIAMETERS) == 3


def test_the_choice_is_logged_in_one_line_when_a_training_begins(own_data, caplog, tmp_path):
    tiny = ["DATALOADER.NUM_WORKERS", 0, "OUTPUT_DIR", str(tmp_path / "out"), *NO_GPU]
    cfg = load_config(NUCLEI, [*own_data, *tiny])
    with caplog.at_level(logging.INFO, logger="dml_instance"):
        Trainer(cfg)
    (line,) = [message for message in caplog.messages if "quartiles" in message]
    for key in FITTED_KEYS:
        assert f"{key} {attrgetter(key)(cfg)}" in line


def test_what_the_user_gives_stays(own_data):
    given = ["MODEL.DML.CONTEXT", 77, "MODEL.DML.EMBEDDING_HEAD.PLACE_UNIT", 5.0]
    cfg = load_config(NUCLEI, [*own_data, *given])
    assert (cfg.MODEL.DML.CONTEXT, cfg.MODEL.DML.EMBEDDING_HEAD.COORDINATE_UNIT) == (77, 5.0)


def test_the_stored_config_is_not_measured_again(own_data, tmp_path, monkeypatch):
    cfg = load_config(NUCLEI, own_data)
    (tmp_path / "config.yaml").write_text(cfg.dump())
    monkeypatch.setattr(fitting, "measure_objects", None)
    again = load_config(str(tmp_path / "config.yaml"))
    found, expected = ([attrgetter(key)(c) for key in FITTED_KEYS] for c in (again, cfg))
    assert found == expected


def test_a_baseline_sees_its_images_as_large_and_keeps_the_rest(own_data):
    cfg = load_config("configs/DSB2018/mask_rcnn_R_18_FPN.yaml", own_data)
    assert cfg.MODEL.DML.TEST_SCALES == plain_config().MODEL.DML.TEST_SCALES
    assert (cfg.INPUT.SCALE_TRAIN, cfg.INPUT.SCALE_TEST) == (1.0, 1.25)


def test_without_a_training_set_nothing_is_chosen_and_that_is_said(caplog):
    cfg = load_config(NUCLEI, ["DATASETS.TRAIN", (), "DATASETS.TEST", ("dsb2018_nuclei_val",)])
    assert cfg.INPUT.FIT_TO_OBJECTS
    assert cfg.MODEL.DML.TEST_SCALES == []
    assert any("names no data set" in message for message in caplog.messages)

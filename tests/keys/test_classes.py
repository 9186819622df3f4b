import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from dml_instance.keys.classes import (
    Classes,
    classes_of,
    names_alike,
    number_of_classes,
    set_num_classes,
)
from toy_scenes import data_config, square_and_disc, write_coco


def test_the_number_of_classes_follows_from_the_data(tmp_path, registered):
    registered("toy_set", *write_coco(tmp_path, "toy", [square_and_disc()]))
    cfg = data_config("DATASETS.TRAIN", ("toy_set",), "DATASETS.TEST", ("toy_set",))
    set_num_classes(cfg)
    assert cfg.MODEL.DML.NUM_CLASSES == cfg.MODEL.ROI_HEADS.NUM_CLASSES == 2


def test_names_and_ids_of_the_data_stay_with_the_config(tmp_path, registered):
    """Also after its data set is forgotten, and through the file of a run."""
    scenes = [square_and_disc()]
    registered("toy_set", *write_coco(tmp_path, "toy", scenes, first_category=3))
    cfg = data_config("DATASETS.TRAIN", ("toy_set",), "MODEL.META_ARCHITECTURE", "DMLInstance")
    set_num_classes(cfg)
    (tmp_path / "config.yaml").write_text(cfg.dump())
    later = data_config()
    later.merge_from_file(str(tmp_path / "config.yaml"))
    later.DATASETS.TRAIN = ("forgotten",)
    assert classes_of(later) == Classes(("square", "disc"), (3, 4))


@pytest.mark.parametrize(
    ("architecture", "key"),
    [
        ("DMLInstance", "MODEL.DML.NUM_CLASSES"),
        ("GeneralizedRCNN", "MODEL.ROI_HEADS.NUM_CLASSES"),
    ],
)
def test_classes_without_a_name_in_the_config_have_that_of_a_known_set(
    architecture, key, tmp_path, registered, caplog
):
    for name, first in (("first_set", 5), ("second_set", 7)):
        names = [f"{name} {letter}" for letter in "ab"]
        scenes = [square_and_disc()]
        registered(name, *write_coco(tmp_path, name, scenes, names, first_category=first))
    sets = ("DATASETS.TEST", ("unknown_set", "second_set"), "DATASETS.TRAIN", ("first_set",))
    cfg = data_config("MODEL.META_ARCHITECTURE", architecture, key, 2, *sets)
    assert classes_of(cfg) == Classes(("second_set a", "second_set b"), (7, 8))
    assert "not known" not in caplog.text
    cfg.merge_from_list([key, 3])
    assert classes_of(cfg) == Classes(("class 0", "class 1", "class 2"), (1, 2, 3))
    assert "what the classes are called is not known" in caplog.text
    cfg.merge_from_list(["DATASETS.CLASS_NAMES", list("xyz"), "DATASETS.CATEGORY_IDS", [9, 1, 4]])
    assert classes_of(cfg) == Classes(("x", "y", "z"), (9, 1, 4))


def test_detectron2s_own_sets_have_their_ids():
    cfg = data_config("DATASETS.TEST", ("coco_2017_val",), "MODEL.DML.NUM_CLASSES", 80)
    cfg.MODEL.META_ARCHITECTURE = "DMLInstance"
    classes = classes_of(cfg)
    assert (classes.names[-1], classes.category_ids[-1]) == ("toothbrush", 90)


@pytest.mark.parametrize("key", ["MODEL.DML.NUM_CLASSES", "MODEL.ROI_HEADS.NUM_CLASSES"])
def test_a_contradicting_number_of_classes_is_an_error(tmp_path, registered, key):
    registered("toy_set", *write_coco(tmp_path, "toy", [square_and_disc()]))
    with pytest.raises(ValueError, match=f"{key} is 3.*toy_set.*square, disc"):
        set_num_classes(data_config("DATASETS.TRAIN", ("toy_set",), key, 3))


def test_sets_of_different_classes_and_unknown_sets_are_errors(tmp_path, registered):
    registered("toy_set", *write_coco(tmp_path, "toy", [square_and_disc()]))
    registered(
        "other_set", *write_coco(tmp_path, "other", [square_and_disc()], class_names=["a", "b"])
    )
    with pytest.raises(ValueError, match="toy_set and other_set"):
        set_num_classes(
            data_config("DATASETS.TRAIN", ("toy_set",), "DATASETS.TEST", ("other_set",))
        )
    with pytest.raises(KeyError, match="no_such_set.*--register-coco"):
        set_num_classes(data_config("DATASETS.TRAIN", ("no_such_set",)))


@pytest.fixture
def lazy_set(tmp_path):
    """A set whose class names Detectron2 knows once it is loaded."""
    path, images = write_coco(tmp_path, "toy", [square_and_disc()])
    register_coco_instances("lazy_set", {}, str(path), str(images))
    yield path
    DatasetCatalog.remove("lazy_set")
    MetadataCatalog.remove("lazy_set")


def test_a_number_in_the_config_counts_as_it_is():
    cfg = data_config("MODEL.DML.NUM_CLASSES", 7, "DATASETS.TRAIN", ("no_such_set",))
    assert number_of_classes(cfg) == 7


@pytest.mark.parametrize("key", ["DATASETS.TRAIN", "DATASETS.TEST"])
def test_detectron2s_own_sets_have_a_number_without_their_files(key):
    assert number_of_classes(data_config(key, ("coco_2017_val",))) == 80


def test_a_set_that_names_its_classes_when_it_is_loaded_is_loaded(lazy_set):
    assert number_of_classes(data_config("DATASETS.TRAIN", ("lazy_set",))) == 2


def test_what_names_no_classes_is_said_with_the_cure(lazy_set):
    with pytest.raises(ValueError, match=r"NUM_CLASSES is not set.*DATASETS\.TRAIN"):
        number_of_classes(data_config())
    lazy_set.unlink()
    with pytest.raises(FileNotFoundError, match=r"lazy_set.*toy\.json.*thing_classes") as caught:
        number_of_classes(data_config("DATASETS.TRAIN", ("lazy_set",)))
    assert "\n" not in str(caught.value)
    DatasetCatalog.register("nameless_set", list)
    with pytest.raises(ValueError, match=r"nameless_set has no class names.*thing_classes"):
        number_of_classes(data_config("DATASETS.TEST", ("nameless_set",)))
    DatasetCatalog.remove("nameless_set")
    MetadataCatalog.remove("nameless_set")


def test_a_trained_model_is_not_renamed_by_other_data(tmp_path, registered):
    scenes = [square_and_disc()]
    for name, names in (("trained", ["cell", "egg"]), ("swapped", ["egg", "cell"])):
        registered(name, *write_coco(tmp_path, name, scenes, names))
    cfg = data_config("DATASETS.TRAIN", ("trained",))
    set_num_classes(cfg)
    set_num_classes(cfg)
    cfg.DATASETS.TEST = ("swapped",)
    cfg.DATASETS.TRAIN = ()
    with pytest.raises(ValueError, match=r"are cell, egg, but those of swapped are egg, cell"):
        set_num_classes(cfg)


def test_names_that_people_take_for_one_are_put_together():
    names = ["Cell", "egg", "cell ", "CELL", "Stra\u00dfe", "strasse", "e\u0301", "\u00e9", "cells"]
    assert names_alike(names) == [
        *(["Cell", "cell ", "CELL"], ["Stra\u00dfe", "strasse"], ["e\u0301", "\u00e9"])
    ]
    assert names_alike(["cell", "egg"]) == names_alike([]) == []

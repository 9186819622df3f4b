from dml_instance.engine import metadata_of
from toy_scenes import data_config, square_and_disc, write_coco


def test_the_metadata_are_those_of_a_known_set(registered, tmp_path):
    registered("known_set", *write_coco(tmp_path, "toy", [square_and_disc()]))
    cfg = data_config("DATASETS.TEST", ("unknown_set", "known_set"))
    assert metadata_of(cfg).thing_classes == ["square", "disc"]
    assert metadata_of(data_config("DATASETS.TEST", ("unknown_set",))).as_dict() == {}

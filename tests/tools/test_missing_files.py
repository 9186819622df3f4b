"""Files that are not there, as Detectron2 and the system report them, are named in one line."""

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from tool_runner import ROOT, TINY, run_tool


@pytest.fixture
def lone_config(tmp_path):
    """A yaml away from the one that it is based on."""
    config = tmp_path / "dml_slim_unet.yaml"
    config.write_text((ROOT / "configs" / "Shapes" / "dml_slim_unet.yaml").read_text())
    return config


@pytest.fixture
def set_without_data(tmp_path):
    """The name of a data set that Detectron2 itself registered, as it does COCO's."""
    metadata = {"thing_classes": ["thing"]}
    register_coco_instances("without_data", metadata, str(tmp_path / "gone.json"), str(tmp_path))
    yield "without_data"
    DatasetCatalog.remove("without_data")
    MetadataCatalog.remove("without_data")


def last_line(printed):
    assert "Traceback" not in printed
    return printed.splitlines()[-1]


@pytest.mark.parametrize("tool", ["train_net", "visualize", "predict"])
def test_a_config_without_its_base_is_explained(lone_config, tmp_path, tool):
    paths = ("--input", "a.png", "--output", tmp_path / "out") if tool == "predict" else ()
    printed = run_tool(tool, "--config-file", lone_config, *paths, ok=False)
    assert last_line(printed) == (
        f"error: {tmp_path / 'Base-Shapes.yaml'}: No such file or directory"
    )


@pytest.mark.parametrize("split", ["TRAIN", "TEST"])
def test_a_data_set_without_its_file_is_explained_before_a_training(
    set_without_data, tmp_path, split
):
    other = "TEST" if split == "TRAIN" else "TRAIN"
    config = ("--config-file", "configs/Shapes/dml_slim_unet.yaml")
    sets = (f"DATASETS.{split}", f"('{set_without_data}',)", f"DATASETS.{other}", "()")
    printed = run_tool(
        *("train_net", *config, *sets, "MODEL.DML.NUM_CLASSES", "1", *TINY),
        *("OUTPUT_DIR", tmp_path / "out"),
        ok=False,
    )
    assert last_line(printed) == f"error: {tmp_path / 'gone.json'}: No such file or directory"


def test_a_data_set_without_its_file_cannot_be_drawn(set_without_data, trained, tmp_path):
    printed = run_tool(
        *("visualize", "--config-file", trained[0] / "config.yaml"),
        *("--dataset", set_without_data, "--output", tmp_path / "out"),
        ok=False,
    )
    assert last_line(printed) == f"error: {tmp_path / 'gone.json'}: No such file or directory"

"""What a model costs; and that every program explains itself."""

import json
from pathlib import Path

import pytest
from detectron2.data.datasets import register_coco_instances

from benchmarks import model_cost, performance_page, speed
from command_lines import call
from dml_instance.commands import compare


@pytest.mark.parametrize("config", ["dml_slim_unet", "mask_rcnn_R_18_FPN"])
def test_the_cost_of_a_model_is_counted_and_measured(tmp_path, capsys, config):
    call(
        model_cost,
        *("--config-file", f"configs/DSB2018/{config}.yaml", "--size", "64", "96"),
        *("--output", tmp_path / "cost.json"),
        # Operations are counted by tracing, which takes its time for every proposal.
        *("MODEL.RPN.POST_NMS_TOPK_TEST", "50", "TEST.DETECTIONS_PER_IMAGE", "10"),
    )
    assert "multiply-adds" in capsys.readouterr().out
    cost = json.loads((tmp_path / "cost.json").read_text())
    assert 0.01 < cost["gflops"] < 1000
    assert cost["training_step_peak_gib"] >= cost["peak_gib_before"] > 0
    assert cost["parameters"] >= cost["trained_parameters"] > 2e6


def test_a_config_that_is_not_there_is_named():
    with pytest.raises(SystemExit, match="none.yaml does not exist"):
        call(model_cost, "--config-file", "none.yaml")


@pytest.mark.parametrize("program", [compare, model_cost, speed])
def test_a_config_without_its_base_is_explained(tmp_path, program):
    text = Path("configs/Shapes/dml_slim_unet.yaml").read_text()
    (tmp_path / "alone.yaml").write_text(text)
    arguments = {
        compare: ("--minutes", 0, "--output", tmp_path, "--run", "a", tmp_path / "alone.yaml"),
        model_cost: ("--config-file", tmp_path / "alone.yaml"),
        speed: ("training", "--run", "a", tmp_path / "alone.yaml"),
    }
    message = f"^error: {tmp_path}/Base-Shapes.yaml: No such file or directory$"
    with pytest.raises(SystemExit, match=message):
        call(program, *arguments[program])


def test_a_comparison_on_data_that_is_not_there_is_refused(tmp_path):
    metadata = {"thing_classes": ["thing"]}
    register_coco_instances("gone", metadata, str(tmp_path / "gone.json"), str(tmp_path))
    run = ("--run", "a", "configs/Shapes/dml_slim_unet.yaml", "MODEL.DML.NUM_CLASSES", "1")
    sets = ("DATASETS.TRAIN", "()", "DATASETS.TEST", "('gone',)")
    with pytest.raises(SystemExit, match=r"^error: .*gone\.json: No such file or directory$"):
        call(compare, "--minutes", 0, "--output", tmp_path / "out", *run, *sets)


@pytest.mark.parametrize("program", [model_cost, performance_page, speed])
def test_every_program_has_help(program, capsys):
    with pytest.raises(SystemExit) as ended:
        program.argument_parser().parse_args(["--help"])
    assert ended.value.code == 0
    assert f"usage: python -m {program.__name__}" in capsys.readouterr().out

"""What a model costs; and that every program explains itself."""

import json

import pytest

from benchmarks import compare, model_cost, performance_page, speed
from command_lines import call


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


@pytest.mark.parametrize("program", [compare, model_cost, performance_page, speed])
def test_every_program_has_help(program, capsys):
    with pytest.raises(SystemExit) as ended:
        program.argument_parser().parse_args(["--help"])
    assert ended.value.code == 0
    assert f"usage: python -m {program.__name__}" in capsys.readouterr().out

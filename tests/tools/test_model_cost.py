import json

import pytest

from tool_runner import run_tool


@pytest.mark.parametrize("config", ["dml_slim_unet", "mask_rcnn_R_18_FPN"])
def test_the_cost_of_a_model_is_counted_and_measured(tmp_path, config):
    printed = run_tool(
        *("model_cost", "--config-file", f"configs/DSB2018/{config}.yaml", "--size", "64", "96"),
        *("--output", tmp_path / "cost.json"),
    )
    assert "multiply-adds" in printed
    cost = json.loads((tmp_path / "cost.json").read_text())
    assert 0.01 < cost["gflops"] < 1000
    assert cost["training_step_peak_gib"] >= cost["peak_gib_before"] > 0
    assert cost["parameters"] >= cost["trained_parameters"] > 2e6

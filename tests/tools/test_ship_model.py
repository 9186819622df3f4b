from tool_runner import run_tool


def test_only_a_finished_run_is_shipped(tmp_path):
    facts = (
        "--name",
        "x",
        "--config",
        "configs/Shapes/dml_slim_unet.yaml",
        "--command",
        "make demo",
    )
    assert "no model_final.pth" in run_tool("ship_model", tmp_path, *facts, ok=False)

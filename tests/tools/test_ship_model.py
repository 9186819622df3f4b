import pytest
import yaml

from dml_instance import model_zoo
from tool_runner import run_tool

FACTS = ("--name", "x", "--config", "configs/Shapes/dml_slim_unet.yaml", "--command", "make demo")


@pytest.mark.parametrize("score", [0.35, None])
def test_a_model_is_shipped_with_its_least_score(trained, tmp_path, monkeypatch, score):
    for name in ("model_final.pth", "training.json", "results.json"):
        (tmp_path / name).write_bytes((trained[0] / name).read_bytes())
    stored = yaml.safe_load((trained[0] / "config.yaml").read_text())
    stored["TEST"]["MIN_SCORE"] = score
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(stored))
    shipped = {}

    def ship(weights, name, facts):
        shipped.update(facts)
        return {"bytes": 1, "sha256": ""}

    monkeypatch.setattr(model_zoo, "ship", ship)
    run_tool("ship_model", tmp_path, *FACTS)
    assert shipped["min_score"] == score and shipped["training"]["iterations"] == 6


def test_only_a_finished_run_is_shipped(tmp_path):
    assert "no model_final.pth" in run_tool("ship_model", tmp_path, *FACTS, ok=False)

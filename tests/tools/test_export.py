"""The wiring of `dml export`; what it calls has tests of its own."""

import pytest

from dml_instance.export import Exported
from tool_runner import load_tool, run_tool


@pytest.fixture
def calls(monkeypatch):
    calls = []

    def export_model(model, cfg, folder, **options):
        calls.append((model, cfg, folder, options))
        return Exported(12_345_678, 18, 5.2e-06)

    monkeypatch.setattr(load_tool("export"), "export_model", export_model)
    return calls


@pytest.mark.parametrize(
    ("more", "most", "options"),
    [
        ((), None, {"min_score": None, "overwrite": False}),
        (
            ("--min-score", 0.3, "--overwrite", "TEST.DETECTIONS_PER_IMAGE", 7),
            7,
            {"min_score": 0.3, "overwrite": True},
        ),
    ],
)
def test_a_trained_model_is_exported_with_all_that_it_finds(trained, calls, more, most, options):
    printed = run_tool(
        "export", "--config-file", trained[0] / "config.yaml", "--output", "there", *more
    )
    ((model, cfg, folder, given),) = calls
    assert not model.training and cfg.MODEL.META_ARCHITECTURE == "DMLInstance"
    assert model.grouping.max_instances == most
    assert (folder, given) == ("there", options)
    last = "there: network.onnx of 12.3 MB, ONNX opset 18, and rules.json; onnxruntime and torch"
    assert printed.splitlines()[-1] == f"{last} differ by 5e-06 at most"


def test_errors_are_one_line(trained):
    config = ("--config-file", trained[0] / "config.yaml", "--output", "there")
    printed = run_tool("export", *config, "MODEL.DML.TEST_AUGMENTATIONS", 2, ok=False)
    assert printed.splitlines()[-1].startswith("error: MODEL.DML.TEST_AUGMENTATIONS is 2: ")
    printed = run_tool("export", *config, "--weights", "nowhere.pth", ok=False)
    assert printed.splitlines()[-1].startswith("error: no weights at nowhere.pth")

"""A detector's backbone as weights of this project's models."""

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model

from dml_instance.engine import load_config
from tool_runner import ROOT, run_tool


def test_the_backbone_of_a_detector_becomes_weights_of_ours(tmp_path):
    no_weights = ["MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu", "MODEL.RESNETS.DEPTH", "50"]
    detector = build_model(
        load_config(str(ROOT / "configs/VOC/mask_rcnn_R_50_FPN_voc_aug.yaml"), no_weights)
    )
    torch.save({"model": detector.state_dict()}, tmp_path / "detector.pth")
    assert "weights in" in run_tool(
        "extract_backbone", tmp_path / "r50.pth", tmp_path / "detector.pth"
    )
    ours = build_model(
        load_config(str(ROOT / "configs/VOC/dml_R_101_deeplabv2_os8_voc_aug.yaml"), no_weights)
    )
    DetectionCheckpointer(ours).load(str(tmp_path / "r50.pth"))
    theirs = detector.backbone.bottom_up.state_dict()
    assert all(
        torch.equal(value, theirs[name]) for name, value in ours.backbone.state_dict().items()
    )
    torch.save({"head.weight": torch.zeros(1)}, tmp_path / "other.pth")
    printed = run_tool("extract_backbone", tmp_path / "x.pth", tmp_path / "other.pth", ok=False)
    assert "no ResNet among its 1 weights" in printed and "Traceback" not in printed

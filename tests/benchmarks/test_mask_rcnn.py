"""Mask R-CNN under Detectron2's own test-time augmentation, in a comparison."""

import pytest
import torch
from detectron2.modeling import build_model

from dml_instance.comparison.budget import ComparedTrainer
from dml_instance.comparison.mask_rcnn import check_test_augmentation, with_test_augmentation
from dml_instance.engine import Trainer, load_config

MIRRORED = ("TEST.AUG.ENABLED", "True", "TEST.AUG.MIN_SIZES", "(0,)")


def config(*options, name="mask_rcnn_R_18_FPN"):
    no_data = ["DATASETS.TRAIN", "()", "DATASETS.TEST", "()", "MODEL.DML.NUM_CLASSES", "2"]
    no_data += ["MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu", "TEST.DETECTIONS_PER_IMAGE", "20"]
    no_data += ["MODEL.RPN.POST_NMS_TOPK_TEST", "100"]
    return load_config(f"configs/DSB2018/{name}.yaml", [*no_data, *options])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(config()).eval()


def test_it_sees_the_mirror_image_too(model):
    averaged = with_test_augmentation(config(*MIRRORED), model)
    image = torch.randint(0, 255, (3, 64, 96), dtype=torch.uint8)
    sizes = {"height": 128, "width": 192}

    def found_by(detector):
        with torch.no_grad():
            return [
                detector([{"image": x, **sizes}])[0]["instances"] for x in (image, image.flip(-1))
            ]

    alone, alone_mirrored = found_by(model)
    assert len(alone) != len(alone_mirrored) or not torch.allclose(
        alone.scores, alone_mirrored.scores
    )
    as_it_is, mirrored = found_by(averaged)
    torch.testing.assert_close(as_it_is.scores, mirrored.scores)
    left, right = mirrored.pred_boxes.tensor[:, 0], mirrored.pred_boxes.tensor[:, 2]
    torch.testing.assert_close(as_it_is.pred_boxes.tensor[:, 0], 192 - right, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(as_it_is.pred_boxes.tensor[:, 2], 192 - left, rtol=1e-3, atol=1e-2)
    assert as_it_is.pred_masks.shape[1:] == (128, 192)
    differing = (as_it_is.pred_masks ^ mirrored.pred_masks.flip(-1)).float().mean()
    assert differing < 1e-3


def test_a_comparison_scores_it_as_the_keys_say(model, monkeypatch):
    scored = []
    monkeypatch.setattr(
        Trainer, "test", classmethod(lambda cls, cfg, scored_model, _: scored.append(scored_model))
    )
    for options in ((), MIRRORED):
        ComparedTrainer.test(config(*options), model)
    assert scored[0] is model
    assert scored[1] is not model and scored[1].averaged.model is model


@pytest.mark.parametrize("training", [True, False])
def test_an_augmented_model_is_in_the_mode_of_the_model(model, training):
    try:
        model.train(training)
        assert with_test_augmentation(config(*MIRRORED), model).training is training
        assert model.training is training
    finally:
        model.eval()


@pytest.mark.parametrize(
    ("name", "options"),
    [("dml_slim_unet", ()), ("mask_rcnn_R_18_FPN", ("MODEL.META_ARCHITECTURE", "RetinaNet"))],
)
def test_it_is_for_no_other_model(name, options):
    with pytest.raises(ValueError, match=r"TEST\.AUG\.ENABLED is for a GeneralizedRCNN, not for"):
        check_test_augmentation(config(*MIRRORED, *options, name=name))

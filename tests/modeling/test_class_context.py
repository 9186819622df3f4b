"""Class logits straight from a feature, by hand and through the model."""

import pytest
import torch
from detectron2.modeling import build_model

from dml_instance.modeling.class_context import ClassContext
from toy_models import config, losses_of, model_of
from toy_scenes import model_input, square_and_disc

FEATURE = ("MODEL.DML.SEED_HEAD.CLASS_FEATURE", "res5")


def test_each_class_gets_a_logit_of_its_cell_and_one_of_the_image():
    torch.manual_seed(0)
    context = ClassContext(5, 3)
    with torch.no_grad():
        for parameter in context.parameters():
            parameter.normal_()
    feature, logits = torch.randn(2, 5, 4, 6), torch.randn(2, 2, 4, 4, 6)
    found = context(logits, feature)
    of_cell, of_image = (layer.weight[..., 0, 0] for layer in (context.of_cell, context.of_image))
    bias = context.of_cell.bias + context.of_image.bias
    for image in range(2):
        mean = feature[image].flatten(1).mean(dim=1)
        for row in range(4):
            for column in range(6):
                added = of_cell @ feature[image, :, row, column] + of_image @ mean + bias
                for tau in range(2):
                    expected = logits[image, tau, :, row, column].clone()
                    expected[1:] += added
                    torch.testing.assert_close(found[image, tau, :, row, column], expected)


def test_a_coarse_feature_says_the_same_all_over_its_cells():
    context = ClassContext(2, 1)
    feature = torch.randn(1, 2, 1, 1)
    found = context(torch.zeros(1, 1, 2, 5, 7), feature)
    torch.testing.assert_close(found[0, 0, 1], found[0, 0, 1, 0, 0].expand(5, 7))
    assert found[0, 0, 1].all()
    assert not found[0, 0, 0].any()


def test_the_model_learns_through_it():
    model = model_of(*FEATURE)
    batch = [model_input(*square_and_disc(61, 97))]
    losses_of(model, batch)
    for parameter in model.network.class_context.parameters():
        assert parameter.grad.any()
    assert any(name.startswith("class_context.of_cell") for name in model.state_dict())


def test_a_feature_that_only_classes_read_is_trained():
    """What nothing reads is frozen, so that no process waits for its gradient."""
    names = ("MODEL.DML.IN_FEATURES", ["res2", "res3", "res4"])
    read, unread = (model_of(*names, *options) for options in (FEATURE, ()))
    assert all(p.requires_grad for p in read.backbone.parameters())
    assert not all(p.requires_grad for p in unread.backbone.parameters())


def test_a_feature_that_the_backbone_does_not_give_is_named():
    with pytest.raises(ValueError, match="CLASS_FEATURE is 'res7'.*res5"):
        build_model(config("MODEL.DML.SEED_HEAD.CLASS_FEATURE", "res7"))

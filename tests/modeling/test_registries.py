"""Every part of the model is swapped from the config alone, by Detectron2's own two lines."""

import pytest
import torch
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from detectron2.structures import Boxes, Instances
from torch import nn

from dml_instance.modeling import (
    CRITERION_REGISTRY,
    DECODER_REGISTRY,
    EMBEDDING_HEAD_REGISTRY,
    GROUPING_REGISTRY,
    SEED_HEAD_REGISTRY,
    DMLInstance,
)
from dml_instance.modeling.criterion import DMLCriterion
from dml_instance.modeling.decoder import TopDownDecoder
from dml_instance.modeling.grouping import InstanceGrouping
from dml_instance.modeling.heads import EmbeddingHead, SeedHead
from toy_models import LOSSES, losses_of, model_of, plain_config
from toy_scenes import assert_is_instance_result, model_input, square_and_disc


@DECODER_REGISTRY.register()
class FinestFeature(nn.Module):
    """One convolution of the finest feature."""

    def __init__(self, cfg, input_shape, *, stride):
        super().__init__()
        self.name = min(input_shape, key=lambda name: input_shape[name].stride)
        self.step = stride // input_shape[self.name].stride
        self.stride, self.channels = stride, 6
        self.conv = nn.Conv2d(input_shape[self.name].channels, 6, 1)

    def forward(self, features):
        return self.conv(features[self.name])[..., :: self.step, :: self.step]


@EMBEDDING_HEAD_REGISTRY.register()
class PlainEmbedding(nn.Module):
    """Five channels, and distances as they are."""

    def __init__(self, cfg, input_shape):
        super().__init__()
        self.conv = nn.Conv2d(input_shape.channels, 5, 1)

    def forward(self, features, origin=(0, 0)):
        embedding = self.conv(features)
        return embedding, torch.ones_like(embedding[:, 0], dtype=torch.float32)


@SEED_HEAD_REGISTRY.register()
class PlainSeeds(nn.Module):
    """Knows the sizes that it is built for."""

    def __init__(self, cfg, input_shape, *, stride, num_taus, num_classes):
        super().__init__()
        self.sizes = {"stride": stride, "num_taus": num_taus, "num_classes": num_classes}
        self.conv = nn.Conv2d(input_shape.channels, num_taus * (num_classes + 1), 1)

    def forward(self, features, embedding, distance_scale):
        return self.conv(features).unflatten(1, (self.sizes["num_taus"], -1))


@CRITERION_REGISTRY.register()
class SmallNumbers:
    """Wants every map to be small."""

    def __init__(self, cfg):
        self.weight = cfg.MODEL.DML.MASK_LOSS.WEIGHT

    def __call__(self, pyramids, truths, iteration):
        size = sum(m.embedding.square().mean() for pyramid in pyramids for m in pyramid)
        assert [len(truth.masks) for truth in truths] == [2]
        return {"loss_size": self.weight * size}, {"iteration": iteration}


@GROUPING_REGISTRY.register()
class LeftHalf(nn.Module):
    """Whatever the maps say, the left half of the image is an object."""

    def __init__(self, cfg, *, num_classes):
        super().__init__()
        self.num_classes = num_classes

    def forward(self, pyramid, output_size, image_name="an image"):
        height, width = output_size
        masks = torch.zeros(1, height, width, dtype=torch.bool)
        masks[..., : width // 2] = True
        boxes = Boxes(torch.tensor([[0.0, 0.0, width // 2, height]]))
        result = Instances(output_size, pred_masks=masks, pred_boxes=boxes)
        result.scores = torch.ones(1)
        result.pred_classes = torch.tensor([self.num_classes - 1])
        return result


ALL_SEEDS = ("MODEL.DML.GROUPING.MIN_SEEDINESS", 0.0)
PARTS = {
    "DECODER": (FinestFeature, lambda model: model.network.decoder),
    "EMBEDDING_HEAD": (PlainEmbedding, lambda model: model.network.embedding_head),
    "SEED_HEAD": (PlainSeeds, lambda model: model.network.seed_head),
    "CRITERION": (SmallNumbers, lambda model: model.criterion),
    "GROUPING": (LeftHalf, lambda model: model.grouping),
}


@pytest.mark.parametrize("key", PARTS)
def test_a_part_is_swapped_by_its_name(key):
    kind, part_of = PARTS[key]
    assert not isinstance(part_of(model_of()), kind)
    model = model_of(f"MODEL.DML.{key}.NAME", kind.__name__, *ALL_SEEDS)
    assert isinstance(part_of(model), kind)
    x = model_input(*square_and_disc())
    losses = losses_of(model, [x])
    assert set(losses) == ({"loss_size"} if key == "CRITERION" else LOSSES)
    with torch.no_grad():
        (result,) = model.eval()([x])
    assert_is_instance_result(result, 64, 96, 2)
    assert len(result["instances"]) > 0


def test_all_parts_are_swapped_at_once():
    names = [(f"MODEL.DML.{key}.NAME", kind.__name__) for key, (kind, _) in PARTS.items()]
    model = model_of(*(part for name in names for part in name), "MODEL.DML.MASK_LOSS.WEIGHT", 2.0)
    assert all(isinstance(part_of(model), kind) for kind, part_of in PARTS.values())
    assert isinstance(model.network.seed_decoder, FinestFeature)
    assert (model.network.decoder.stride, model.network.seed_decoder.stride) == (2, 4)
    assert model.network.seed_head.sizes == {"stride": 2, "num_taus": 3, "num_classes": 2}
    assert model.criterion.weight == 2.0
    x = model_input(*square_and_disc())
    assert set(losses_of(model, [x])) == {"loss_size"}
    with torch.no_grad():
        (result,) = model.eval()([x])
    assert result["instances"].pred_masks.float().mean().item() == 0.5
    assert result["instances"].pred_classes.tolist() == [1]


def test_a_grouping_that_observes_sees_the_objects_of_training():
    seen = []

    class Observer(LeftHalf):
        def observe(self, images):
            seen.extend(((len(m), *m.size), classes.tolist()) for m, classes in images)

    model = model_of()
    model.grouping = Observer(None, num_classes=2)
    losses_of(model, [model_input(*square_and_disc())] * 2)
    assert seen == [((2, 64, 96), [0, 1])] * 2


@pytest.mark.parametrize("key", PARTS)
def test_a_name_that_is_not_registered_is_named(key):
    with pytest.raises(KeyError, match=f"'Nothing' found in '{key}' registry"):
        model_of(f"MODEL.DML.{key}.NAME", "Nothing")


def test_two_lines_and_a_number_of_classes_are_all_that_a_model_needs():
    """Detectron2's own defaults, with its ResNet-50 to stride 16 and no data set."""
    cfg = plain_config()
    cfg.MODEL.META_ARCHITECTURE = "DMLInstance"
    cfg.MODEL.DML.NUM_CLASSES = 3
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    assert META_ARCH_REGISTRY.get("DMLInstance") is DMLInstance is type(model)
    for part, kind in (
        (model.network.decoder, TopDownDecoder),
        (model.network.embedding_head, EmbeddingHead),
        (model.network.seed_head, SeedHead),
        (model.criterion, DMLCriterion),
        (model.grouping, InstanceGrouping),
    ):
        assert type(part) is kind
    with torch.no_grad():
        (result,) = model([{"image": torch.randint(0, 255, (3, 96, 128))}])
    assert_is_instance_result(result, 96, 128, 3)
    assert len(result["instances"]) > 0

"""Every kind of network trains and predicts, and its parts are the modules that run."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from torch import nn

from dml_instance.modeling.heads import EmbeddingHead
from toy_models import config_of_file, empty, losses_of, model_of
from toy_scenes import assert_is_instance_result, model_input, square_and_disc

ALL_SEEDS = ("MODEL.DML.GROUPING.MIN_SEEDINESS", 0.0, "MODEL.DML.GROUPING.MAX_SEEDS", 20)

RESNET_18 = ["MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64]
NETWORKS = {
    "resnet to stride 8, no decoder, paper form": [
        *("MODEL.BACKBONE.NAME", "build_resnet_backbone", *RESNET_18),
        *("MODEL.RESNETS.OUT_FEATURES", ["res3"], "MODEL.DML.IN_FEATURES", ["res3"]),
        *("MODEL.DML.DECODER.CHANNELS", 0),
        *("MODEL.DML.EMBEDDING_HEAD.NUM_CONVS", 0, "MODEL.DML.EMBEDDING_HEAD.DIM", 64),
        *("MODEL.DML.SEED_HEAD.DILATIONS", [], "MODEL.DML.SEED_HEAD.RADII", []),
    ],
    "fpn at stride 4": [
        *("MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone", *RESNET_18),
        *("MODEL.RESNETS.OUT_FEATURES", ["res2", "res3", "res4", "res5"]),
        *("MODEL.FPN.IN_FEATURES", ["res2", "res3", "res4", "res5"], "MODEL.FPN.OUT_CHANNELS", 32),
        *("MODEL.DML.IN_FEATURES", ["p2"], "MODEL.DML.DECODER.CHANNELS", 0),
    ],
    "resnet with a decoder beyond its finest feature": [
        *("MODEL.BACKBONE.NAME", "build_resnet_backbone", *RESNET_18),
        *("MODEL.RESNETS.OUT_FEATURES", ["res2", "res4"]),
        *("MODEL.DML.IN_FEATURES", ["res2", "res4"]),
    ],
    "pyramid": ["MODEL.DML.PYRAMID_SCALES", [0.5, 1.0, 2.0]],
    "one decoder for both heads": ["MODEL.DML.DECODER.SEED_STRIDE", 0],
    "seeds as fine as the embedding": ["MODEL.DML.DECODER.SEED_STRIDE", 2],
    "coordinates as input": ["MODEL.DML.EMBEDDING_HEAD.INPUT_COORDINATES", True],
    "no semi-convolutional embedding": ["MODEL.DML.EMBEDDING_HEAD.COORDINATE_UNIT", 0.0],
    "one scale of distances": ["MODEL.DML.EMBEDDING_HEAD.DISTANCE_SCALE", False],
    "group norm": ["MODEL.DML.NORM", "GN"],
}


@pytest.mark.parametrize("overrides", NETWORKS.values(), ids=NETWORKS.keys())
def test_every_kind_of_network_trains_and_predicts(overrides):
    model = model_of(*overrides, *ALL_SEEDS)
    batch = [model_input(*square_and_disc(61, 97)), empty(64, 80)]
    losses_of(model, batch)
    with torch.no_grad():
        for result, x in zip(model.eval()(batch), batch, strict=True):
            assert_is_instance_result(result, x["height"], x["width"], 2)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dml_R_18_FPN", []),
        ("dml_R_18_FPN", ["MODEL.DML.IN_FEATURES", ["p3"]]),
        ("dml_R_18_FPN", ["MODEL.DML.IN_FEATURES", ["p6"]]),
        ("dml_R_18_FPN", ["MODEL.DML.IN_FEATURES", ["p2", "p3"], "MODEL.DML.DECODER.CHANNELS", 8]),
        ("dml_slim_unet", []),
        ("dml_slim_unet", ["MODEL.DML.IN_FEATURES", ["stem", "res2", "res3"]]),
        ("dml_slim_unet", ["MODEL.DML.DECODER.STRIDE", 8, "MODEL.DML.DECODER.SEED_STRIDE", 8]),
    ],
)
def test_every_parameter_that_is_trained_gets_a_gradient(name, options):
    """DistributedDataParallel fails at the second step otherwise."""
    torch.manual_seed(0)
    options = ["MODEL.DML.NUM_CLASSES", 2, *options]
    model = build_model(config_of_file(f"Shapes/{name}.yaml", *options))
    losses_of(model, [model_input(*square_and_disc())])
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    heads = [n for n, p in model.named_parameters() if "head" in n and not p.requires_grad]
    assert heads == []
    assert any(p.requires_grad for p in model.backbone.parameters())


@pytest.mark.parametrize(
    ("overrides", "stride", "divisibility"),
    [
        ((), 2, 32),
        (("MODEL.DML.DECODER.STRIDE", 4), 4, 32),
        (NETWORKS["resnet to stride 8, no decoder, paper form"], 8, 8),
        (NETWORKS["fpn at stride 4"], 4, 64),
    ],
)
def test_strides_and_the_sizes_that_images_are_padded_to(overrides, stride, divisibility):
    network = model_of(*overrides).network
    assert (network.stride, network.size_divisibility) == (stride, divisibility)


@pytest.mark.parametrize("seed_stride", [0, 2, 4, 8])
def test_all_maps_are_of_one_grid(seed_stride):
    network = model_of("MODEL.DML.DECODER.SEED_STRIDE", seed_stride).network.eval()
    embedding, distance_scale, class_logits = network(torch.randn(2, 3, 64, 96))
    assert embedding.shape == (2, 16, 32, 48)
    assert distance_scale.shape == (2, 32, 48)
    assert distance_scale.dtype == torch.float32
    assert class_logits.shape == (2, 3, 3, 32, 48)


def run(model, grad):
    with torch.set_grad_enabled(grad):
        return model([{"image": torch.randint(0, 255, (3, 64, 64))}])


@pytest.mark.parametrize("grad", [True, False])
def test_hooks_on_the_backbone_fire(grad):
    model, seen = model_of(*ALL_SEEDS).eval(), []
    assert model.backbone is model.network.backbone
    handle = model.backbone.register_forward_hook(lambda *arguments: seen.append(arguments[2]))
    run(model, grad)
    assert [set(features) for features in seen] == [{"stem", "res2", "res3", "res4", "res5"}]
    assert all(feature.requires_grad == grad for feature in seen[0].values())
    handle.remove()
    run(model, grad)
    assert len(seen) == 1


@pytest.mark.parametrize("grad", [True, False])
def test_a_head_that_the_user_replaces_is_the_one_that_runs(grad):
    model = model_of(*ALL_SEEDS).eval()
    run(model, grad)

    class Constant(nn.Module):
        def forward(self, features, origin=(0, 0)):
            height, width = features.shape[-2:]
            return features.new_full((len(features), 4, height, width), 7.0), features[:, 0].exp()

    model.network.embedding_head = Constant()
    with torch.set_grad_enabled(grad):
        (pyramid,) = model.pyramids([{"image": torch.randint(0, 255, (3, 64, 64))}])
    assert pyramid[0].embedding.shape == (4, 32, 32)
    assert (pyramid[0].embedding == 7).all()


@pytest.mark.parametrize("grad", [True, False])
def test_weights_that_the_user_changes_are_those_that_run(grad):
    model, x = model_of().eval(), {"image": torch.randint(0, 255, (3, 64, 64))}
    with torch.set_grad_enabled(grad):
        model.pyramids([x])
        model.network.seed_head.layers[-1].weight.data.zero_()
        model.network.seed_head.layers[-1].bias.data[:] = torch.arange(9.0)
        logits = model.pyramids([x])[0][0].class_logits
    torch.testing.assert_close(
        logits, torch.arange(9.0).view(3, 3, 1, 1).expand_as(logits), rtol=1e-4, atol=1e-4
    )


def test_the_memory_format_is_the_fast_one_only_where_it_is_safe():
    """A 1 x 1 convolution of stride 2 with fewer than 16 channels of input writes beyond its
    memory."""
    channels = "MODEL.DML.BACKBONE.CHANNELS"
    for first, expected in ((8, torch.contiguous_format), (16, torch.channels_last)):
        model = model_of(channels, [first, 20, 24, 28, 32])
        assert model.network.memory_format == expected
        images = model.preprocess_image([{"image": torch.zeros(3, 32, 64)}]).tensor
        assert images.is_contiguous(memory_format=expected)


def test_an_fpn_trains_only_the_level_that_is_read():
    backbone = model_of(*NETWORKS["fpn at stride 4"]).backbone
    trained = {name for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    outputs = {name.split(".")[0] for name in trained if name.startswith("fpn_output")}
    assert outputs == {"fpn_output2"}


def test_parts_are_built_in_one_line_without_a_config():
    shape = ShapeSpec(channels=3, stride=4)
    head = EmbeddingHead(shape, dim=2, num_convs=1, channels=4, norm="")
    embedding, distance_scale = head(torch.zeros(1, 3, 5, 6))
    assert embedding.shape == (1, 2, 5, 6)
    assert (distance_scale == 1).all()

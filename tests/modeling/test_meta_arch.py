"""The whole model: Detectron2's end-to-end expectations, and that it learns."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import PolygonMasks
from detectron2.utils.events import EventStorage

from dml_instance import add_dml_config
from toy_scenes import assert_is_instance_result, model_input, square_and_disc

LOSSES = {"loss_pair", "loss_seed", "loss_mask"}


def config(*overrides):
    cfg = get_cfg()
    add_dml_config(cfg)
    cfg.merge_from_list(
        [
            *(
                "MODEL.META_ARCHITECTURE",
                "DMLInstance",
                "MODEL.DEVICE",
                "cpu",
                "MODEL.MASK_ON",
                True,
            ),
            *("MODEL.BACKBONE.NAME", "build_slim_resnet_backbone", "MODEL.BACKBONE.FREEZE_AT", 0),
            *(
                "MODEL.RESNETS.NORM",
                "BN",
                "MODEL.RESNETS.OUT_FEATURES",
                ["stem", "res2", "res3", "res4", "res5"],
            ),
            *(
                "MODEL.DML.BACKBONE.CHANNELS",
                [8, 12, 16, 20, 24],
                "MODEL.DML.BACKBONE.BLOCKS",
                [1, 1, 1, 1],
            ),
            *("MODEL.DML.NUM_CLASSES", 2, "MODEL.DML.INPUT_NORMALIZATION", "image", *overrides),
        ]
    )
    return cfg


def model_of(*overrides):
    torch.manual_seed(0)
    return build_model(config(*overrides))


def empty(height, width):
    return model_input(
        np.full((height, width, 3), 90, np.uint8), np.zeros((0, height, width), bool), []
    )


def losses_of(model, batch):
    model.train()
    with EventStorage():
        losses = model(batch)
    total = sum(losses.values())
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    return {name: value.item() for name, value in losses.items()}


@pytest.mark.parametrize(
    "batch",
    [
        [model_input(*square_and_disc())],
        [empty(48, 64)],
        [model_input(*square_and_disc()), empty(48, 64)],
        [
            model_input(*square_and_disc(61, 97)),
            model_input(*square_and_disc(64, 75)),
            empty(33, 41),
        ],
        [{**empty(48, 64), "ignored": torch.ones(48, 64, dtype=torch.bool)}],
        [model_input(np.zeros((48, 64, 3), np.uint8), np.ones((1, 48, 64), bool), [1])],
    ],
    ids=[
        "objects",
        "no objects",
        "objects in some",
        "odd and different sizes",
        "all ignored",
        "no background",
    ],
)
@pytest.mark.parametrize("context", [-1, 32])
def test_training_gives_finite_losses_and_gradients(batch, context):
    losses = losses_of(model_of("MODEL.DML.CONTEXT", context), batch)
    assert set(losses) == LOSSES
    assert all(np.isfinite(value) for value in losses.values())


@pytest.mark.parametrize("context", [-1, 32])
def test_cells_of_an_object_that_leaves_no_background_are_not_taken_for_background(context):
    """All cells are one object and grow to all of it: certain of that, the network has nothing to lose."""
    model = model_of("MODEL.DML.CONTEXT", context, "MODEL.DML.SEED_LOSS.RAMP_END", 0.0)
    image, masks, classes = np.zeros((64, 96, 3), np.uint8), np.ones((1, 64, 96), bool), [1]
    batch = [model_input(image, masks, classes)]
    model.train()
    with EventStorage():
        predictions, sizes = model.predict_scales(batch)
        for prediction in predictions:
            prediction.embedding.data.zero_()
            prediction.class_logits.data[:] = torch.tensor([-20.0, -20.0, 20.0])[:, None, None]
        assert model.losses(predictions, sizes, batch)["loss_seed"].item() == pytest.approx(
            0, abs=1e-4
        )


@pytest.mark.parametrize("name", ["dml_R_18_FPN", "dml_slim_unet"])
def test_every_parameter_that_is_trained_gets_a_gradient(name):
    """DistributedDataParallel fails at the second step otherwise."""
    cfg = get_cfg()
    add_dml_config(cfg)
    cfg.merge_from_file(str(Path(__file__).parents[1] / "configs" / "Shapes" / f"{name}.yaml"))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.DML.NUM_CLASSES", 2])
    model = build_model(cfg)
    losses_of(model, [model_input(*square_and_disc())])
    assert [
        n
        for n, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ] == []


def test_inference_gives_the_standard_result_at_the_requested_size():
    model = model_of("MODEL.DML.GROUPING.MIN_SEEDINESS", 0.0).eval()
    batch = [model_input(*square_and_disc(61, 97)), empty(33, 41)]
    batch[0]["height"], batch[0]["width"] = 122, 150
    with torch.no_grad():
        results = model(batch)
    assert_is_instance_result(results[0], 122, 150, 2)
    assert_is_instance_result(results[1], 33, 41, 2)
    assert len(results[0]["instances"]) > 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
@pytest.mark.parametrize("where", ["everywhere", "in one pixel"])
@pytest.mark.parametrize("normalization", ["image", "dataset"])
def test_inputs_that_are_not_finite_do_not_crash(value, where, normalization):
    model = model_of(
        "MODEL.DML.GROUPING.MIN_SEEDINESS", 0.0, "MODEL.DML.INPUT_NORMALIZATION", normalization
    ).eval()
    image = torch.zeros(3, 40, 50)
    image[(slice(None),) * 3 if where == "everywhere" else (0, 20, 20)] = value
    with torch.no_grad():
        result = model([{"image": image}])
    assert_is_instance_result(result[0], 40, 50, 2)


def test_polygons_train_like_bit_masks():
    batch = [model_input(*square_and_disc())]
    x = batch[0]["instances"]
    x.gt_masks = PolygonMasks(
        [
            [np.array([8, 10, 31, 10, 31, 35, 8, 35.0])],
            [np.array([52, 24, 80, 24, 80, 52, 52, 52.0])],
        ]
    )
    assert all(np.isfinite(value) for value in losses_of(model_of(), batch).values())


def test_objects_without_masks_are_named_as_the_problem():
    batch = [model_input(*square_and_disc())]
    batch[0]["instances"].remove("gt_masks")
    with pytest.raises(ValueError, match="MASK_ON"):
        losses_of(model_of(), batch)


@pytest.mark.parametrize("context", [-1, 32])
@pytest.mark.parametrize("scales", [[1.0], [0.5, 1.0]])
def test_what_is_ignored_gives_no_loss(context, scales):
    """The second object is a crowd: with its pixels ignored, what the network says of them does not matter."""
    model = model_of("MODEL.DML.CONTEXT", context, "MODEL.DML.PYRAMID_SCALES", scales)
    image, masks, classes = square_and_disc()
    x = {**model_input(image, masks[:1], classes[:1]), "ignored": torch.from_numpy(masks[1])}
    model.train()
    with EventStorage():
        images = [model.preprocess_image([x], scale) for scale in scales]
        predictions = [
            model.predict_pixels(image, scale) for image, scale in zip(images, scales, strict=True)
        ]
        losses = []
        for shift in (0.0, 3.0):
            for prediction, scale in zip(predictions, scales, strict=True):
                cells = F.interpolate(
                    x["ignored"][None, None].float(), scale_factor=scale / model.stride, mode="area"
                )
                height, width = cells.shape[-2:]  # without the padding
                prediction.embedding.data[..., :height, :width] += shift * (cells[0] > 0.9)
                prediction.class_logits.data[:, :, 0, :height, :width] += shift * (cells[0] > 0.9)
            torch.manual_seed(1)
            losses.append(model.losses(predictions, [image.image_sizes for image in images], [x]))
    for name in LOSSES:
        torch.testing.assert_close(losses[0][name], losses[1][name])
    del x["ignored"]
    torch.manual_seed(1)
    with EventStorage():
        judged = model.losses(predictions, [image.image_sizes for image in images], [x])
    assert (
        abs(
            judged["loss_seed"]
            + judged["loss_pair"]
            - losses[0]["loss_seed"]
            - losses[0]["loss_pair"]
        )
        > 1e-3
    )


RESNET_18 = ["MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64]
BACKBONES = {
    "resnet to stride 8, no decoder, paper form": [
        *("MODEL.BACKBONE.NAME", "build_resnet_backbone", *RESNET_18),
        *(
            "MODEL.RESNETS.OUT_FEATURES",
            ["res3"],
            "MODEL.DML.IN_FEATURES",
            ["res3"],
            "MODEL.DML.DECODER.CHANNELS",
            0,
        ),
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
        *(
            "MODEL.RESNETS.OUT_FEATURES",
            ["res2", "res4"],
            "MODEL.DML.IN_FEATURES",
            ["res2", "res4"],
        ),
    ],
    "pyramid": ["MODEL.DML.PYRAMID_SCALES", [0.5, 1.0, 2.0]],
    "one decoder for both heads": ["MODEL.DML.DECODER.SEED_STRIDE", 0],
    "seeds as fine as the embedding": ["MODEL.DML.DECODER.SEED_STRIDE", 2],
    "coordinates": ["MODEL.DML.EMBEDDING_HEAD.INPUT_COORDINATES", True],
    "without place": ["MODEL.DML.EMBEDDING_HEAD.COORDINATE_UNIT", 0.0],
    "one scale of distances": ["MODEL.DML.EMBEDDING_HEAD.DISTANCE_SCALE", False],
    "group norm": ["MODEL.DML.NORM", "GN"],
}


@pytest.mark.parametrize("overrides", BACKBONES.values(), ids=BACKBONES.keys())
def test_every_kind_of_network_trains_and_predicts(overrides):
    model = model_of(
        *overrides, "MODEL.DML.GROUPING.MIN_SEEDINESS", 0.0, "MODEL.DML.GROUPING.MAX_SEEDS", 20
    )
    batch = [model_input(*square_and_disc(61, 97)), empty(64, 80)]
    losses_of(model, batch)
    with torch.no_grad():
        for result, x in zip(model.eval()(batch), batch, strict=True):
            assert_is_instance_result(result, x["height"], x["width"], 2)


def test_scales_at_inference_are_those_asked_for():
    """A network that sees the image twice as large says what it says of the image that is twice as large."""
    model = model_of("MODEL.DML.GROUPING.MIN_SEEDINESS", 0.0, "MODEL.DML.TEST_SCALES", [2.0]).eval()
    x = model_input(*square_and_disc())
    larger = {
        "image": F.interpolate(x["image"][None].float(), scale_factor=2, mode="bilinear")[0],
        "height": 64,
        "width": 96,
    }
    with torch.no_grad():
        magnified = model([x])[0]["instances"]
        model.test_scales = (1.0,)
        expected, plain = (model([y])[0]["instances"] for y in (larger, x))
    torch.testing.assert_close(magnified.scores, expected.scores)
    assert torch.equal(magnified.pred_masks, expected.pred_masks)
    assert len(plain) != len(expected) or not torch.equal(plain.pred_masks, expected.pred_masks)


def test_a_batch_gives_what_each_image_gives_alone():
    model = model_of("MODEL.DML.GROUPING.MIN_SEEDINESS", 0.0).eval()
    batch = [model_input(*square_and_disc(64, 96)), model_input(*square_and_disc(64, 96))]
    with torch.no_grad():
        together = [r["instances"] for r in model(batch)]
        alone = [model([x])[0]["instances"] for x in batch]
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.scores, b.scores)
        assert torch.equal(a.pred_masks, b.pred_masks)


def test_autocast_to_bfloat16_trains():
    model = model_of().train()
    with EventStorage(), torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model([model_input(*square_and_disc())])
    sum(losses.values()).backward()
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.DML.NUM_CLASSES", 0),
        ("MODEL.DML.INPUT_NORMALIZATION", "none"),
        ("MODEL.DML.PAIR_LOSS.GROUP_SIZE", "none"),
        ("MODEL.DML.PAIR_LOSS.NORMALIZATION", "none"),
        ("MODEL.DML.SEED_LOSS.TARGET", "none"),
        ("MODEL.DML.GROUPING.CANDIDATES", "none"),
        ("MODEL.DML.GROUPING.DIVERSITY", "none"),
        ("MODEL.DML.GROUPING.MASK_RESOLUTION", "none"),
        ("MODEL.DML.GROUPING.SCORE", "none"),
        ("MODEL.DML.GROUPING.CLASS", "none"),
        ("MODEL.DML.GROUPING.PEAK_SIZE", 4),
        ("MODEL.DML.GROUPING.SMALL_MASK_CELLS", -1.0),
        ("MODEL.DML.DECODER.STRIDE", 3),
        ("MODEL.DML.IN_FEATURES", ["res9"]),
        ("MODEL.DML.PYRAMID_SCALES", [0.0]),
        ("MODEL.DML.TEST_SCALES", [-1.0]),
        ("MODEL.DML.BACKBONE.CHANNELS", [8, 16]),
        ("MODEL.DML.BACKBONE.CHANNELS", [8, 16, 16, 32, 64]),
    ],
)
def test_a_choice_that_does_not_exist_names_its_key(key, value):
    with pytest.raises(ValueError, match=key.replace(".", r"\.")):
        model_of(key, value)


def test_two_objects_are_learnt_from_one_image():
    model = model_of("MODEL.DML.EMBEDDING_HEAD.DIM", 4)
    batch = [model_input(*square_and_disc())]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    model.train()
    with EventStorage() as storage:
        for _ in range(60):
            loss = sum(model(batch).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            storage.step()
    model.eval()
    with torch.no_grad():
        instances = model(batch)[0]["instances"]
    instances = instances[instances.scores > 0.5]
    assert sorted(instances.pred_classes.tolist()) == [0, 1]
    truth = batch[0]["instances"].gt_masks.tensor.bool()
    for mask, index in zip(instances.pred_masks, instances.pred_classes.tolist(), strict=True):
        assert (mask & truth[index]).sum() / (mask | truth[index]).sum() > 0.8


def test_what_training_saw_in_pieces_is_bridged_from_the_checkpoint():
    gap = ("MODEL.DML.GROUPING.CONNECT_GAP", 8)
    trained, image = model_of(*gap), np.zeros((48, 64, 3), np.uint8)
    masks = np.zeros((2, 48, 64), bool)
    masks[0, 4:20, 4:20], masks[1, 30:40, 4:20], masks[1, 30:40, 30:40] = True, True, True
    losses_of(trained, [model_input(image, masks.repeat(20, axis=0), [0] * 20 + [1] * 20)] * 2)
    loaded = model_of(*gap)
    loaded.load_state_dict(trained.state_dict())
    assert loaded.pieces.num_objects.tolist() == [40, 40]
    given = []
    loaded.grouping = lambda *arguments: given.append(arguments[-1])
    loaded.eval()([{"image": torch.zeros(3, 48, 64)}])
    assert given[0].tolist() == [False, True]


@pytest.mark.parametrize(
    "overrides", [("CONNECT_GAP", 0), ("CONNECT_GAP", -1), ("MIN_SHARE_APART", 0.0)]
)
def test_pieces_are_counted_only_where_the_count_decides_something(overrides):
    key, value = overrides
    gap = () if key == "CONNECT_GAP" else ("MODEL.DML.GROUPING.CONNECT_GAP", 8)
    model = model_of(*gap, f"MODEL.DML.GROUPING.{key}", value)
    assert model.pieces is None
    assert not any(name.startswith("pieces") for name in model.state_dict())

"""The whole model: Detectron2's end-to-end expectations, and that it learns."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from detectron2.utils.events import EventStorage

from dml_instance.grouping.growing import grow_shifted_masks
from dml_instance.modeling.test_time import InferenceRules
from dml_instance.schedule import put_schedule_iteration
from toy_models import LOSSES, empty, losses_of, model_of
from toy_scenes import assert_is_instance_result, model_input, square_and_disc

ALL_SEEDS = ("MODEL.DML.GROUPING.MIN_SEEDINESS", 0.0)


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


def test_inference_gives_the_standard_result_at_the_requested_size():
    model = model_of(*ALL_SEEDS).eval()
    batch = [model_input(*square_and_disc(61, 97)), empty(33, 41)]
    batch[0]["height"], batch[0]["width"] = 122, 150
    with torch.no_grad():
        results = model(batch)
    assert_is_instance_result(results[0], 122, 150, 2)
    assert_is_instance_result(results[1], 33, 41, 2)
    assert len(results[0]["instances"]) > 0
    assert model([]) == []


def test_without_height_and_width_the_result_is_as_large_as_the_image():
    x = {"image": model_input(*square_and_disc(61, 97))["image"]}
    with torch.no_grad():
        (result,) = model_of(*ALL_SEEDS).eval()([x])
    assert_is_instance_result(result, 61, 97, 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
@pytest.mark.parametrize("where", ["everywhere", "in one pixel"])
@pytest.mark.parametrize("normalization", ["image", "dataset"])
def test_inputs_that_are_not_finite_do_not_crash(value, where, normalization):
    model = model_of(*ALL_SEEDS, "MODEL.DML.INPUT_NORMALIZATION", normalization).eval()
    image = torch.zeros(3, 40, 50)
    image[(slice(None),) * 3 if where == "everywhere" else (0, 20, 20)] = value
    with torch.no_grad():
        result = model([{"image": image}])
    assert_is_instance_result(result[0], 40, 50, 2)


def test_images_are_normalised_by_the_data_set_or_by_themselves():
    numbers = ("MODEL.PIXEL_MEAN", [10.0, 20.0, 30.0], "MODEL.PIXEL_STD", [1.0, 2.0, 4.0])
    image = torch.randint(0, 255, (3, 32, 64), dtype=torch.uint8)
    pixels = image.numpy().astype(float)
    for normalization, mean, deviation in (
        ("dataset", np.array([10, 20, 30]), np.array([1, 2, 4])),
        ("image", pixels.mean((1, 2)), pixels.std((1, 2))),
    ):
        model = model_of(*numbers, "MODEL.DML.INPUT_NORMALIZATION", normalization)
        got = model.preprocess_image([{"image": image}]).tensor[0]
        expected = (pixels - mean[:, None, None]) / deviation[:, None, None]
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_a_flat_image_is_normalised_to_zero():
    got = model_of().preprocess_image([{"image": torch.full((3, 32, 32), 7)}]).tensor
    assert (got == 0).all()


def test_scales_at_inference_are_those_asked_for():
    """A network that sees the image twice as large says what it says of the image that is twice
    as large."""
    model = model_of(*ALL_SEEDS, "MODEL.DML.TEST_SCALES", [2.0]).eval()
    assert model.inference_rules.scales == (2.0,)
    x = model_input(*square_and_disc())
    larger = {
        "image": F.interpolate(x["image"][None].float(), scale_factor=2, mode="bilinear")[0],
        "height": 64,
        "width": 96,
    }
    with torch.no_grad():
        magnified = model([x])[0]["instances"]
        model.inference_rules = InferenceRules()
        expected, plain = (model([y])[0]["instances"] for y in (larger, x))
    torch.testing.assert_close(magnified.scores, expected.scores)
    assert torch.equal(magnified.pred_masks, expected.pred_masks)
    assert len(plain) != len(expected) or not torch.equal(plain.pred_masks, expected.pred_masks)


def test_training_sees_the_scales_of_training_and_inference_those_of_its_own():
    scales = ("MODEL.DML.PYRAMID_SCALES", [0.5, 1.0], "MODEL.DML.TEST_SCALES", [1.0, 1.5, 2.0])
    x = model_input(*square_and_disc(64, 96))
    for model, expected in (
        (model_of(*scales).train(), {0.5: (32, 48), 1.0: (64, 96)}),
        (model_of(*scales).eval(), {1.0: (64, 96), 1.5: (96, 144), 2.0: (128, 192)}),
        (model_of(*scales[:2]).eval(), {0.5: (32, 48), 1.0: (64, 96)}),
    ):
        with torch.no_grad():
            (pyramid,) = model.pyramids([x])
        assert {maps.scale: maps.image_size for maps in pyramid} == expected
        for maps in pyramid:
            assert maps.embedding.shape[1:] == tuple(side // 2 for side in maps.image_size)


def test_a_batch_gives_what_each_image_gives_alone():
    model = model_of(*ALL_SEEDS).eval()
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


def test_the_iteration_of_the_storage_sets_lambda_and_is_logged_with_the_mean_iou():
    ramp = ("SOLVER.MAX_ITER", 10, "MODEL.DML.SEED_LOSS.RAMP_END", 1.0)
    model, batch = model_of(*ramp).train(), [model_input(*square_and_disc())]
    for start, told, expected in ((0, None, 0.1), (4, None, 0.5), (0, 6, 0.7)):
        with EventStorage(start) as storage:
            if told is not None:
                put_schedule_iteration(storage, told)
            model(batch)
            assert storage.latest()["dml/seed_lambda"][0] == pytest.approx(expected)
            assert 0 <= storage.latest()["dml/target_iou"][0] <= 1
            assert storage.latest()["dml/distance_apart"][0] > 0


def test_what_a_batch_has_no_pairs_of_is_not_logged():
    nothing = np.zeros((0, 64, 96), bool), np.zeros(0, int)
    model, batch = model_of().train(), [model_input(square_and_disc()[0], *nothing)]
    with EventStorage() as storage:
        model(batch)
        logged = {name for name in storage.latest() if name.startswith("dml/")}
    assert logged == {"dml/seed_lambda", "dml/target_iou", "dml/predicted_iou"}


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
        ("MODEL.DML.GROUPING.CLASS_BY", "none"),
        ("MODEL.DML.GROUPING.PEAK_RADIUS", 0),
        ("MODEL.DML.GROUPING.SMALL_MASK_CELLS", -1.0),
        ("MODEL.DML.DECODER.STRIDE", 3),
        ("MODEL.DML.DECODER.SEED_STRIDE", 1),
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


def test_what_training_saw_in_pieces_is_bridged_from_the_checkpoint(monkeypatch):
    gap = ("MODEL.DML.GROUPING.CONNECT_GAP", 8)
    trained, image = model_of(*gap), np.zeros((48, 64, 3), np.uint8)
    masks = np.zeros((2, 48, 64), bool)
    masks[0, 4:20, 4:20], masks[1, 30:40, 4:20], masks[1, 30:40, 30:40] = True, True, True
    losses_of(trained, [model_input(image, masks.repeat(20, axis=0), [0] * 20 + [1] * 20)] * 2)
    loaded = model_of(*gap)
    loaded.load_state_dict(trained.state_dict())
    assert loaded.grouping.pieces.num_objects.tolist() == [40, 40]
    assert loaded.grouping.pieces.in_pieces().tolist() == [False, True]
    given = []

    def spy(grids, growing, *rules):
        given.append(growing)
        return grow_shifted_masks(grids, growing, *rules)

    monkeypatch.setattr("dml_instance.grouping.grouping.grow_shifted_masks", spy)
    x = {"image": torch.randint(0, 255, (3, 48, 64))}
    with torch.no_grad():
        loaded.eval()([x])
        seeds = loaded.grouping.seeds(loaded.pyramids([x])[0])
    class_at = dict(
        zip(map(tuple, seeds.position.tolist()), seeds.pred_class.tolist(), strict=True)
    )
    assert set(class_at.values()) == {0, 1}
    # 8 pixels are 4 cells.
    gaps = zip(given[0].position.tolist(), given[0].gap.tolist(), strict=True)
    assert all(bridged == 4 * class_at[tuple(position)] for position, bridged in gaps)


@pytest.mark.parametrize(
    "overrides", [("CONNECT_GAP", 0), ("CONNECT_GAP", -1), ("MIN_SHARE_APART", 0.0)]
)
def test_pieces_are_counted_only_where_the_count_decides_something(overrides):
    key, value = overrides
    gap = () if key == "CONNECT_GAP" else ("MODEL.DML.GROUPING.CONNECT_GAP", 8)
    model = model_of(*gap, f"MODEL.DML.GROUPING.{key}", value)
    assert model.grouping.pieces is None
    assert not any("pieces" in name for name in model.state_dict())

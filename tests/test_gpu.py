"""What only a CUDA device can show: training, half precision and inference on one, in a minute."""

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from torch import nn

from toy_models import LOSSES, config, empty
from toy_scenes import assert_is_instance_result, model_input, square_and_disc

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]

DEVICE = "cuda"
ALL_SEEDS = ("MODEL.DML.GROUPING.MIN_SEEDINESS", 0.0)


def model_of(*overrides, device=DEVICE):
    torch.manual_seed(0)
    return build_model(config("MODEL.DEVICE", device, *overrides))


def scenes():
    return [model_input(*square_and_disc(64, 96)), model_input(*square_and_disc(61, 97))]


def train(model, batch, steps, dtype=None):
    """Losses of each step; with a scaler of gradients where half precision needs one."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    scaler = torch.amp.GradScaler(DEVICE, init_scale=2.0**8, enabled=dtype == torch.float16)
    history = []
    with EventStorage() as storage:
        for _ in range(steps):
            with torch.autocast(DEVICE, dtype or torch.float32, enabled=dtype is not None):
                losses = model.train()(batch)
            total = sum(losses.values())
            optimizer.zero_grad()
            scaler.scale(total).backward()
            scaler.step(optimizer)
            scaler.update()
            storage.step()
            history.append({name: value.item() for name, value in losses.items()})
    return history


@pytest.mark.parametrize("context", [-1, 32])
@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16], ids=str)
def test_training_steps_are_finite(dtype, context):
    model = model_of("MODEL.DML.CONTEXT", context)
    history = train(model, [*scenes(), empty(48, 64)], 4, dtype)
    assert all(set(losses) == LOSSES for losses in history)
    assert all(np.isfinite(value) for losses in history for value in losses.values())
    for name, parameter in model.named_parameters():
        assert parameter.device.type == DEVICE
        assert parameter.isfinite().all(), name


@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16], ids=str)
def test_two_objects_are_learnt_from_one_image(dtype):
    model, batch = model_of("MODEL.DML.EMBEDDING_HEAD.DIM", 4), scenes()[:1]
    train(model, batch, 60, dtype)
    with torch.no_grad(), torch.autocast(DEVICE, dtype or torch.float32, enabled=dtype is not None):
        (result,) = model.eval()(batch)
    assert_is_instance_result(result, 64, 96, 2)
    instances = result["instances"]
    assert instances.pred_masks.device.type == DEVICE
    instances = instances[instances.scores > 0.5].to("cpu")
    assert sorted(instances.pred_classes.tolist()) == [0, 1]
    truth = batch[0]["instances"].gt_masks.tensor.bool()
    for mask, index in zip(instances.pred_masks, instances.pred_classes.tolist(), strict=True):
        assert (mask & truth[index]).sum() / (mask | truth[index]).sum() > 0.7


def test_more_cells_than_half_precision_can_count_are_judged_right():
    """600 x 600 pixels are 300 x 300 cells, compared as a whole."""
    image = np.zeros((600, 600, 3), np.uint8)
    x = model_input(image, np.ones((1, 600, 600), bool), [1])
    for dtype in (torch.float16, torch.bfloat16):
        (losses,) = train(model_of("MODEL.DML.CONTEXT", -1), [x], 1, dtype)
        assert all(np.isfinite(value) for value in losses.values())


def test_a_batch_of_images_gives_the_standard_result():
    model, batch = model_of(*ALL_SEEDS).eval(), [*scenes(), empty(33, 41)]
    with torch.no_grad():
        for result, x in zip(model(batch), batch, strict=True):
            assert_is_instance_result(result, x["height"], x["width"], 2)
            assert result["instances"].scores.device.type == DEVICE


def test_a_batch_is_grouped_in_threads_in_the_stream_that_its_maps_are_made_in(monkeypatch):
    model, batch = model_of(*ALL_SEEDS).eval(), scenes() * 8
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    with torch.no_grad(), torch.cuda.stream(torch.cuda.Stream()):
        pyramids = model.pyramids(batch)
        # First in threads: those that do not wait for the maps find others.
        results, expected = (model.inference(pyramids, batch, threads=n) for n in (None, 1))
    for result, one in zip(results, expected, strict=True):
        for name in ("pred_masks", "scores", "pred_classes"):
            assert torch.equal(result["instances"].get(name), one["instances"].get(name)), name


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("MODEL.DML.TEST_SCALES", [1.5]),
        ("MODEL.DML.TEST_AUGMENTATIONS", 4),
        ("MODEL.DML.TILES.SIZE", 64, "MODEL.DML.TILES.OVERLAP", 32),
    ],
)
def test_the_maps_are_those_of_the_cpu(overrides, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    model, x = model_of(*overrides).eval(), scenes()[0]
    on_cpu = model_of(*overrides, device="cpu").eval()
    on_cpu.load_state_dict(model.state_dict())
    with torch.no_grad():
        (found,), (expected,) = (m.pyramids([x]) for m in (model, on_cpu))
    for one, other in zip(found, expected, strict=True):
        for name in ("embedding", "distance_scale", "class_logits"):
            assert getattr(one, name).device.type == DEVICE
            torch.testing.assert_close(
                getattr(one, name).cpu(), getattr(other, name), rtol=1e-3, atol=1e-3
            )


def test_what_training_saw_is_counted_on_the_device_and_moves_with_the_model():
    model = model_of("MODEL.DML.GROUPING.CONNECT_GAP", 8)
    train(model, scenes(), 1)
    assert isinstance(model.grouping.pieces, nn.Module)
    assert model.grouping.pieces.num_objects.device.type == DEVICE
    assert model.to("cpu").grouping.pieces.num_objects.tolist() == [2, 2]

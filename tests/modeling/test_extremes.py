"""Losses and gradients stay finite whatever images, objects and embeddings are like, in every
precision that a training has on a CPU."""

import contextlib

import numpy as np
import pytest
import torch
from detectron2.utils.events import EventStorage

from dml_instance.modeling.criterion import (
    CriterionRules,
    DMLCriterion,
    MaskLossRules,
    PairLossRules,
    SeedLossRules,
)
from dml_instance.modeling.ground_truth import GroundTruth
from dml_instance.modeling.structures import ImageMaps
from dml_instance.object_masks import ObjectMasks
from toy_models import LOSSES, model_of
from toy_scenes import model_input

SIZE = (40, 48)
PRECISIONS = [None, torch.bfloat16, torch.float16]


def computing_in(dtype):
    return contextlib.nullcontext() if dtype is None else torch.autocast("cpu", dtype)


def noise():
    return np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)


def blocks(rows, columns, height, width):
    """A grid of equal objects."""
    masks = np.zeros((rows * columns, *SIZE), bool)
    for number, mask in enumerate(masks):
        top, left = (number // columns) * SIZE[0] // rows, (number % columns) * SIZE[1] // columns
        mask[top : top + height, left : left + width] = True
    return masks


SCENES = {
    "one-pixel objects": (noise(), blocks(4, 5, 1, 1)),
    "one object of one pixel": (noise(), blocks(1, 1, 1, 1)),
    "an object that is the whole image": (noise(), np.ones((1, *SIZE), bool)),
    "two objects that are the whole image": (noise(), np.ones((2, *SIZE), bool)),
    "an object without pixels": (noise(), np.zeros((1, *SIZE), bool)),
    "1,000 objects": (noise(), blocks(25, 40, 1, 1)),
    "background only": (noise(), np.zeros((0, *SIZE), bool)),
    "black": (np.zeros((*SIZE, 3), np.uint8), blocks(2, 2, 15, 15)),
    "white": (np.full((*SIZE, 3), 255, np.uint8), blocks(2, 2, 15, 15)),
    "black background only": (np.zeros((*SIZE, 3), np.uint8), np.zeros((0, *SIZE), bool)),
}


@pytest.fixture(scope="module")
def models():
    """Small ones: a processor takes its time for float16."""
    small = {
        "MODEL.DML.DECODER.CHANNELS": 8,
        "MODEL.DML.DECODER.STRIDE": 4,
        "MODEL.DML.EMBEDDING_HEAD.CHANNELS": 8,
        "MODEL.DML.SEED_HEAD.CHANNELS": 8,
        "MODEL.DML.SEED_HEAD.DILATIONS": [1],
        "MODEL.DML.SEED_HEAD.RADII": [8],
    }
    options = [part for pair in small.items() for part in pair]
    return {c: model_of(*options, "MODEL.DML.CONTEXT", c).train() for c in (-1, 16)}


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("context", [-1, 16])
@pytest.mark.parametrize("name", SCENES)
def test_whatever_an_image_shows_a_step_is_finite(models, name, context, dtype):
    image, masks = SCENES[name]
    model = models[context]
    model.zero_grad()
    batch = [model_input(image, masks, np.arange(len(masks)) % 2)]
    with EventStorage(), computing_in(dtype):
        losses = model(batch)
    assert set(losses) == LOSSES
    assert all(value.isfinite() and value >= 0 for value in losses.values()), losses
    sum(losses.values()).backward()
    for parameter, weight in model.named_parameters():
        assert weight.grad is None or weight.grad.isfinite().all(), parameter


# Side of the embedding's values; 60,000 is nearly all that float16 can hold.
SPREADS = [0.0, 1e-20, 1.0, 6e4]
RULES = {
    "default": {},
    "paper": {"normalization": "joint", "group_size": "area", "target": "class"},
    "partly labelled": {"labelled_share": 0.01},
}


def criterion_of(context, **choices):
    pair = {k: v for k, v in choices.items() if k in ("normalization", "group_size")}
    seed = {k: v for k, v in choices.items() if k not in pair}
    rules = CriterionRules(
        PairLossRules(**pair), MaskLossRules(), SeedLossRules(ramp_end=0.0, **seed)
    )
    return DMLCriterion(rules, taus=(0.25, 0.5, 0.75), context=context, max_iter=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("logit", [0.0, 1e4])
def test_whatever_the_maps_are_like_losses_and_gradients_are_finite(spread, logit, rules, dtype):
    """Constant ones, zero and huge distances, a head that is sure of the wrong thing."""
    torch.manual_seed(0)
    masks = torch.from_numpy(blocks(1, 2, 20, 20))
    truth = GroundTruth(
        ObjectMasks.of(masks), torch.tensor([0, 1]), torch.zeros(SIZE, dtype=torch.bool)
    )
    leaves = {
        "embedding": (torch.rand(16, 20, 24).sub(0.5).sign() * spread).to(dtype),
        "distance_scale": torch.rand(20, 24) + 0.1,  # always float32
        "class_logits": (torch.randn(3, 3, 20, 24).sign() * logit).to(dtype),
    }
    for leaf in leaves.values():
        leaf.requires_grad_()
    for context in (-1, 8):
        maps = ImageMaps(**leaves, stride=2, scale=1.0, image_size=SIZE)
        with computing_in(None if dtype == torch.float32 else dtype):
            losses, statistics = criterion_of(context, **RULES[rules])([[maps]], [truth], 0)
        assert all(value.isfinite() for value in losses.values()), losses
        assert all(np.isfinite(float(value)) for value in statistics.values()), statistics
        sum(losses.values()).backward()
        for name, leaf in leaves.items():
            assert leaf.grad.isfinite().all(), name
            leaf.grad = None

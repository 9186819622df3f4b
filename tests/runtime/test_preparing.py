"""An image becomes the network's input as Detectron2's mapper and the model of torch make it."""

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from dml_instance.data import build_test_mapper
from dml_instance.export import image_rules
from dml_instance.runtime.preparing import network_input
from dml_instance.runtime.rules import ImageRules
from toy_models import config, model_of

FEW = ("MODEL.RESNETS.OUT_FEATURES", ["stem", "res2"], "MODEL.DML.SEED_HEAD.RADII", [])


@pytest.fixture(scope="module")
def model():
    return model_of(*FEW).eval()


def drawn(height, width, seed):
    """Smooth colours and edges, (height, width, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))
    edges = np.indices((height, width)).sum(0)[..., None] // 7 % 2 * np.array([40, 0, 90])
    return (smooth // 2 + edges).astype(np.uint8)


SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(0, 9))
FORMATS = st.sampled_from(["RGB", "BGR"])
RESIZED = st.sampled_from([(0, 1333), (24, 1333), (40, 50), (7, 9)])
FACTORS = st.tuples(st.sampled_from([1.0, 0.5, 1.25]), st.sampled_from([1.0, 0.5, 0.77, 1.25, 2.3]))


@settings(max_examples=30, deadline=None)
@given(SIZES, FORMATS, RESIZED, FACTORS, st.sampled_from(["image", "dataset"]))
@example((1, 3, 0), "RGB", (0, 1333), (0.5, 0.77), "image")
@example((33, 33, 0), "BGR", (24, 1333), (1.25, 1.25), "dataset")
def test_the_input_is_that_of_the_model_of_torch(
    model, tmp_path_factory, size, image_format, sides, factors, normalization
):
    short, long = sides
    assume(not short or max(size[:2]) <= 9 * min(size[:2]))  # no side of nothing
    cfg = config(
        *("INPUT.FORMAT", image_format, "INPUT.MIN_SIZE_TEST", short, "INPUT.MAX_SIZE_TEST", long),
        *("INPUT.SCALE_TEST", factors[0], "MODEL.DML.TEST_SCALES", [factors[1]]),
        *("MODEL.PIXEL_MEAN", [100.0, 110.5, 120.0], "MODEL.PIXEL_STD", [50.0, 1.0, 57.375]),
    )
    model.pixel_norm.of_each_image = normalization == "image"
    model.inference_rules = type(model.inference_rules).from_config(cfg)
    for name in ("mean", "std"):
        values = torch.tensor(getattr(cfg.MODEL, f"PIXEL_{name.upper()}"))
        getattr(model.pixel_norm, name).copy_(values.view(-1, 1, 1))
    pixels = drawn(*size)
    path = tmp_path_factory.getbasetemp() / "image.png"
    Image.fromarray(pixels).save(path)
    inputs = [build_test_mapper(cfg)({"file_name": str(path)})]
    expected = model.preprocess_image(inputs, factors[1])
    # Where one column is left, torch 2.14.1's averaging repeats the first row.
    assume(factors[1] >= 1 or expected.image_sizes[0][1] > 1)

    rules = image_rules(model, cfg)
    found, image_size = network_input(pixels, rules, model.network.size_divisibility)
    assert image_size == expected.image_sizes[0]
    assert found.shape == tuple(expected.tensor.shape) and found.dtype == np.float32
    # Of 255 grey levels and their deviation, at least 1; torch interpolates with fewer digits.
    np.testing.assert_allclose(found, expected.tensor.numpy(), atol=0.02)


def test_what_is_beyond_the_image_is_zero_and_the_image_stays_as_it_is():
    pixels = np.full((5, 7, 3), [10, 20, 40], np.uint8)
    before = pixels.copy()
    rules = ImageRules("BGR", 0, 1, 1.0, 1.0, "dataset", (1.0, 2.0, 3.0), (1.0, 2.0, 7.0))
    found, image_size = network_input(pixels, rules, 8)
    assert image_size == (5, 7) and found.shape == (1, 3, 8, 8)
    for channel, value in enumerate([39.0, 9.0, 1.0]):
        np.testing.assert_array_equal(found[0, channel, :5, :7], value)
    assert not found[..., 5:, :].any() and not found[..., 7:].any()
    np.testing.assert_array_equal(pixels, before)


def test_a_side_has_a_pixel_at_least():
    rules = ImageRules("RGB", 7, 9, 1.0, 1.0, "image", (0.0,) * 3, (1.0,) * 3)
    found, image_size = network_input(np.zeros((1, 40, 3), np.uint8), rules, 4)
    assert image_size == (1, 9) and found.shape == (1, 3, 4, 12)


def test_a_flat_image_becomes_zero():
    rules = ImageRules("RGB", 0, 1, 1.0, 1.0, "image", (0.0,) * 3, (1.0,) * 3)
    found, _ = network_input(np.full((4, 4, 3), 77, np.uint8), rules, 4)
    np.testing.assert_array_equal(found, 0)

"""Large images in tiles: every cell once, the same result as at once, nothing split or doubled
where tiles meet."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model

from dml_instance.data.datasets.shapes import draw_split
from dml_instance.mask_classes import is_likeliest
from dml_instance.modeling.structures import BatchMaps
from dml_instance.modeling.test_time import predict_tiles
from toy_models import config_of_file
from toy_scenes import crowd_of_cells


@pytest.mark.parametrize("stride", [1, 2, 8])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_tiles_are_put_where_they_belong(stride, layout):
    """What is said of a cell is the mean of its pixels: put together, the image at the stride
    again."""

    def predict(images, origin):
        grid = torch.nn.functional.avg_pool2d(images, stride)
        corner = torch.tensor(origin).view(1, 2, 1, 1).expand(len(images), 2, *grid.shape[-2:])
        embedding = torch.cat([grid, corner], 1).contiguous(memory_format=layout)
        return BatchMaps(embedding, grid[:, 0], grid[:, None], stride, scale=0.5)

    images = torch.randn(2, 3, 96, 160)
    whole = predict_tiles(predict, images, size=64, overlap=24, unit=16)
    expected = torch.nn.functional.avg_pool2d(images, stride)
    torch.testing.assert_close(whole.embedding[:, :3], expected)
    torch.testing.assert_close(whole.distance_scale, expected[:, 0])
    torch.testing.assert_close(whole.class_logits, expected[:, None])
    assert (whole.stride, whole.scale) == (stride, 0.5)
    assert whole.embedding.is_contiguous(memory_format=layout)
    corners = whole.embedding[0, 3:, :: 16 // stride, :: 16 // stride]
    assert corners[0].unique().tolist() == [0.0, 32.0]
    assert corners[1].unique().tolist() == [0.0, 32.0, 64.0, 96.0]


def test_what_fits_one_tile_is_seen_at_once():
    calls = []

    def predict(images, origin):
        calls.append((tuple(images.shape[-2:]), origin))
        return BatchMaps(images, images[:, 0], images[:, None], 1)

    predict_tiles(predict, torch.zeros(1, 3, 32, 64), size=64, overlap=16, unit=16)
    assert calls == [((32, 64), (0, 0))]


@pytest.fixture(scope="module")
def nuclei():
    options = ("MODEL.DML.NUM_CLASSES", 1, "TEST.DETECTIONS_PER_IMAGE", 1000)
    model = build_model(config_of_file("DSB2018/dml_efficientnet_lite0.yaml", *options)).eval()
    DetectionCheckpointer(model).load("dml://nuclei")
    return model


@torch.no_grad()
def instances(model, image, size, overlap):
    model.inference_rules = replace(model.inference_rules, tile_size=size, tile_overlap=overlap)
    return model([{"image": torch.from_numpy(image.transpose(2, 0, 1).copy())}])[0]["instances"]


def differing(model, image, size, overlap, least_score):
    """Of an image whole and in tiles: how many objects, and of each the best IoU with those of the
    other."""

    def masks_of(size, overlap):
        found = instances(model, image, size, overlap)
        found = found[(found.scores >= least_score) & is_likeliest(found)]
        return found.pred_masks.flatten(1).float()

    whole, tiled = masks_of(0, 0), masks_of(size, overlap)
    shared = whole @ tiled.T
    iou = shared / (whole.sum(1)[:, None] + tiled.sum(1)[None] - shared)
    return len(whole), len(tiled), torch.cat([iou.amax(dim=1), iou.amax(dim=0)])


@pytest.mark.parametrize("overlap", [192, 256])
def test_no_object_is_split_or_doubled_at_a_seam(nuclei, overlap):
    """A trained model on a crowd of cells, some of which lie on every seam. It looks further than a
    tile, so that outlines differ."""
    image = crowd_of_cells(448, 576, 32)
    whole, tiled, iou = differing(nuclei, image, 384, overlap, 0.5)
    assert whole == tiled == 14 * 18 and iou.min() >= 0.8


def test_tiles_have_the_same_masks_where_a_network_looks_less_far():
    """But for a few: which of two masks of nearly one score stays is a matter of the last digits,
    and there the two may differ."""
    model = build_model(
        config_of_file("Shapes/dml_slim_unet.yaml", "MODEL.DML.NUM_CLASSES", 6)
    ).eval()
    DetectionCheckpointer(model).load("dml://shapes")

    def differing_at(seed):
        drawn = draw_split("test", 6, seed=seed, size=160, difficulty=0.3)
        scenes = [scene.image for _, scene in drawn]
        image = np.vstack([np.hstack(scenes[:3]), np.hstack(scenes[3:])])
        return differing(model, image, 256, 192, 0.35)

    whole, tiled, iou = differing_at(11)  # without such a pair
    assert whole == tiled > 20 and iou.min() >= 0.95
    alike = []
    for seed in (6, 7, 8):
        whole, tiled, iou = differing_at(seed)
        assert abs(whole - tiled) <= 1 and whole > 20
        alike.append(iou)
    assert (torch.cat(alike) >= 0.95).float().mean() >= 0.95


@pytest.mark.parametrize("normalization", ["image", "dataset"])
@torch.no_grad()
def test_objects_found_in_windows_are_those_of_the_whole_maps(nuclei, normalization):
    """An image of odd sides, whose last tiles reach beyond it: resized tile by tile, and put
    together as arrays, it gives the masks of the image that is resized at once."""
    image = crowd_of_cells(301, 365, 32)
    rules = replace(nuclei.inference_rules, tile_size=256, tile_overlap=128)
    nuclei.inference_rules = rules
    nuclei.pixel_norm.of_each_image = normalization == "image"
    x = {"image": torch.from_numpy(image.transpose(2, 0, 1).copy()), "height": 290, "width": 380}
    expected, found = nuclei([x])[0]["instances"], nuclei.find(x)
    nuclei.pixel_norm.of_each_image = True
    assert len(found.scores) == len(expected) > 10
    np.testing.assert_allclose(found.scores, expected.scores.numpy(), atol=1e-4)
    assert np.array_equal(found.masks.boxes, expected.pred_boxes.tensor.numpy())
    whole = expected.pred_masks.numpy()
    differing = (found.masks.whole(290, 380) != whole).sum(axis=(1, 2))
    assert (differing <= 0.01 * whole.sum(axis=(1, 2))).all()
    rules = replace(rules, tile_size=0)
    nuclei.inference_rules = rules
    expected, found = nuclei([x])[0]["instances"], nuclei.find(x)
    assert np.array_equal(found.scores, expected.scores.numpy())
    assert np.array_equal(found.masks.whole(290, 380), expected.pred_masks.numpy())


def test_the_coordinates_of_a_tile_are_part_of_its_embedding():
    """A blank image, an untrained model: what tells cells apart are their coordinates, which must
    not start anew in a tile."""
    tiles = ("MODEL.DML.TILES.SIZE", 256, "MODEL.DML.TILES.OVERLAP", 128)
    options = ("MODEL.DML.NUM_CLASSES", 1, "MODEL.DML.TEST_SCALES", [1.0], *tiles)
    model = build_model(config_of_file("DSB2018/dml_slim_unet.yaml", *options)).eval()
    with torch.no_grad():
        (pyramid,) = model.pyramids([{"image": torch.zeros(3, 384, 384)}])
    unit = model.network.stride / model.network.embedding_head.coordinate_unit
    coordinates = pyramid[0].embedding[:2].numpy()
    np.testing.assert_allclose(np.diff(coordinates[0], axis=0), unit, atol=1e-4)
    np.testing.assert_allclose(np.diff(coordinates[1], axis=1), unit, atol=1e-4)

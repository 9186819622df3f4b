"""Large images in tiles: every cell once, the same result as at once, nothing split or doubled where tiles meet."""

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.timing.scenes import drawn_cells
from dml_instance.engine import Trainer, load_config, load_trained
from dml_instance.modeling.tiling import predict_tiles, tile_spans
from dml_instance.structures import PixelPredictions


@given(
    st.integers(1, 60), st.integers(1, 700), st.integers(0, 300), st.sampled_from([1, 2, 16, 32])
)
def test_spans_cover_every_pixel_once_and_know_their_surroundings(units, size, overlap, unit):
    length = units * unit
    overlap = min(overlap, size - 1)
    spans = tile_spans(length, size, overlap, unit)
    assert [span.first for span in spans] == [0, *(span.last for span in spans[:-1])] and spans[
        -1
    ].last == length
    largest = max(size // unit, 1) * unit
    for span in spans:
        assert 0 <= span.start <= span.first < span.last <= span.stop <= length
        assert span.start % unit == span.stop % unit == 0 and span.stop - span.start <= largest
        # Tiles move on by a unit at least; what is shared can be less only where tiles are that
        # small.
        known = min(overlap, largest - unit) // 2
        assert span.start == 0 or span.first - span.start >= known
        assert span.stop == length or span.stop - span.last >= known


@pytest.mark.parametrize("stride", [1, 2, 8])
def test_tiles_are_put_where_they_belong(stride):
    """The prediction of a cell is the mean of its pixels: put together, the image at the stride again."""

    def predict(images, origin):
        grid = torch.nn.functional.avg_pool2d(images, stride)
        corner = torch.tensor(origin).view(1, 2, 1, 1).expand(len(images), 2, *grid.shape[-2:])
        return PixelPredictions(torch.cat([grid, corner], 1), grid[:, 0], grid[:, None], stride)

    images = torch.randn(2, 3, 96, 160)
    whole = predict_tiles(predict, images, size=64, overlap=24, unit=16)
    expected = torch.nn.functional.avg_pool2d(images, stride)
    torch.testing.assert_close(whole.embedding[:, :3], expected)
    torch.testing.assert_close(whole.distance_scale, expected[:, 0])
    torch.testing.assert_close(whole.class_logits, expected[:, None])
    assert whole.stride == stride
    corners = whole.embedding[0, 3:, :: 16 // stride, :: 16 // stride]
    assert corners[0].unique().tolist() == [0.0, 32.0] and corners[1].unique().tolist() == [
        0.0,
        32.0,
        64.0,
        96.0,
    ]


@pytest.fixture(scope="module")
def loaded():
    options = ["TEST.DETECTIONS_PER_IMAGE", "1000", "DATASETS.TRAIN", "()", "DATASETS.TEST", "()"]
    options += ["MODEL.DML.NUM_CLASSES", "1"]
    return load_trained("configs/DSB2018/dml_slim_unet.yaml", "dml://nuclei", options)


@pytest.fixture
def model(loaded):
    return loaded[0]


@pytest.fixture
def cfg(loaded):
    return loaded[1]


@torch.no_grad()
def instances(model, image, size, overlap):
    model.tile_size, model.tile_overlap = size, overlap
    return model([{"image": torch.from_numpy(image.transpose(2, 0, 1).copy())}])[0]["instances"]


@pytest.mark.parametrize("overlap", [128, 256])
def test_no_object_is_split_or_doubled_at_a_seam(model, overlap):
    """A trained model on a crowd of cells, some of which lie on every seam."""
    image = drawn_cells(400, 560, 130)
    whole, tiled = (
        found.pred_masks[found.scores >= 0.2].flatten(1).float()
        for found in (instances(model, image, 0, 0), instances(model, image, 320, overlap))
    )
    assert len(whole) == len(tiled) > 130
    shared = whole @ tiled.T
    iou = shared / (whole.sum(1)[:, None] + tiled.sum(1)[None] - shared)
    assert iou.amax(dim=1).min() >= 0.95 and iou.amax(dim=0).min() >= 0.95


def test_the_place_of_a_tile_is_part_of_its_embedding(cfg):
    """A blank image, an untrained model: what tells cells apart is the place, which must not start anew in a tile."""
    model = build_model(cfg).eval()
    with torch.no_grad():
        model.tile_size, model.tile_overlap = 256, 128
        predictions, _ = model.predict_scales([{"image": torch.zeros(3, 512, 512)}])
    unit = model.stride / model.embedding_head.place_unit
    place = predictions[0].embedding[0, :2].numpy()
    np.testing.assert_allclose(np.diff(place[0], axis=0), unit, atol=1e-4)
    np.testing.assert_allclose(np.diff(place[1], axis=1), unit, atol=1e-4)


@pytest.mark.parametrize(("size", "overlap"), [(-1, 0), (128, 128), (128, -1)])
def test_tiles_that_cannot_be_are_refused(size, overlap):
    options = [
        "MODEL.DML.TILES.SIZE",
        str(size),
        "MODEL.DML.TILES.OVERLAP",
        str(overlap),
        "MODEL.DML.NUM_CLASSES",
        "1",
    ]
    with pytest.raises(ValueError, match="MODEL.DML.TILES"):
        Trainer.build_model(
            load_config("configs/DSB2018/dml_slim_unet.yaml", [*options, "DATASETS.TRAIN", "()"])
        )

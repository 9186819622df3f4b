"""Mirror images and transposed ones at inference: distances and probabilities are averaged, whatever lies where."""

import pytest
import torch
from detectron2.modeling import build_model
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dml_instance.engine import load_config
from dml_instance.modeling.views import VIEWS, predict_views
from dml_instance.structures import PixelPredictions

STRIDE = 2


@given(st.sampled_from(VIEWS[8]), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_a_view_is_undone_and_keeps_the_layout(view, height, width, channels_last):
    maps = torch.rand(2, 3, height, width)
    if channels_last:
        maps = maps.contiguous(memory_format=torch.channels_last)
    seen = view.of(maps)
    assert seen.shape[-2:] == ((width, height) if view.transposed else (height, width))
    assert torch.equal(view.undo(seen), maps)
    if channels_last:
        assert seen.is_contiguous(memory_format=torch.channels_last)
        assert view.undo(seen).is_contiguous(memory_format=torch.channels_last)


def test_all_views_differ_and_fewer_are_the_first_of_more():
    maps = torch.arange(9.0).view(3, 3)
    assert len({tuple(view.of(maps).flatten().tolist()) for view in VIEWS[8]}) == 8
    assert all(VIEWS[8][:count] == views and len(views) == count for count, views in VIEWS.items())


def place_dependent(images):
    """Predictions that depend on content and, unlike in any one view, on where a cell lies."""
    grid = nn.functional.avg_pool2d(images, STRIDE)
    rows = (
        torch.arange(grid.shape[-2])
        .view(1, 1, -1, 1)
        .expand(len(grid), 1, *grid.shape[-2:])
        .float()
    )
    columns = torch.arange(grid.shape[-1]).view(1, 1, 1, -1).expand_as(rows).float()
    scale = (0.3 * grid[:, 0] + 0.05 * rows[:, 0]).exp()
    logits = torch.stack([torch.zeros_like(grid[:, :1]), grid[:, 1:2] + 0.2 * columns], dim=2)
    return PixelPredictions(
        torch.cat([grid[:, :2], rows.square() / 9, columns], 1), scale, logits, STRIDE
    )


@pytest.mark.parametrize("count", VIEWS)
def test_distances_and_probabilities_are_averaged(count):
    torch.manual_seed(0)
    images = torch.randn(2, 3, 6, 10)
    found = predict_views(place_dependent, images, count)
    height, width = 3, 5
    assert found.embedding.shape == (2, 4 * count, height, width) and found.stride == STRIDE

    def cell_in(view, row, column):
        """Where a cell lies in a view, by the definition: mirrored axes run backwards, then the two are exchanged."""
        row = height - 1 - row if -2 in view.mirrored else row
        column = width - 1 - column if -1 in view.mirrored else column
        return (column, row) if view.transposed else (row, column)

    seen = [place_dependent(view.of(images)) for view in VIEWS[count]]
    for p, q in (((0, 0), (2, 4)), ((1, 3), (2, 0)), ((2, 2), (2, 3))):
        distances, scales, probabilities = [], [], []
        for view, prediction in zip(VIEWS[count], seen, strict=True):
            (row, column), (other_row, other_column) = cell_in(view, *p), cell_in(view, *q)
            e = prediction.embedding
            distances.append(
                (e[..., row, column] - e[..., other_row, other_column]).square().sum(dim=1)
            )
            scales.append(prediction.distance_scale[:, row, column].double().log())
            probabilities.append(prediction.class_logits[..., row, column].softmax(dim=2))
        e = found.embedding
        distance = (e[..., p[0], p[1]] - e[..., q[0], q[1]]).square().sum(dim=1)
        torch.testing.assert_close(distance, torch.stack(distances).mean(0))
        scale = found.distance_scale[:, p[0], p[1]]
        torch.testing.assert_close(scale, torch.stack(scales).mean(0).exp().float())
        probability = found.class_logits[..., p[0], p[1]].softmax(dim=2)
        torch.testing.assert_close(probability, torch.stack(probabilities).mean(0))


def built(config, *options):
    """A config and its model with random weights, for no data set."""
    no_data = [
        "MODEL.WEIGHTS",
        "",
        "DATASETS.TRAIN",
        "()",
        "DATASETS.TEST",
        "()",
        "MODEL.DML.NUM_CLASSES",
        "2",
    ]
    cfg = load_config(f"configs/DSB2018/{config}.yaml", [*no_data, *options])
    torch.manual_seed(0)
    return cfg, build_model(cfg).eval()


@pytest.fixture(scope="module")
def ours():
    return built("dml_slim_unet", "MODEL.DML.GROUPING.MIN_SEEDINESS", "0.0")[1]


@pytest.mark.parametrize("tile_size", [0, 64])
def test_the_network_says_the_same_of_every_view_of_an_image(ours, tile_size, monkeypatch):
    monkeypatch.setattr(ours, "test_views", 8)
    monkeypatch.setattr(ours, "tile_size", tile_size)
    monkeypatch.setattr(ours, "tile_overlap", 32 if tile_size else 0)
    image = torch.randint(
        0, 255, (3, 128, 96), dtype=torch.uint8
    )  # tiles meet in the middle, in each view

    def distances(view):
        with torch.no_grad():
            prediction = ours.predict_pixels(ours.preprocess_image([{"image": view.of(image)}]))
        embedding = view.undo(prediction.embedding)
        steps = [
            (embedding - embedding.roll(shift, dims=(-2, -1))).square().sum(dim=1)
            for shift in ((3, 1), (0, 7))
        ]
        return (
            *steps,
            view.undo(prediction.class_logits).softmax(dim=2),
            view.undo(prediction.distance_scale),
        )

    expected = distances(VIEWS[1][0])
    for view in VIEWS[8][1:]:
        for one, other in zip(distances(view), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_number_of_views_that_there_is_not_is_an_error():
    with pytest.raises(ValueError, match=r"TEST_AUGMENTATIONS is one of \[1, 2, 4, 8\], got 3"):
        built("dml_slim_unet", "MODEL.DML.TEST_AUGMENTATIONS", "3")

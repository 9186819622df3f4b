"""Mirror images and transposed ones at inference: distances and probabilities are averaged,
whatever lies where."""

from dataclasses import replace

import pytest
import torch
from detectron2.modeling import build_model
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dml_instance.modeling.structures import BatchMaps
from dml_instance.modeling.test_time import predict_augmented
from dml_instance.modeling.test_time.augmentation import SYMMETRIES
from toy_models import config

STRIDE = 2


@given(st.sampled_from(SYMMETRIES[8]), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_a_symmetry_is_undone_and_keeps_the_layout(symmetry, height, width, channels_last):
    maps = torch.rand(2, 3, height, width)
    if channels_last:
        maps = maps.contiguous(memory_format=torch.channels_last)
    seen = symmetry.of(maps)
    assert seen.shape[-2:] == ((width, height) if symmetry.transposed else (height, width))
    assert torch.equal(symmetry.undo(seen), maps)
    if channels_last:
        assert seen.is_contiguous(memory_format=torch.channels_last)
        assert symmetry.undo(seen).is_contiguous(memory_format=torch.channels_last)


def test_all_symmetries_differ_and_fewer_are_the_first_of_more():
    maps = torch.arange(9.0).view(3, 3)
    assert len({tuple(symmetry.of(maps).flatten().tolist()) for symmetry in SYMMETRIES[8]}) == 8
    assert all(
        SYMMETRIES[8][:count] == few and len(few) == count for count, few in SYMMETRIES.items()
    )


def position_dependent(images):
    """Maps that depend on content and, otherwise in each symmetry, on where a cell lies."""
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
    return BatchMaps(torch.cat([grid[:, :2], rows.square() / 9, columns], 1), scale, logits, STRIDE)


@pytest.mark.parametrize("count", SYMMETRIES)
def test_distances_and_probabilities_are_averaged(count):
    torch.manual_seed(0)
    images = torch.randn(2, 3, 6, 10)
    found = predict_augmented(position_dependent, images, count)
    height, width = 3, 5
    assert found.embedding.shape == (2, 4 * count, height, width) and found.stride == STRIDE

    def cell_in(symmetry, row, column):
        """Where a cell lies, by the definition: mirrored axes run backwards, then the two are
        exchanged."""
        row = height - 1 - row if -2 in symmetry.mirrored else row
        column = width - 1 - column if -1 in symmetry.mirrored else column
        return (column, row) if symmetry.transposed else (row, column)

    seen = [position_dependent(symmetry.of(images)) for symmetry in SYMMETRIES[count]]
    for p, q in (((0, 0), (2, 4)), ((1, 3), (2, 0)), ((2, 2), (2, 3))):
        distances, scales, probabilities = [], [], []
        for symmetry, maps in zip(SYMMETRIES[count], seen, strict=True):
            (row, column), (other_row, other_column) = cell_in(symmetry, *p), cell_in(symmetry, *q)
            e = maps.embedding
            distances.append(
                (e[..., row, column] - e[..., other_row, other_column]).square().sum(dim=1)
            )
            scales.append(maps.distance_scale[:, row, column].double().log())
            probabilities.append(maps.class_logits[..., row, column].softmax(dim=2))
        e = found.embedding
        distance = (e[..., p[0], p[1]] - e[..., q[0], q[1]]).square().sum(dim=1)
        torch.testing.assert_close(distance, torch.stack(distances).mean(0))
        scale = found.distance_scale[:, p[0], p[1]]
        torch.testing.assert_close(scale, torch.stack(scales).mean(0).exp().float())
        probability = found.class_logits[..., p[0], p[1]].softmax(dim=2)
        torch.testing.assert_close(probability, torch.stack(probabilities).mean(0))


@pytest.mark.parametrize("tile_size", [0, 64])
def test_the_network_says_the_same_of_every_symmetry_of_an_image(tile_size):
    torch.manual_seed(0)
    model = build_model(config("MODEL.DML.TEST_AUGMENTATIONS", 8)).eval()
    # Tiles meet in the middle, in each symmetry.
    tiles = {"tile_size": tile_size, "tile_overlap": 32 if tile_size else 0}
    model.inference_rules = replace(model.inference_rules, **tiles)
    image = torch.randint(0, 255, (3, 96, 64), dtype=torch.uint8)

    def distances(symmetry):
        seen = {"image": symmetry.of(image)}
        with torch.no_grad():
            maps = model.predict_maps(model.preprocess_image([seen]))
        embedding = symmetry.undo(maps.embedding)
        steps = [
            (embedding - embedding.roll(shift, dims=(-2, -1))).square().sum(dim=1)
            for shift in ((3, 1), (0, 7))
        ]
        return (
            *steps,
            symmetry.undo(maps.class_logits).softmax(dim=2),
            symmetry.undo(maps.distance_scale),
        )

    expected = distances(SYMMETRIES[1][0])
    for symmetry in SYMMETRIES[8][1:]:
        for one, other in zip(distances(symmetry), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_training_sees_each_image_as_it_is():
    model = build_model(config("MODEL.DML.TEST_AUGMENTATIONS", 8)).train()
    (pyramid,) = model.pyramids([{"image": torch.zeros(3, 64, 64)}])
    assert len(pyramid[0].embedding) == 16

import math

import pytest
import torch
from detectron2.layers import ShapeSpec

from dml_instance.modeling.heads import EmbeddingHead, SeedHead, offsets_on_circles
from toy_models import convolutions


def seed_head(**changes):
    torch.manual_seed(0)
    arguments = {"num_classes": 3, "num_taus": 2, "offsets": [(0, 1), (2, 0)], "dilations": [1, 2]}
    return SeedHead(
        ShapeSpec(channels=5), **{**arguments, "channels": 8, "norm": "BN", **changes}
    ).eval()


def test_offsets_lie_on_the_circles_without_repetition():
    offsets = offsets_on_circles([4, 16], directions=8, stride=2)
    assert len(offsets) == len(set(offsets)) == 16
    assert {(0, 2), (2, 0), (0, -2), (-2, 0), (0, 8), (8, 0), (6, 6)} <= set(offsets)
    for row, column in offsets:
        assert min(abs((row**2 + column**2) ** 0.5 - radius) for radius in (2, 8)) < 0.9


def test_offsets_shorter_than_half_a_cell_vanish_and_equal_ones_count_once():
    assert offsets_on_circles([2], directions=4, stride=8) == []
    assert len(offsets_on_circles([8], directions=64, stride=8)) == 8
    assert offsets_on_circles([], directions=8, stride=2) == []


@pytest.mark.parametrize("step", [1, 2])
def test_seed_head_sees_what_is_similar_in_the_embedding_but_sends_it_no_gradient(step):
    head = seed_head()
    features, embedding = (
        torch.randn(1, 5, 6, 8),
        torch.zeros(1, 4, 6 * step, 8 * step, requires_grad=True),
    )
    one = torch.ones(1, 6 * step, 8 * step)
    alike = head(features, embedding, one)
    assert alike.shape == (1, 2, 4, 6, 8)
    different = head(features, torch.randn(embedding.shape), one)
    assert not torch.allclose(alike, different)
    turned = head(features, embedding + 3, one)
    torch.testing.assert_close(alike, turned)
    alike.sum().backward()
    assert embedding.grad is None


def test_seed_head_without_offsets_reads_features_alone():
    head = seed_head(offsets=[], dilations=[])
    features, one = torch.randn(1, 5, 6, 8), torch.ones(1, 6, 8)
    assert torch.equal(
        head(features, torch.randn(1, 4, 6, 8), one), head(features, torch.randn(1, 4, 6, 8), one)
    )
    assert sum(1 for _ in head.parameters()) == 2


def test_dilations_set_how_far_the_seed_head_looks():
    for dilations in ([1], [1, 2, 4]):
        head = seed_head(offsets=[], dilations=dilations, norm="")
        features, one = torch.randn(1, 5, 1, 41), torch.ones(1, 1, 41)
        before = head(features, features, one)
        features[..., 20] += 1
        changed = (head(features, features, one) - before).abs().sum(dim=(0, 1, 2, 3)) > 0
        reach = sum(dilations)
        assert changed.nonzero().flatten().tolist() == list(range(20 - reach, 20 + reach + 1))


def embedding_head(**changes):
    torch.manual_seed(0)
    arguments = {"dim": 3, "num_convs": 0, "channels": 4, "norm": "BN"}
    return EmbeddingHead(ShapeSpec(channels=3, stride=2), **{**arguments, **changes})


def test_coordinates_tell_equal_features_apart():
    features = torch.ones(1, 3, 4, 4)
    assert embedding_head()(features)[0].flatten(2).std(dim=2).max() == 0
    assert embedding_head(input_coordinates=True)(features)[0].flatten(2).std(dim=2).min() > 0


def test_a_semi_convolutional_embedding_has_row_and_column_in_its_first_two_channels():
    features = torch.randn(2, 3, 4, 5)
    without, _ = embedding_head()(features)
    located, _ = embedding_head(coordinate_unit=8.0)(features)
    added = located - without
    # cells of 2 pixels, units of 8: a quarter a cell
    torch.testing.assert_close(added[:, 0], (torch.arange(4.0) / 4)[:, None].expand(2, 4, 5))
    torch.testing.assert_close(added[:, 1], (torch.arange(5.0) / 4).expand(2, 4, 5))
    assert (added[:, 2:] == 0).all()


def test_added_coordinates_keep_their_digits_under_autocast():
    features = torch.zeros(1, 3, 1, 600)
    with torch.autocast("cpu", torch.bfloat16):
        located, _ = embedding_head(coordinate_unit=16.0)(features)
    torch.testing.assert_close(located[0, 1, 0], torch.arange(600.0) / 8, rtol=0, atol=1e-5)


def test_distance_scale_is_one_unless_predicted_and_then_positive_and_finite():
    features = torch.randn(1, 3, 4, 4)
    embedding, scale = embedding_head()(features)
    assert embedding.shape == (1, 3, 4, 4)
    assert (scale == 1).all()
    embedding, scale = embedding_head(distance_scale=True)(features * 1e6)
    assert embedding.shape == (1, 3, 4, 4)
    assert scale.shape == (1, 4, 4)
    assert scale.isfinite().all()
    assert (scale > 0).all()
    assert scale.std() > 0


def test_the_distance_scale_is_bounded_on_both_sides():
    head = embedding_head(distance_scale=True)
    for value, expected in ((1e9, 8), (-1e9, -8), (1.5, 1.5)):
        head.layers[-1].weight.data.zero_()
        head.layers[-1].bias.data[-1] = value
        _, scale = head(torch.zeros(1, 3, 2, 2))
        torch.testing.assert_close(scale, torch.full((1, 2, 2), float(expected)).exp())


def test_coordinates_go_on_where_a_tile_starts():
    """A tile is given the pixel at which it lies; what it says is a part of what the whole says."""
    features = torch.randn(1, 3, 6, 8)
    for options in ({"coordinate_unit": 4.0}, {"input_coordinates": True}):
        head = embedding_head(**options, dim=2)
        whole, _ = head(features)
        tile, _ = head(features[..., 2:, 3:], (4, 6))
        torch.testing.assert_close(tile, whole[..., 2:, 3:])
        moved, _ = head(features[..., 2:, 3:])
        assert not torch.allclose(moved, tile)


def test_a_head_with_input_coordinates_sees_them_in_units_of_64_pixels():
    head = embedding_head(input_coordinates=True, dim=2)
    head.layers[-1].weight.data.zero_()
    head.layers[-1].weight.data[0, 3] = head.layers[-1].weight.data[1, 4] = 1
    rows, columns = head(torch.zeros(1, 3, 65, 97))[0][0]
    torch.testing.assert_close(rows[:, 0], torch.arange(65) / 32)
    torch.testing.assert_close(columns[0], torch.arange(97) / 32)


@pytest.mark.parametrize("num_convs", [0, 2])
def test_the_embedding_head_has_so_many_convolutions_before_its_predictor(num_convs):
    head = embedding_head(num_convs=num_convs, dim=7, channels=4)
    sizes = [(c.in_channels, c.out_channels, *c.kernel_size) for c in convolutions(head)]
    between = [(3, 4, 3, 3), (4, 4, 3, 3)][:num_convs]
    assert sizes == [*between, (4 if num_convs else 3, 7, 1, 1)]


def test_logits_of_the_seed_head_are_by_threshold_and_then_by_class():
    head = seed_head(offsets=[], dilations=[])
    head.layers[-1].weight.data.zero_()
    head.layers[-1].bias.data[:] = torch.arange(8.0)
    logits = head(torch.zeros(1, 5, 2, 3), torch.zeros(1, 4, 2, 3), torch.ones(1, 2, 3))
    assert logits[0, :, :, 0, 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_the_star_stands_behind_the_features_in_the_order_of_the_offsets():
    head = seed_head(dilations=[], num_taus=1, num_classes=1)
    head.layers[-1].weight.data.zero_()
    head.layers[-1].weight.data[0, 5] = head.layers[-1].weight.data[1, 6] = 1
    embedding = torch.zeros(1, 1, 4, 4)
    embedding[..., 2:, :] = 9.0  # rows 0 and 1 are one object, rows 2 and 3 another
    right, down = head(torch.randn(1, 5, 4, 4), embedding, torch.ones(1, 4, 4))[0, 0]
    assert right.tolist() == [[1, 1, 1, 0]] * 4
    torch.testing.assert_close(down, torch.zeros(4, 4))


def test_the_distance_scale_narrows_the_star():
    head = seed_head(dilations=[], offsets=[(0, 1)], num_taus=1, num_classes=1)
    head.layers[-1].weight.data.zero_()
    head.layers[-1].weight.data[0, 5] = 1
    embedding = torch.arange(4.0).expand(1, 1, 1, 4)
    for scale in (1.0, 3.0):
        logits = head(torch.zeros(1, 5, 1, 4), embedding, torch.full((1, 1, 4), scale))
        assert logits[0, 0, 0, 0, 0].item() == pytest.approx(2 / (1 + math.exp(scale)), rel=1e-5)

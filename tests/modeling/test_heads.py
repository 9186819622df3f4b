import pytest
import torch
from detectron2.layers import ShapeSpec

from dml_instance.modeling.heads import EmbeddingHead, SeedHead, offsets_on_circles


def seed_head(**changes):
    torch.manual_seed(0)
    arguments = {"num_classes": 3, "num_taus": 2, "offsets": [(0, 1), (2, 0)], "dilations": [1, 2]}
    return SeedHead(ShapeSpec(channels=5), **{**arguments, "channels": 8, "norm": "BN", **changes}).eval()


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

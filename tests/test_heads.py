import pytest
import torch

from dml_instance.modeling.heads import EmbeddingHead, SeedHead, offsets_on_circles


def seed_head(**changes):
    torch.manual_seed(0)
    arguments = {"num_classes": 3, "num_taus": 2, "offsets": [(0, 1), (2, 0)], "dilations": [1, 2]}
    return SeedHead(5, **{**arguments, "channels": 8, "norm": "BN", **changes}).eval()


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
    features, embedding = torch.randn(1, 5, 6, 8), torch.zeros(1, 4, 6 * step, 8 * step, requires_grad=True)
    alike = head(features, embedding)
    assert alike.shape == (1, 2, 4, 6, 8)
    different = head(features, torch.randn(embedding.shape))
    assert not torch.allclose(alike, different)
    turned = head(features, embedding + 3)
    torch.testing.assert_close(alike, turned)
    alike.sum().backward()
    assert embedding.grad is None


def test_seed_head_without_offsets_reads_features_alone():
    head = seed_head(offsets=[], dilations=[])
    features = torch.randn(1, 5, 6, 8)
    assert torch.equal(head(features, torch.randn(1, 4, 6, 8)), head(features, torch.randn(1, 4, 6, 8)))
    assert sum(1 for _ in head.parameters()) == 2


def test_dilations_set_how_far_the_seed_head_looks():
    for dilations in ([1], [1, 2, 4]):
        head = seed_head(offsets=[], dilations=dilations, norm="")
        features = torch.randn(1, 5, 1, 41)
        before = head(features, features)
        features[..., 20] += 1
        changed = (head(features, features) - before).abs().sum(dim=(0, 1, 2, 3)) > 0
        reach = sum(dilations)
        assert changed.nonzero().flatten().tolist() == list(range(20 - reach, 20 + reach + 1))


def test_coordinates_tell_equal_features_apart():
    heads = {}
    for coordinates in (False, True):
        torch.manual_seed(0)
        heads[coordinates] = EmbeddingHead(
            3, dim=2, stride=2, coordinates=coordinates, num_convs=0, channels=4, norm="BN"
        )
    features = torch.ones(1, 3, 4, 4)
    assert heads[False](features).flatten(2).std(dim=2).max() == 0
    assert heads[True](features).flatten(2).std(dim=2).min() > 0

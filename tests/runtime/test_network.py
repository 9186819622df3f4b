"""The graph of an exported model: what it is given, in tiles too, and what is refused."""

import numpy as np
import pytest

from dml_instance.runtime import load, read_rules
from dml_instance.runtime.network import Network
from toy_network import STRIDE, write_toy_model


def network_of(folder, **options):
    write_toy_model(str(folder), **options)
    return Network(str(folder), read_rules(str(folder)).network, threads=1)


def noise(height, width):
    return np.random.default_rng(0).standard_normal((1, 3, height, width)).astype(np.float32)


def cells_of(image):
    """(3, h, w), means of STRIDE x STRIDE pixels."""
    _, channels, height, width = image.shape
    blocks = image.reshape(channels, height // STRIDE, STRIDE, width // STRIDE, STRIDE)
    return blocks.mean(axis=(2, 4))


@pytest.mark.parametrize("options", [{}, {"tile_size": 48, "overlap": 0}])
def test_what_fits_is_seen_at_once(tmp_path, options):
    image = noise(48, 24)
    embedding, distance_scale, probability = network_of(tmp_path, **options).maps(image)
    expected = cells_of(image)
    np.testing.assert_allclose(embedding[:3], expected, atol=1e-5)
    assert not embedding[3:].any()
    np.testing.assert_array_equal(distance_scale, np.ones((24, 12)))
    np.testing.assert_allclose(probability[0, 0], 1 / (1 + np.exp(-expected[0])), atol=1e-5)


def test_tiles_are_put_where_they_belong(tmp_path):
    image = noise(56, 104)
    network = network_of(tmp_path, tile_size=48, overlap=16)
    embedding, distance_scale, probability = network.maps(image)
    expected = cells_of(image)
    np.testing.assert_allclose(embedding[:3], expected, atol=1e-5)
    np.testing.assert_allclose(probability[0, 0], 1 / (1 + np.exp(-expected[0])), atol=1e-5)
    assert distance_scale.shape == (28, 52) and (distance_scale == 1).all()
    # Each cell is told where its tile begins, which is never beyond it.
    rows, columns = embedding[3], embedding[4]
    assert set(np.unique(rows)) == {0, 16}
    assert len(np.unique(columns)) == 3 and columns.min() == 0
    assert (columns <= np.arange(52) * STRIDE).all() and (np.diff(columns) >= 0).all()


def test_a_network_that_asks_for_no_origin_is_given_none(tmp_path):
    image = noise(56, 104)
    network = network_of(tmp_path, inputs=("image",), tile_size=48, overlap=16)
    np.testing.assert_allclose(network.maps(image)[0][:3], cells_of(image), atol=1e-5)


@pytest.mark.parametrize("inputs", [("image", "origin", "scale"), ("image", "stride")])
def test_a_graph_that_asks_for_something_else_is_refused(tmp_path, inputs):
    told = r"network\.onnx takes .*, but should take image and origin and give embedding"
    with pytest.raises(ValueError, match=told):
        network_of(tmp_path, inputs=inputs)


def test_objects_of_a_graph_that_sees_nothing_but_colours(tmp_path):
    """Two squares on black; between four cells the corners of each are rounded."""
    write_toy_model(str(tmp_path))
    image = np.zeros((64, 72, 3), np.uint8)
    image[10:30, 12:32], image[36:56, 40:60] = (250, 0, 0), (255, 200, 0)
    result = load(tmp_path)(image)
    expected = np.full((20, 20), True)
    expected[[0, 0, -1, -1], [0, -1, 0, -1]] = False
    for mask in result.masks:
        np.testing.assert_array_equal(mask.pixels, expected)
    assert {(mask.row, mask.column) for mask in result.masks} == {(10, 12), (36, 40)}
    assert len(result) == 2

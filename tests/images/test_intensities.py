"""How intensities become 8 bits."""

import numpy as np
import pytest

from dml_instance.images import intensities, to_eight_bit
from toy_images import DEEP, DEEP_RGB, GREY, RGB, in_three, stretched


def test_eight_bits_keep_their_values_and_channels_become_three():
    assert (to_eight_bit(GREY) == in_three(GREY)).all()
    assert (to_eight_bit(GREY[..., None]) == in_three(GREY)).all()
    assert to_eight_bit(RGB) is RGB or (to_eight_bit(RGB) == RGB).all()
    two = to_eight_bit(RGB[..., :2])
    assert (two[..., :2] == RGB[..., :2]).all() and not two[..., 2].any()


@pytest.mark.parametrize("values_at_once", [2**22, 100, 1])
def test_others_are_stretched_together(monkeypatch, values_at_once):
    monkeypatch.setattr(intensities, "_BLOCK", values_at_once)
    assert (to_eight_bit(DEEP) == in_three(stretched(DEEP))).all()
    assert (to_eight_bit(DEEP_RGB) == stretched(DEEP_RGB)).all()


def test_the_ends_lie_at_the_percentiles():
    """Of 1,001 values, the second is the 0.1st percentile and the last but one the 99.9th."""
    values = np.arange(1001, dtype=np.int32) * 7 - 3000
    grey = to_eight_bit(values[None])[0, :, 0]
    assert (grey[[0, 1, 999, 1000]] == [0, 0, 255, 255]).all()
    assert grey[500] in (127, 128) and (np.diff(grey.astype(int)) >= 0).all()
    assert grey[3] > 0 and grey[997] < 255


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_black_and_left_out_of_the_percentiles(hole):
    values = np.linspace(5, 9, 1001)
    with_holes = np.concatenate([values, np.full(3000, hole)]).reshape(1, -1).astype(np.float32)
    expected = to_eight_bit(values.astype(np.float32)[None])
    assert (to_eight_bit(with_holes)[:, :1001] == expected).all()
    assert not to_eight_bit(with_holes)[:, 1001:].any()


@pytest.mark.parametrize("values", [7.0, np.nan, np.inf, 1e308])
@pytest.mark.filterwarnings("error")
def test_a_flat_image_is_black(values):
    assert not to_eight_bit(np.full((4, 5), values)).any()


@pytest.mark.filterwarnings("error")
def test_beyond_a_flat_image_is_white():
    values = np.full(3000, 7, np.uint16)
    values[0] = 8
    assert to_eight_bit(values[None])[0, :2, 0].tolist() == [255, 0]


@pytest.mark.filterwarnings("error")
def test_the_ends_of_the_range_of_floats_are_no_fault():
    values = np.array([[-1.7e308, 0, 1.7e308] * 20])
    assert set(to_eight_bit(values).flat) <= {0, 127, 128, 255}

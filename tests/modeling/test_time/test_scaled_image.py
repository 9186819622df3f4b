"""Windows of a resized image are those of the image resized at once."""

import pytest
import torch
import torch.nn.functional as F

from dml_instance.modeling.test_time import ScaledImage

SIZES = [((45, 61), (56, 76)), ((45, 61), (45, 61)), ((45, 61), (17, 23)), ((45, 61), (91, 30))]


def drawn(size):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, *size), generator=generator).to(torch.uint8)


@pytest.mark.parametrize(("size", "wanted"), SIZES)
def test_a_window_is_that_of_the_image_resized_at_once(size, wanted):
    image = drawn(size)
    expected = F.interpolate(
        image[None].float(), size=wanted, mode="bilinear", align_corners=False, antialias=True
    )[0]
    scaled = ScaledImage(image, wanted)
    for rows, columns in (
        (slice(0, wanted[0]), slice(0, wanted[1])),
        (slice(3, 16), slice(7, 20)),
        (slice(wanted[0] - 1, wanted[0]), slice(0, 1)),
    ):
        window = scaled.window(rows, columns)
        # torch keeps places in float32: of 61 pixels a thousandth of a grey level.
        torch.testing.assert_close(window, expected[:, rows, columns], atol=5e-3, rtol=0)
    torch.testing.assert_close(
        scaled.window(slice(3, 16), slice(7, 20)),
        scaled.window(slice(0, wanted[0]), slice(0, wanted[1]))[:, 3:16, 7:20],
    )


@pytest.mark.parametrize("at_once", [2**22, 200])
@pytest.mark.parametrize(("size", "wanted"), SIZES)
def test_mean_and_deviation_are_those_of_all_pixels(size, wanted, at_once, monkeypatch):
    monkeypatch.setattr("dml_instance.modeling.test_time.scaled_image._AT_ONCE", at_once)
    scaled = ScaledImage(drawn(size), wanted)
    every = scaled.window(slice(0, wanted[0]), slice(0, wanted[1])).double()
    mean, deviation = scaled.mean_and_deviation
    expected = every.mean(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(mean.double(), expected, atol=1e-4, rtol=1e-6)
    expected = every.std(dim=(1, 2), keepdim=True, correction=0)
    torch.testing.assert_close(deviation.double(), expected, atol=1e-4, rtol=1e-6)


def test_a_flat_image_has_no_deviation():
    mean, deviation = ScaledImage(torch.full((3, 9, 8), 7), (12, 10)).mean_and_deviation
    assert mean.flatten().tolist() == [7, 7, 7] and deviation.flatten().tolist() == [0, 0, 0]

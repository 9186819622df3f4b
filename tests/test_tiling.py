import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dml_instance.tiling import tile_spans, tiles_of


@given(
    st.integers(1, 60), st.integers(1, 700), st.integers(0, 300), st.sampled_from([1, 2, 16, 32])
)
def test_spans_cover_every_pixel_once_and_know_their_surroundings(units, size, overlap, unit):
    length = units * unit
    overlap = min(overlap, size - 1)
    spans = tile_spans(length, size, overlap, unit)
    assert [span.first for span in spans] == [0, *(span.last for span in spans[:-1])]
    assert spans[-1].last == length
    largest = max(size // unit, 1) * unit
    for span in spans:
        assert 0 <= span.start <= span.first < span.last <= span.stop <= length
        assert span.start % unit == span.stop % unit == 0 and span.stop - span.start <= largest
        # Tiles move on by a unit at least; what is shared can be less only where tiles are that
        # small.
        known = min(overlap, largest - unit) // 2
        assert span.start == 0 or span.first - span.start >= known
        assert span.stop == length or span.stop - span.last >= known


@given(
    *(st.integers(1, 12), st.integers(1, 12), st.integers(16, 100), st.integers(0, 60)),
    st.sampled_from([1, 2, 4, 8]),
)
def test_used_parts_of_tiles_put_the_image_together(rows, columns, size, overlap, stride):
    """Of an image whose pixels are numbered, seen at a stride."""
    unit = 8
    image = np.arange(rows * columns * unit**2).reshape(rows * unit, columns * unit)
    whole = np.full((rows * unit // stride, columns * unit // stride), -1)
    for tile in tiles_of(image.shape, size=size, overlap=min(overlap, size - 1), unit=unit):
        part = image[tile.pixels]
        assert part[0, 0] == image[tile.origin]
        assert (whole[tile.in_whole(stride)] == -1).all()
        whole[tile.in_whole(stride)] = part[::stride, ::stride][tile.in_part(stride)]
    np.testing.assert_array_equal(whole, image[::stride, ::stride])

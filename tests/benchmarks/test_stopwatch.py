"""Clocks, and the images that they are held against."""

import numpy as np
import pytest
from scipy import ndimage

from benchmarks.timing.measure import interleaved
from benchmarks.timing.scenes import drawn_cells
from benchmarks.timing.stopwatch import Stopwatch


def test_functions_are_called_in_turn_and_warm_ups_do_not_count():
    calls = []
    times = interleaved(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3, warm_up=2
    )
    assert calls == ["a", "b"] * 5
    assert set(times) == {"a", "b"}
    for figures in times.values():
        assert 0 <= figures["ms_low"] <= figures["ms"] <= figures["ms_high"]


def test_a_stopwatch_counts_inner_parts_once():
    watch = Stopwatch()
    ticks = iter([0.0, 1.0, 4.0, 6.0, 10.0, 11.0])

    def inner():
        return "done"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.timing.stopwatch.now_ms", lambda: next(ticks))
        with watch.part("outer"):
            assert watch.timed("inner", inner)() == "done"
        assert watch.take() == {"outer": 3.0, "inner": 3.0}
        assert next(watch.drawn("data", [7])) == 7
        assert watch.take() == {"data": 1.0}
    assert watch.take() == {} and list(watch.drawn("data", [])) == []


@pytest.mark.parametrize(
    ("size", "objects"), [((128, 128), 10), ((256, 300), 150), ((64, 400), 40)]
)
def test_cells_are_apart_and_as_many_as_wanted(size, objects):
    image = drawn_cells(*size, objects)
    assert image.shape == (*size, 3) and image.dtype == np.uint8
    _, count = ndimage.label(image[..., 0] > 70)
    assert objects <= count <= 2 * objects

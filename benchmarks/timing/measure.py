"""Times of several functions that take turns, and their quartiles."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .stopwatch import now_ms


def interleaved(
    functions: Mapping[str, Callable[[], Any]], repeats: int, warm_up: int = 2
) -> dict[str, dict[str, float]]:
    """Call functions in turn, again and again, so that a slow minute of the machine hits all alike.

    Args:
        functions: without arguments, by name.
        repeats: timed calls of each, >= 1.
        warm_up: calls of each before them that do not count, >= 0.

    Returns:
        For each name its ``quartiles``, in milliseconds, rounded to 0.01.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(warm_up + repeats):
        for name, function in functions.items():
            start = now_ms()
            function()
            if turn >= warm_up:
                times[name].append(now_ms() - start)
    return {
        name: {key: round(value, 2) for key, value in quartiles(ms).items()}
        for name, ms in times.items()
    }


def quartiles(ms: Sequence[float]) -> dict[str, float]:
    """``ms``, the median, and the quartiles ``ms_low`` and ``ms_high`` of some milliseconds."""
    low, median, high = np.quantile(ms, (0.25, 0.5, 0.75)).tolist()
    return {"ms_low": low, "ms": median, "ms_high": high}

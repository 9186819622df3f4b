"""Times of several things in one run, and the memory of one thing in a process of its own."""

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from ..engine import peak_memory_mib
from .stopwatch import now_ms


def interleaved(
    functions: Mapping[str, Callable[[], Any]], repeats: int, warm_up: int = 2
) -> dict[str, dict]:
    """Call functions in turn, again and again, so that the machine's mood hits all alike.

    Args:
        functions: without arguments, by name.
        repeats: timed calls of each; warm_up: calls before them that do not count.

    Returns:
        For each name its ``quartiles``.
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
    """``ms`` (the median), and the quartiles ``ms_low`` and ``ms_high``, of times in milliseconds."""
    return dict(
        zip(("ms_low", "ms", "ms_high"), np.quantile(ms, (0.25, 0.5, 0.75)).tolist(), strict=True)
    )


def in_fresh_process(function: Callable, *args: Any) -> Any:
    """What a function returns that is called in a new process, where it has not to share its memory
    with others.

    The process may start data loaders of its own, and one that dies raises BrokenProcessPool.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


class AddedMemory:
    """The most memory that a ``with`` block holds beyond what its process held at its start, in
    MiB, as ``mib``.

    Main memory: that of a GPU is not counted.

    Where the system cannot forget an earlier peak (all but Linux), only what goes beyond that peak
    is seen.
    """

    def __enter__(self):
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # the peak becomes what is held now
            self._peak = _peak_since_cleared
        except OSError:
            self._peak = peak_memory_mib
        self._before = self._peak()
        return self

    def __exit__(self, *_):
        self.mib = round(self._peak() - self._before, 1)


def _peak_since_cleared() -> float:
    """Peak memory in MiB by Linux's account."""
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 2**10

"""How much memory a process holds at most, and what a piece of code adds to it.

Main memory in MiB; that of a GPU is not counted.
"""

import contextlib
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

try:
    import resource
except ImportError:  # Windows has no such module
    resource = None


def peak_memory_mib() -> float:
    """The most memory that this process has held so far, without its data loaders.

    Returns:
        MiB; NaN on Windows, where Python's standard library does not say.
    """
    with contextlib.suppress(OSError):
        # Linux's other account, below, begins with what the process that started this one held.
        return _peak_since_cleared()
    if resource is None:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def in_fresh_process(function: Callable, *args: Any) -> Any:
    """What a function returns that is called in a new process, whose memory is its own.

    The process may start data loaders of its own.

    Args:
        function: importable by its name.
        args: what it takes, pickled.

    Raises:
        BrokenProcessPool: where the process dies; else whatever the function raises.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


class AddedMemory:
    """The most memory that a ``with`` block holds beyond what its process held at its start.

    Where the system cannot forget an earlier peak (all but Linux), only what goes beyond that peak
    is seen.

    Attributes:
        mib: after the block, MiB, >= 0; NaN where ``peak_memory_mib`` is.
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
        # Linux counts pages of each processor apart: sums may be off by some.
        self.mib = round(max(self._peak() - self._before, 0.0), 1)


def _peak_since_cleared() -> float:
    """Peak memory in MiB by Linux's account."""
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 2**10

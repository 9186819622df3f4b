"""How much memory a process holds at most, and what a piece of code adds to it.

Main memory in MiB; that of a GPU is not counted.
"""

import contextlib
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from dml_instance.memory import peak_memory_mib


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
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak becomes what is held now
        self._before = peak_memory_mib()
        return self

    def __exit__(self, *_):
        # Linux counts pages of each processor apart: sums may be off by some.
        self.mib = round(max(peak_memory_mib() - self._before, 0.0), 1)

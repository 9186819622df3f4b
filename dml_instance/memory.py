"""How much memory a process holds at most."""

import contextlib
import sys

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
        return _high_water_mark()
    if resource is None:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _high_water_mark() -> float:
    """Peak memory in MiB by Linux's account of the process."""
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 2**10

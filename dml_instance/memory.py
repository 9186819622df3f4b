"""How much memory a process holds at most."""

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
    if resource is None:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10

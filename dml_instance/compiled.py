"""Loops as machine code, by numba."""

from collections.abc import Callable

from numba import njit


def compiled(function: Callable, **options) -> Callable:
    """Machine code on the first call, kept for the next process wherever a folder for it can be
    written; it runs without Python's lock, so that threads run it side by side.

    numba notices when the file of a function changes, but not when that of another one that it
    calls does: compiled functions call those of their own file only.
    """
    try:
        return njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:
        # Numba's, where neither the package's folder nor the user's cache can be written.
        return njit(nogil=True, **options)(function)

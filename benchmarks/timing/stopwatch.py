"""Where the time of a piece of code goes, by wrapping the functions that it calls."""

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Milliseconds spent in named parts.

    What a part spends in another one counts for the inner one alone.
    """

    def __init__(self):
        self._ms: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    @contextmanager
    def part(self, name: str):
        """Count the ``with`` block for a part."""
        self._inner.append(0.0)
        start = now_ms()
        try:
            yield
        finally:
            spent = now_ms() - start
            self._ms[name] += spent - self._inner.pop()
            if self._inner:
                self._inner[-1] += spent

    def timed(self, name: str, function: Callable) -> Callable:
        """A function whose calls count for a part."""

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            with self.part(name):
                return function(*args, **kwargs)

        return wrapper

    def drawn(self, name: str, items: Iterable) -> Iterator:
        """Items of an iterable; waiting for each counts for a part."""
        iterator = iter(items)
        while True:
            with self.part(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def take(self) -> dict[str, float]:
        """Milliseconds of each part since the last call of this method.

        To be called outside of all parts.
        """
        taken, self._ms = dict(self._ms), defaultdict(float)
        return taken


def now_ms() -> float:
    """A clock that waits for what the GPU has been told to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1e3 * time.perf_counter()

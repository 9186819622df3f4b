"""Limits that images reach: a warning the first time, and a count of the images."""

import logging
import threading
from collections import Counter
from collections.abc import Iterable

_logger = logging.getLogger(__name__)


# Of the module: a lock of its own would keep a model from being copied.
_LOCK = threading.Lock()


class ReachedLimits:
    """By the config key that raises each. Threads may add at once."""

    def __init__(self):
        self._images: Counter[str] = Counter()

    def add(self, key: str, image_name: str, what: str) -> None:
        """An image has reached the limit of a key; ``what`` was left out, and what to do."""
        with _LOCK:
            self._images[key] += 1
            is_first = self._images[key] == 1
        if is_first:
            _logger.warning("%s: %s", image_name, what)

    def count(self, keys: Iterable[str]) -> None:
        """An image has reached these limits elsewhere, where it was said, too."""
        with _LOCK:
            self._images.update(keys)

    def reached_since(self, before: Counter[str]) -> frozenset[str]:
        """The keys of the limits that were reached since ``images`` was so."""
        return frozenset(self.images - before)

    @property
    def images(self) -> Counter[str]:
        """How many images have reached the limit of each key; a copy."""
        with _LOCK:
            return self._images.copy()

    @property
    def remarks(self) -> list[str]:
        """A line for each limit that was reached."""
        return [
            f"{key} was reached in {count} image{'s' if count > 1 else ''}"
            for key, count in self._images.items()
        ]


def limits_of(model: object) -> ReachedLimits:
    """Those of a model's grouping; of a model without one, limits that nothing has reached."""
    return getattr(getattr(model, "grouping", None), "limits", ReachedLimits())

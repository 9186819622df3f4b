"""Limits that images reach: a warning the first time, and a count of the images."""

import logging

from torch import nn

_logger = logging.getLogger(__name__)


class ReachedLimits:
    """By the config key that raises each."""

    def __init__(self):
        # Lists, and no counts: threads may append to them at once.
        self._images: dict[str, list[str]] = {}

    def add(self, key: str, image_name: str, what: str) -> None:
        """An image has reached the limit of a key; ``what`` was left out, and what to do."""
        images = self._images.setdefault(key, [])
        images.append(image_name)
        if len(images) == 1:
            _logger.warning("%s: %s", image_name, what)

    @property
    def remarks(self) -> list[str]:
        """A line for each limit that several images have reached."""
        return [
            f"{key} was reached in {len(images)} images"
            for key, images in self._images.items()
            if len(images) > 1
        ]


def limits_of(model: nn.Module) -> ReachedLimits:
    """Those of a model's grouping; of a model without one, limits that nothing has reached."""
    return getattr(getattr(model, "grouping", None), "limits", ReachedLimits())

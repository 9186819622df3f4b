"""How far a training is, as a line of words every few seconds."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import torch
from detectron2.utils.events import EventStorage, EventWriter, get_event_storage

from ..report import duration

# What losses are about, in the order in which they are named: those of this project and of
# Detectron2's Mask R-CNN. Others keep their names.
LOSS_WORDS = {
    "loss_pair": "pairs",
    "loss_mask": "masks",
    "loss_seed": "seeds",
    "loss_cls": "classes",
    "loss_box_reg": "boxes",
    "loss_rpn_cls": "proposals",
    "loss_rpn_loc": "boxes of proposals",
}
TOTAL_LOSS = "total_loss"

# Figures are means over so many iterations, and the time left follows from more of them.
_RECENT, _LONG = 20, 200
# Seconds between two lines at first; later a sixtieth of the time gone, up to the last.
_SHORTEST, _LONGEST = 5.0, 20.0

_logger = logging.getLogger(__name__)


class ProgressLine(EventWriter):
    """Logs, for instance::

        iteration 340 of 1500 · 9 min left · loss 0.83 (pairs 0.21, masks 0.35, seeds 0.27) ·
        learning rate 0.0008 · 12 images/s

    and before the first line how long it will take. To be called after every iteration; a line
    comes when its time has come, and after the last iteration.
    """

    def __init__(
        self,
        images: int,
        max_iter: int | None = None,
        seconds_left: Callable[[], float] | None = None,
    ):
        """
        Args:
            images: of an iteration.
            max_iter: iterations in all; None: not known.
            seconds_left: the time left where the number of iterations is not known; None: nothing
                is said of it.
        """
        self._seconds_left = seconds_left
        self._images = images
        self._max_iter = max_iter
        self._started = time.monotonic()
        self._last = None  # when the last line came

    def write(self):
        storage = get_event_storage()
        _, of_iteration = storage.latest().get(TOTAL_LOSS, (None, None))
        if of_iteration != storage.iter:
            return  # no step has been taken since, as at the end of a training
        done, now = storage.iter + 1, time.monotonic()
        seconds = _mean(storage, "time", _LONG)
        if done != self._max_iter:
            if seconds is None:
                return  # the first steps, which Detectron2 does not time, are no measure
            between = min(max(_SHORTEST, (now - self._started) / 60), _LONGEST)
            if self._last is not None and now - self._last < between:
                return
        if self._last is None and seconds is not None and done != self._max_iter:
            self._estimate(done, seconds)
        self._last = now
        _logger.info(self._line(storage, done, seconds))

    def _estimate(self, done: int, seconds: float) -> None:
        if self._max_iter is not None:
            left = timedelta(seconds=seconds * (self._max_iter - done))
            _logger.info(
                "the %d iterations that are left take about %s, until %s",
                self._max_iter - done,
                duration(left.total_seconds()),
                (datetime.now() + left).strftime("%H:%M on %B %d"),
            )

    def _line(self, storage: EventStorage, done: int, seconds: float | None) -> str:
        parts = [f"iteration {done}"]
        if self._max_iter is not None:
            parts = [f"iteration {done} of {self._max_iter}"]
            if seconds is not None and done < self._max_iter:
                parts.append(f"{duration(seconds * (self._max_iter - done))} left")
        elif self._seconds_left is not None:
            parts.append(f"{duration(self._seconds_left())} left")
        parts += [_losses(storage), f"learning rate {_plain(storage.history('lr').latest())}"]
        recent = _mean(storage, "time", _RECENT)
        if recent:
            parts.append(f"{self._images / recent:.3g} images/s")
        if torch.cuda.is_available():
            parts.append(f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of GPU memory")
        return " · ".join(parts)


def _mean(storage: EventStorage, name: str, window: int) -> float | None:
    """Over the last iterations; None for what was never put."""
    if name not in storage.histories():
        return None
    return storage.history(name).avg(window)


def _losses(storage: EventStorage) -> str:
    """The total and its parts. Means, for medians of parts do not sum up."""
    names = [name for name in storage.histories() if "loss" in name and name != TOTAL_LOSS]
    known = [name for name in LOSS_WORDS if name in names]
    parts = [
        f"{loss_word(name)} {_mean(storage, name, _RECENT):.3g}"
        for name in (*known, *(name for name in names if name not in LOSS_WORDS))
    ]
    of_parts = f" ({', '.join(parts)})" if parts else ""
    return f"loss {_mean(storage, TOTAL_LOSS, _RECENT):.3g}{of_parts}"


def loss_word(name: str) -> str:
    """What a loss is about, in a word or two."""
    return LOSS_WORDS.get(name) or name.replace("loss", "").strip("_").replace("_", " ") or name


def _plain(value: float) -> str:
    """Two digits, without an exponent."""
    return np.format_float_positional(float(f"{value:.2g}"), trim="-")

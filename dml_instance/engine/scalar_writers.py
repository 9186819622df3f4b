"""Where the scalars of a training go."""

import importlib.util
import os

from detectron2.utils.events import EventWriter, JSONWriter, TensorboardXWriter

from .results import METRICS_FILE


def scalar_writers(folder: str) -> list[EventWriter]:
    """Writers into a folder, which is made: ``metrics.json``, and TensorBoard's file where that is
    installed."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, METRICS_FILE)
    _end_with_a_line(path)
    writers = [JSONWriter(path)]
    return [*writers, TensorboardXWriter(folder)] if has_tensorboard() else writers


def has_tensorboard() -> bool:
    """Whether the package is installed that torch writes TensorBoard's files with."""
    return importlib.util.find_spec("tensorboard") is not None


def _end_with_a_line(path: str) -> None:
    """Cut off what a process that was killed has left of a line."""
    if os.path.isfile(path):
        with open(path, "rb+") as file:
            text = file.read()
            file.truncate(text.rfind(b"\n") + 1)

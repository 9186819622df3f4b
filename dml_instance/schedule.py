"""Where in its schedule a training is: by its iterations, unless its trainer counts otherwise."""

from detectron2.utils.events import EventStorage

_NAME = "schedule_iteration"


def put_schedule_iteration(storage: EventStorage, iteration: int) -> None:
    """Say, before a step, which iteration of SOLVER.MAX_ITER it stands for.

    For trainers that count minutes.
    """
    storage.put_scalar(_NAME, iteration, smoothing_hint=False)


def schedule_iteration(storage: EventStorage) -> int:
    """The iteration of SOLVER.MAX_ITER that the present step stands for."""
    value, _ = storage.latest().get(_NAME, (storage.iter, storage.iter))
    return int(value)

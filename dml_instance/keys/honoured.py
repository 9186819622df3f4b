"""Keys that Detectron2's own trainer does not read, said when it takes a model.

``SOLVER.OPTIMIZER`` and the like are read by this project's trainer. Under another one a yaml that
relies on them would train in silence with something else.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from operator import attrgetter

from detectron2.config import CfgNode

# Key and the value at which it changes nothing.
_NEUTRAL = {
    "SOLVER.OPTIMIZER": "SGD",
    "SOLVER.BACKBONE_MULTIPLIER": 1.0,
    "SOLVER.AMP.PRECISION": "float16",
    "DATALOADER.REPEAT_BY_AREA": 0.0,
    "INPUT.SCALE_TRAIN": 1.0,
    "INPUT.SCALE_TEST": 1.0,
    "INPUT.AUG.SCALE_RANGE": [1.0, 1.0],
    "INPUT.AUG.ROTATION": 0.0,
    "INPUT.AUG.RIGHT_ANGLES": False,
    "INPUT.AUG.COLOR_JITTER": 0.0,
    "INPUT.AUG.INVERT_PROBABILITY": 0.0,
    "INPUT.AUG.COPY_PASTE": 0.0,
    "INPUT.FIT_TO_OBJECTS": False,
    "TEST.CPU_BFLOAT16": "off",
    "TEST.INSTANCE_METRICS.ENABLED": False,
}

_are_honoured: ContextVar[bool] = ContextVar("are_honoured", default=False)


@contextlib.contextmanager
def honouring_keys() -> Iterator[None]:
    """For trainers and tools that read these keys: models built inside are not warned of them."""
    token = _are_honoured.set(True)
    try:
        yield
    finally:
        _are_honoured.reset(token)


def unread_keys(cfg: CfgNode) -> list[str]:
    """The keys that are set and that Detectron2's own trainer does not read, as ``KEY value``."""
    found = []
    for key, neutral in _NEUTRAL.items():
        value = attrgetter(key)(cfg)
        if isinstance(value, tuple):
            value = list(value)
        if value != neutral:
            found.append(f"{key} {value}")
    return found


def note_on_unread_keys(cfg: CfgNode) -> str:
    """One line on the keys of ``unread_keys``; empty without any, or if the caller honours them."""
    keys = [] if _are_honoured.get() else unread_keys(cfg)
    if not keys:
        return ""
    return (
        f"{', '.join(keys)}: honoured in training by dml_instance.engine.Trainer "
        "(tools/train_net.py); Detectron2's DefaultTrainer does not read them"
    )

"""Clocks of training and of inference, and what a training remembers of its scalars and norms."""

import os
import time

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..files import write_json
from ..schedule import schedule_iteration
from .precision import trains_in_bfloat16
from .results import TRAINING_FILE


class TrainingClock(HookBase):
    """Counts the time spent in training steps, over resumed runs too.

    Writes ``training.json`` into OUTPUT_DIR when training ends: minutes, iterations, images a
    second, seed, whether steps ran in bfloat16, and the number of parameters.
    """

    def __init__(self, cfg: CfgNode):
        self._cfg = cfg
        self.seconds = 0.0

    def before_step(self):
        self._start = time.perf_counter()

    def after_step(self):
        self.seconds += time.perf_counter() - self._start

    def after_train(self):
        if comm.is_main_process():
            self.write(self._cfg.OUTPUT_DIR)

    def write(self, folder: str) -> None:
        """Write ``training.json`` into a folder that exists."""
        iterations = self.trainer.iter
        write_json(
            os.path.join(folder, TRAINING_FILE),
            {
                "minutes": round(self.seconds / 60, 4),
                "iterations": iterations,
                "images_per_second": round(
                    iterations * self._cfg.SOLVER.IMS_PER_BATCH / max(self.seconds, 1e-9), 2
                ),
                "seed": self._cfg.SEED,
                "bfloat16": trains_in_bfloat16(self._cfg),
                "parameters": sum(p.numel() for p in self.trainer.model.parameters()),
            },
        )

    def state_dict(self):
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict):
        self.seconds = state_dict["seconds"]


class RecentScalars(HookBase):
    """Remembers the last values of every scalar, so that the means and medians that are logged
    after a training was resumed are those of one that was not."""

    # What Detectron2's writers and ``ProgressLine`` look back on.
    _WINDOW = 20
    # What another process took says nothing of this one.
    _TIMES = ("time", "data_time", "rank_data_time")

    def __init__(self):
        self._state = {}

    def before_train(self):
        # Not as the latest ones, which a writer would take for new.
        histories = self.trainer.storage.histories()
        for name, values in self._state.items():
            for value, iteration in values:
                histories[name].update(value, iteration)

    def state_dict(self):
        storage = getattr(self.trainer, "storage", None)
        if storage is None:
            return self._state  # before the first iteration
        return {
            name: [list(value) for value in history.values()[-self._WINDOW :]]
            for name, history in storage.histories().items()
            if name not in self._TIMES
        }

    def load_state_dict(self, state_dict):
        self._state = state_dict


class SteadyNorms(HookBase):
    """Batch norms remember the last 3 % of the schedule, where that is more than the last batches.

    At inference they take running averages of what batches had, in torch's default of about the
    last ten. Of a few small crops each that is a matter of luck, see docs/method.md. At the end of
    a schedule, where the rate is small, the weights hardly move, and an average over more batches
    is nearer to what they give. Detectron2's ``TEST.PRECISE_BN`` does the same by forward passes
    after the training.
    """

    # Of the schedule.
    _SHARE = 0.03

    def __init__(self, max_iter: int):
        """
        Args:
            max_iter: SOLVER.MAX_ITER, the iterations of the schedule.
        """
        self._max_iter = max_iter

    def before_train(self):
        norms = [norm for norm in self.trainer.model.modules() if isinstance(norm, _BatchNorm)]
        self._own = {norm: norm.momentum for norm in norms if norm.momentum is not None}

    def before_step(self):
        # A trainer that counts minutes does another number of iterations than the schedule has.
        done = schedule_iteration(self.trainer.storage) + 1
        expected = (self.trainer.iter + 1) * self._max_iter / done
        momentum = 1 / max(self._SHARE * expected, 1)
        for norm, own in self._own.items():
            norm.momentum = min(own, momentum)

    def after_train(self):
        for norm, own in self._own.items():
            norm.momentum = own


class InferenceTimer:
    """Times every call of a model in a ``with`` block.

    That is network, grouping and masks; loading images and scoring results are not in it. Of a
    batch every image counts alike.
    """

    # The first calls allocate and warm up; they count only where there are no others.
    _WARM_UP = 3

    def __init__(self, model: nn.Module):
        self._model = model
        self._milliseconds = []

    def __enter__(self):
        self._handles = [
            self._model.register_forward_pre_hook(self._before),
            self._model.register_forward_hook(self._after),
        ]
        return self

    def __exit__(self, *_):
        for handle in self._handles:
            handle.remove()

    def _before(self, module, inputs):
        self._synchronize()
        self._start = time.perf_counter()

    def _after(self, module, inputs, output):
        self._synchronize()
        self._milliseconds.append(1e3 * (time.perf_counter() - self._start) / max(len(output), 1))

    @staticmethod
    def _synchronize():
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    @property
    def ms_per_image(self) -> float:
        """Mean milliseconds an image; NaN where the model was not called."""
        counted = self._milliseconds[self._WARM_UP :] or self._milliseconds
        return sum(counted) / len(counted) if counted else float("nan")

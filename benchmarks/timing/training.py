"""Training iterations of models on their own data: where the time goes, and how much memory."""

from collections.abc import Sequence
from contextlib import ExitStack
from unittest import mock

import torch
from detectron2.config import CfgNode
from detectron2.engine import hooks
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from tqdm import tqdm

from dml_instance.data import register_given
from dml_instance.engine import Trainer, load_config, trains_in_bfloat16
from dml_instance.modeling import DMLInstance
from dml_instance.modeling.criterion import criterion

from ..memory import AddedMemory, in_fresh_process
from .measure import quartiles
from .stopwatch import Stopwatch

# Iterations that a run is timed before the next run has its turn. While others have theirs, its
# loaders fill their queues for nothing; a turn is long beside a queue, and begins with untimed
# iterations that empty it.
_TURN = 10

# Batches that a loader's worker has ready, PyTorch's default.
_PREFETCHED = 2

# Iterations of the run whose memory is measured: the optimiser's state is there after the first.
_MEMORY_ITERATIONS = 4

ITERATION, MAPPER = "iteration", "mapper, an image"


class _StepTrainer(Trainer):
    """The project's trainer step by step, without files: no checkpoints, logs, evaluation."""

    def __init__(self, cfg: CfgNode):
        super().__init__(cfg)
        self.iter = self.start_iter
        self.storage = EventStorage(self.start_iter)

    def build_hooks(self):
        return [hooks.LRScheduler()]

    def step(self) -> None:
        """One iteration, as ``train`` does it."""
        with self.storage:
            self.before_step()
            self.run_step()
            self.after_step()
        self.iter += 1


class TimedTraining:
    """A training whose iterations can be timed in parts."""

    def __init__(self, config_file: str, options: Sequence[str] = ()):
        cfg = load_config(config_file, list(options))
        seed_all_rng(0)
        self.cfg = cfg
        self.trainer = _StepTrainer(cfg)
        self.trainer.before_train()
        self._watch = Stopwatch()
        loader = self.trainer._trainer.data_loader
        self.trainer._trainer.data_loader = self._watch.drawn("data", loader)
        alone = cfg.clone()
        alone.defrost()
        alone.DATALOADER.NUM_WORKERS = 0
        self._mapped = self._watch.drawn(MAPPER, Trainer.build_train_loader(alone))

    def turn(self, iterations: int) -> list[dict[str, float]]:
        """Milliseconds of each part of some iterations.

        Others come before them, which empty the queues of the loader.

        Returns:
            For every iteration ``ITERATION``, the whole of it, and the parts: ``data`` is what the
            main process waits for the loader; of DMLInstance ``network``, ``targets`` and
            ``losses``, of others ``forward``; ``backward``; ``optimizer``, clipping of gradients
            included; and ``other``, the bookkeeping between them.
        """
        with self._wrapped():
            for _ in range(_PREFETCHED * self.cfg.DATALOADER.NUM_WORKERS + 1):
                self.trainer.step()
            self._watch.take()
            measured = []
            for _ in range(iterations):
                with self._watch.part("other"):
                    self.trainer.step()
                parts = self._watch.take()
                measured.append({ITERATION: sum(parts.values()), **parts})
        return measured

    def load_here(self) -> float:
        """Milliseconds an image that loading a batch takes in this process, without workers."""
        batch = next(self._mapped)
        return self._watch.take()[MAPPER] / len(batch)

    def _wrapped(self) -> ExitStack:
        """The functions that make up the parts, timed as long as the ``with`` block lasts."""
        trainer, model = self.trainer._trainer, self.trainer._trainer.model
        functions = [
            (torch.Tensor, "backward", "backward"),
            (trainer.optimizer, "zero_grad", "optimizer"),
            (trainer.optimizer, "step", "optimizer"),
        ]
        if isinstance(model, DMLInstance):
            functions += [
                (model, "preprocess_image", "network"),
                (model, "predict_maps", "network"),
            ]
            functions += [(model, "losses", "losses")]
            # What the losses compare with.
            functions += [
                (criterion.DMLCriterion, "plan", "targets"),
                (criterion, "seed_targets", "targets"),
            ]
        else:
            functions += [(model, "forward", "forward")]
        stack = ExitStack()
        for owner, name, part in functions:
            stack.enter_context(
                mock.patch.object(owner, name, self._watch.timed(part, getattr(owner, name)))
            )
        return stack


def time_training(runs: dict[str, tuple], iterations: int) -> list[dict]:
    """Times of the parts of a training iteration, of several models in turns.

    Args:
        runs: name to the arguments of ``TimedTraining``.
        iterations: timed, of each.

    Returns:
        A row a run and part, see ``TimedTraining.turn``: ``ms``, the median, and its quartiles
        ``ms_low`` and ``ms_high``; ``share``, in percent, of the time of all iterations. The rows
        of whole iterations have ``images_per_second``, ``batch``, ``workers``, ``iterations`` and
        whether it is ``bfloat16``. ``MAPPER`` is a part by itself, see ``TimedTraining.load_here``.
    """
    trainings = {name: TimedTraining(*run) for name, run in runs.items()}
    loaded: dict[str, list[float]] = {name: [] for name in runs}
    # Now, before there are workers to share the processor with.
    for _ in range(iterations):
        for name, training in trainings.items():
            loaded[name].append(training.load_here())
    measured: dict[str, list[dict]] = {name: [] for name in runs}
    turns = [min(_TURN, iterations - start) for start in range(0, iterations, _TURN)]
    with tqdm(total=iterations * len(runs), desc="training", unit="iteration") as bar:
        for turn in turns:
            for name, training in trainings.items():
                measured[name] += training.turn(turn)
                bar.update(turn)
    return [
        row
        for name, training in trainings.items()
        for row in _rows(name, training.cfg, measured[name], loaded[name])
    ]


def _rows(
    name: str, cfg: CfgNode, measured: list[dict[str, float]], loaded: list[float]
) -> list[dict]:
    """The rows of one run."""

    total = sum(parts[ITERATION] for parts in measured)
    rows = []
    for part in measured[0]:
        ms = [parts[part] for parts in measured]
        rows.append({"run": name, "part": part, **quartiles(ms), "share": 100 * sum(ms) / total})
    rows[0] |= {
        "images_per_second": 1e3 * cfg.SOLVER.IMS_PER_BATCH / rows[0]["ms"],
        "batch": cfg.SOLVER.IMS_PER_BATCH,
        "workers": cfg.DATALOADER.NUM_WORKERS,
        "iterations": len(measured),
        "bfloat16": trains_in_bfloat16(cfg),
    }
    return [*rows, {"run": name, "part": MAPPER, **quartiles(loaded)}]


def memory_of_training(run: tuple, registrations: Sequence[str] = ()) -> float:
    """Peak memory in MiB that training adds to a process that has built model and loaders.

    Its loaders' workers are not counted.

    Args:
        run: the arguments of ``TimedTraining``.
        registrations: of data sets, as ``--register-coco`` takes them; a new process knows of none.
    """
    return in_fresh_process(_added_by_training, run, registrations)


def _added_by_training(run: tuple, registrations: Sequence[str]) -> float:
    register_given(registrations)
    training = TimedTraining(*run)
    with AddedMemory() as added:
        for _ in range(_MEMORY_ITERATIONS):
            training.trainer.step()
    return added.mib

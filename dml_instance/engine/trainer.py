"""Detectron2's trainer with this project's choices.

Only what ``DefaultTrainer`` asks its users to override is overridden, and any meta-architecture
trains with it.
"""

import logging
import weakref

from detectron2.data import build_detection_test_loader, build_detection_train_loader
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.engine.hooks import PeriodicWriter
from detectron2.utils import comm
from detectron2.utils.events import EventWriter

from ..data import (
    NumberedBatches,
    build_test_mapper,
    build_train_mapper,
    build_train_sampler,
    training_records,
    training_stream,
)
from ..grouping import limits_of
from ..keys.honoured import honouring_keys
from ..randomness import own_randomness, seed_randomness
from ..stored_config import StoredConfig
from .checkpoints import FINAL, WholeCheckpointer
from .decisions import Decisions, decided
from .evaluators import build_evaluator
from .finite import finite_step
from .fitting import fitted_lengths
from .hooks import InferenceTimer, RecentScalars, SteadyNorms, TrainingClock
from .inference import as_used, at_inference
from .least_score import choose_min_score
from .optimizer import build_optimizer
from .precision import (
    amp_precision,
    infers_in_bfloat16,
    set_precision,
)
from .processes import wrapping_for
from .progress import ProgressLine
from .results import write_results
from .scalar_writers import has_tensorboard, scalar_writers
from .watched_image import WatchedImage

_logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """``DefaultTrainer`` with this project's optimiser, mapper, sampler, evaluators, clocks, and
    words on how far it is.

    A training that is interrupted and resumed is, on the CPU, the same as one that is not: what is
    random in an iteration follows from the seed and its number, and all else is in the checkpoint.
    A loss that is not finite ends it, see ``finite_step``.
    """

    def __init__(self, cfg):
        precision, is_half = amp_precision(cfg), infers_in_bfloat16(cfg)
        with wrapping_for(cfg.MODEL.DEVICE):
            super().__init__(decided(cfg))
        StoredConfig(cfg).add_to(self.checkpointer)
        Decisions(cfg, self.cfg).add_to(self.checkpointer)
        if is_half:
            as_used(cfg, self._trainer.model)  # refused now rather than after the training
        if cfg.SOLVER.AMP.ENABLED:
            self._trainer.precision = precision
        if cfg.INPUT.OBJECT_DIAMETERS:
            _logger.info(fitted_lengths(cfg))

    @classmethod
    def build_model(cls, cfg):
        with honouring_keys():
            model = super().build_model(cfg)
        set_precision(cfg, model)
        return model

    def resume_or_load(self, resume=True):
        """As ``DefaultTrainer.resume_or_load``; also what was decided by chance goes on."""
        drawn = self.cfg.SEED
        super().resume_or_load(resume)
        set_precision(self.cfg, self.checkpointer.model)
        if drawn != self.cfg.SEED:
            self._trainer.reset_data_loader(lambda: self.build_train_loader(self.cfg))

    def train(self):
        """As ``DefaultTrainer.train``."""
        self.begin()
        if self.start_iter >= self.max_iter and not self.checkpointer.is_final:
            # Killed between its last two checkpoints, of the same iteration.
            self.checkpointer.save(FINAL, iteration=self.iter)
        return super().train()

    def begin(self) -> None:
        """Whatever comes before the first iteration of ``train``: the images begin where the
        training does, and its checkpoints are not mixed with those of another one."""
        if self.start_iter == 0:
            self.checkpointer.begin_anew()
        batches = getattr(self.data_loader, "batch_sampler", None)
        if isinstance(batches, NumberedBatches):  # or a loader of somebody's own
            batches.start = self.start_iter

    def run_step(self):
        seed_randomness(self.cfg.SEED, comm.get_rank(), self.iter)
        with finite_step(self.model, self.optimizer, self.iter, self.cfg.OUTPUT_DIR):
            super().run_step()

    def build_hooks(self):
        # Detectron2's own is there already, and its hooks, built next, take what they find.
        self.checkpointer = WholeCheckpointer(
            self.model,
            self.cfg.OUTPUT_DIR,
            kept=self.cfg.SOLVER.CHECKPOINTS_KEPT,
            trainer=weakref.proxy(self),
        )
        hooks = [
            TrainingClock(self.cfg),
            RecentScalars(),
            SteadyNorms(self.cfg.SOLVER.MAX_ITER),
            *super().build_hooks(),
        ]
        if comm.is_main_process():
            # Before the writer of what it draws.
            hooks.insert(-1, self.build_watched_image())
            hooks.append(PeriodicWriter([self.build_progress()], period=1))
        return hooks

    def build_writers(self):
        return scalar_writers(self.cfg.OUTPUT_DIR)

    def build_watched_image(self) -> HookBase | None:
        """What draws an image while the model learns; None: nothing."""
        return WatchedImage(self.cfg, for_tensorboard=has_tensorboard())

    def build_progress(self) -> EventWriter:
        """What is called after every iteration, and says from time to time how far it is."""
        return ProgressLine(self.cfg.SOLVER.IMS_PER_BATCH, self.max_iter)

    @classmethod
    def build_optimizer(cls, cfg, model):
        return build_optimizer(cfg, model)

    @classmethod
    def build_train_loader(cls, cfg):
        """What Detectron2 builds of a config, as a ``training_stream``."""
        cfg, drawn = decided(cfg), {}
        if cfg.DATALOADER.REPEAT_BY_AREA or cfg.INPUT.AUG.COPY_PASTE:
            # A sampler counts the records of the very list that is loaded, and objects are pasted
            # from it; otherwise that list is Detectron2's affair.
            drawn["dataset"] = training_records(cfg)
        drawn["mapper"] = build_train_mapper(cfg, drawn.get("dataset"))
        # Detectron2's samplers draw their seed.
        with own_randomness(cfg.SEED):
            if cfg.DATALOADER.REPEAT_BY_AREA:
                drawn["sampler"] = build_train_sampler(cfg, drawn["dataset"])
            parts = build_detection_train_loader.from_config(cfg, **drawn)
        return training_stream(**parts, seed=cfg.SEED)

    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        return build_detection_test_loader(cfg, dataset_name, mapper=build_test_mapper(cfg))

    @classmethod
    def build_evaluator(cls, cfg, dataset_name):
        return build_evaluator(cfg, dataset_name)

    @classmethod
    def test(cls, cfg, model, evaluators=None):
        """As ``DefaultTrainer.test``; also writes ``results.json`` into OUTPUT_DIR.

        Where TEST.MIN_SCORE is not set, ``choose_min_score`` stores one. What is scored of a
        ``DMLInstance`` is ``as_used``.
        """
        with at_inference(cfg, model) as model, InferenceTimer(model) as timer:
            results = super().test(cfg, model, evaluators)
            for remark in limits_of(model).remarks:
                _logger.warning(remark)
        if comm.is_main_process():
            names = cfg.DATASETS.TEST
            metrics = {names[0]: results} if len(names) == 1 else results
            write_results(cfg.OUTPUT_DIR, metrics, timer.ms_per_image)
            if cfg.TEST.MIN_SCORE is None:
                choose_min_score(cfg)
        return results

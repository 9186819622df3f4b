"""Detectron2's trainer with this project's choices.

Only what ``DefaultTrainer`` asks its users to override is overridden, and any meta-architecture
trains with it.
"""

import logging

from detectron2.data import build_detection_test_loader, build_detection_train_loader
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.engine.hooks import PeriodicWriter
from detectron2.utils import comm
from detectron2.utils.events import EventWriter

from ..data import build_test_mapper, build_train_mapper, build_train_sampler, training_records
from ..grouping import limits_of
from ..keys.honoured import honouring_keys
from ..stored_config import StoredConfig
from .evaluators import build_evaluator
from .fitting import fitted_lengths
from .hooks import InferenceTimer, TrainingClock
from .inference import as_used, at_inference
from .least_score import choose_min_score
from .optimizer import build_optimizer
from .precision import (
    BFloat16Forward,
    amp_precision,
    infers_in_bfloat16,
    trains_in_bfloat16,
)
from .processes import wrapping_for
from .progress import ProgressLine
from .results import write_results
from .scalar_writers import has_tensorboard, scalar_writers
from .watched_image import WatchedImage

_logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """``DefaultTrainer`` with this project's optimiser, mapper, sampler, evaluators, clocks, and
    words on how far it is."""

    def __init__(self, cfg):
        precision, is_half = amp_precision(cfg), infers_in_bfloat16(cfg)
        with wrapping_for(cfg.MODEL.DEVICE):
            super().__init__(cfg)
        StoredConfig(cfg).add_to(self.checkpointer)
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
        if cfg.MODEL.DEVICE == "cpu" and trains_in_bfloat16(cfg):
            model.forward = BFloat16Forward(model)
        return model

    def build_hooks(self):
        hooks = [TrainingClock(self.cfg), *super().build_hooks()]
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
        if not (cfg.DATALOADER.REPEAT_BY_AREA or cfg.INPUT.AUG.COPY_PASTE):
            return build_detection_train_loader(cfg, mapper=build_train_mapper(cfg))
        # A sampler counts the records of the very list that is loaded, and objects are pasted from
        # it; otherwise that list is Detectron2's affair.
        dataset = training_records(cfg)
        drawn = {"dataset": dataset, "mapper": build_train_mapper(cfg, dataset)}
        if cfg.DATALOADER.REPEAT_BY_AREA:
            drawn["sampler"] = build_train_sampler(cfg, dataset)
        return build_detection_train_loader(cfg, **drawn)

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

"""Training and evaluation by Detectron2's trainer, and trained models at work."""

from .config import load_config
from .errors import message_of
from .evaluators import build_evaluator, check_evaluator
from .hooks import InferenceTimer, TrainingClock
from .huge_pages import use_huge_pages
from .least_score import min_score_of
from .precision import trains_in_bfloat16
from .prediction import (
    for_each_image,
    list_of_skipped,
    load_model,
    load_trained,
    metadata_of,
    weights_of,
)
from .results import (
    RESULTS_FILE,
    TRAINING_FILE,
    instance_table,
    machine,
    predictions_file,
    predictions_folder,
    results_table,
)
from .tally import Tally
from .trainer import Trainer

__all__ = [
    "RESULTS_FILE",
    "TRAINING_FILE",
    "InferenceTimer",
    "Tally",
    "Trainer",
    "TrainingClock",
    "build_evaluator",
    "check_evaluator",
    "for_each_image",
    "instance_table",
    "list_of_skipped",
    "load_config",
    "load_model",
    "load_trained",
    "machine",
    "message_of",
    "metadata_of",
    "min_score_of",
    "predictions_file",
    "predictions_folder",
    "results_table",
    "trains_in_bfloat16",
    "use_huge_pages",
    "weights_of",
]

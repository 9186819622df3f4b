"""Training and evaluation by Detectron2's trainer, and trained models at work."""

from .config import load_config
from .errors import message_of
from .evaluators import build_evaluator, check_evaluator
from .hooks import InferenceTimer, TrainingClock
from .huge_pages import use_huge_pages
from .precision import trains_in_bfloat16
from .prediction import (
    add_model_options,
    class_names_of,
    for_each_image,
    load_trained,
    metadata_of,
)
from .results import (
    RESULTS_FILE,
    TRAINING_FILE,
    instance_table,
    machine,
    predictions_folder,
    results_table,
)
from .trainer import Trainer

__all__ = [
    "RESULTS_FILE",
    "TRAINING_FILE",
    "InferenceTimer",
    "Trainer",
    "TrainingClock",
    "add_model_options",
    "build_evaluator",
    "check_evaluator",
    "class_names_of",
    "for_each_image",
    "instance_table",
    "load_config",
    "load_trained",
    "machine",
    "message_of",
    "metadata_of",
    "predictions_folder",
    "results_table",
    "trains_in_bfloat16",
    "use_huge_pages",
]

"""Training and evaluation by Detectron2's trainer, and trained models at work."""

from .arguments import ModelArgumentParser, add_score_option, count
from .budget import BudgetTrainer
from .config import ALL_DATA, NO_DATA, TEST_DATA, load_config
from .errors import message_of
from .evaluators import build_evaluator, check_evaluator
from .hooks import InferenceTimer, TrainingClock
from .huge_pages import use_huge_pages
from .image_run import for_each_image, list_of_skipped, run_over_images
from .least_score import min_score_of
from .precision import trains_in_bfloat16
from .prediction import (
    load_model,
    load_trained,
    metadata_of,
)
from .processes import leave_processes
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
from .weights import load_weights, named_in_errors, starting_weights, weights_of

__all__ = [
    "ALL_DATA",
    "NO_DATA",
    "RESULTS_FILE",
    "TEST_DATA",
    "TRAINING_FILE",
    "BudgetTrainer",
    "InferenceTimer",
    "ModelArgumentParser",
    "Tally",
    "Trainer",
    "TrainingClock",
    "add_score_option",
    "build_evaluator",
    "check_evaluator",
    "count",
    "for_each_image",
    "instance_table",
    "leave_processes",
    "list_of_skipped",
    "load_config",
    "load_model",
    "load_trained",
    "load_weights",
    "machine",
    "message_of",
    "metadata_of",
    "min_score_of",
    "named_in_errors",
    "predictions_file",
    "predictions_folder",
    "results_table",
    "run_over_images",
    "starting_weights",
    "trains_in_bfloat16",
    "use_huge_pages",
    "weights_of",
]

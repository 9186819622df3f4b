"""Training and evaluation by Detectron2's trainer, and trained models at work."""

from .budget import BudgetTrainer
from .checkpoints import going_on
from .config import ALL_DATA, NO_DATA, TEST_DATA, load_config
from .errors import message_of
from .evaluators import build_evaluator, check_evaluator
from .finding import Finder, found_here, put_together
from .hooks import InferenceTimer, TrainingClock
from .huge_pages import use_huge_pages
from .image_run import for_each_image, list_of_skipped, run_over_images
from .least_score import min_score_of
from .likeness import likest_classes
from .precision import infers_in_bfloat16, trains_in_bfloat16
from .prediction import (
    find_all,
    find_model,
    given_model,
    load_model,
    load_trained,
    metadata_of,
    objects_in,
)
from .processes import (
    check_processes,
    check_same_start,
    end_with,
    leave_processes,
    run_in_processes,
    wrapping_for,
)
from .progress import ProgressLine
from .results import (
    RESULTS_FILE,
    TRAINING_FILE,
    instance_table,
    machine,
    predictions_file,
    predictions_folder,
    results_table,
)
from .run_log import RunLog
from .run_report import REPORT_FILE, write_report
from .starting import start_lines
from .tally import Tally
from .trainer import Trainer
from .weights import load_weights, named_in_errors, starting_weights, weights_of
from .workers import FinderPlan, Workers

__all__ = [
    "ALL_DATA",
    "NO_DATA",
    "REPORT_FILE",
    "RESULTS_FILE",
    "TEST_DATA",
    "TRAINING_FILE",
    "BudgetTrainer",
    "Finder",
    "FinderPlan",
    "InferenceTimer",
    "ProgressLine",
    "RunLog",
    "Tally",
    "Trainer",
    "TrainingClock",
    "Workers",
    "build_evaluator",
    "check_evaluator",
    "check_processes",
    "check_same_start",
    "end_with",
    "find_all",
    "find_model",
    "for_each_image",
    "found_here",
    "given_model",
    "going_on",
    "infers_in_bfloat16",
    "instance_table",
    "leave_processes",
    "likest_classes",
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
    "objects_in",
    "predictions_file",
    "predictions_folder",
    "put_together",
    "results_table",
    "run_in_processes",
    "run_over_images",
    "start_lines",
    "starting_weights",
    "trains_in_bfloat16",
    "use_huge_pages",
    "weights_of",
    "wrapping_for",
    "write_report",
]

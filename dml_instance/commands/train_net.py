"""Train and evaluate a model, this project's or any other of Detectron2, from a yaml config.

    python tools/train_net.py --config-file configs/DSB2018/dml_slim_unet.yaml
    python tools/train_net.py --config-file configs/DSB2018/dml_slim_unet.yaml --resume
    python tools/train_net.py --config-file configs/DSB2018/dml_slim_unet.yaml \\
        --eval-only MODEL.WEIGHTS model_final.pth
    python tools/train_net.py --config-file configs/DSB2018/dml_slim_unet.yaml \\
        --register-coco mine_train=train.json:images --register-coco mine_val=val.json:images \\
        DATASETS.TRAIN "('mine_train',)" DATASETS.TEST "('mine_val',)" OUTPUT_DIR output/mine
    python tools/train_net.py --num-gpus 2 --config-file configs/DSB2018/dml_slim_unet.yaml
    torchrun --nproc_per_node 2 tools/train_net.py --config-file configs/DSB2018/dml_slim_unet.yaml
"""

import argparse
import logging
import os
from collections.abc import Sequence

from detectron2.data import DatasetCatalog
from detectron2.engine import default_argument_parser
from detectron2.evaluation import verify_results
from detectron2.utils import comm

from ..data import register_given
from ..engine import (
    ALL_DATA,
    RESULTS_FILE,
    TEST_DATA,
    BudgetTrainer,
    RunLog,
    Trainer,
    check_evaluator,
    check_processes,
    check_same_start,
    end_with,
    going_on,
    leave_processes,
    load_config,
    load_weights,
    message_of,
    named_in_errors,
    results_table,
    run_in_processes,
    start_lines,
    starting_weights,
    write_report,
)
from ..files import read_json
from ..options import add_registration_option
from .process import typed_words

_logger = logging.getLogger(__name__)


def train(args: argparse.Namespace, command: Sequence[str]) -> None:
    """Train, or evaluate alone, in this process, which may be one of several.

    Args:
        args: of the command line.
        command: as it was typed, for the report.
    """
    _train(args, command)
    # Behind a call of its own, so that no trainer is left which would hold the connection.
    leave_processes()


def _train(args: argparse.Namespace, command: Sequence[str]) -> None:
    log = RunLog()
    try:
        register_given(args.register_coco)
        needs = TEST_DATA if args.eval_only else ALL_DATA
        cfg = load_config(args.config_file, args.opts, needs=needs)
        for name in cfg.DATASETS.TEST:
            # These fail here, and not after the training, where nothing scores such a set or its
            # data is missing.
            check_evaluator(cfg, name)
            DatasetCatalog.get(name)
        if os.path.exists(cfg.OUTPUT_DIR) and not os.path.isdir(cfg.OUTPUT_DIR):
            raise ValueError(f"OUTPUT_DIR {cfg.OUTPUT_DIR} is a file: give a folder")
        if not args.eval_only:
            check_processes(cfg)
        weights = starting_weights(
            cfg, args.config_file, resume=args.resume, scores_only=args.eval_only
        )
        if not args.eval_only and "TEST.MIN_SCORE" not in args.opts:
            # Chosen at the end, and that of an earlier training is of other weights.
            cfg.TEST.MIN_SCORE = None
    except (FileNotFoundError, KeyError, ValueError) as error:
        # What the user can mend in the command or the files needs no stack trace.
        end_with(message_of(error))
    is_there = os.path.isfile(os.path.join(cfg.OUTPUT_DIR, "model_final.pth"))
    if is_there and not (args.eval_only or args.resume):
        _logger.warning(
            "%s holds a trained model, which this training will replace; another OUTPUT_DIR keeps "
            "it, and --resume goes on with it",
            cfg.OUTPUT_DIR,
        )
    cfg.freeze()
    log.open(cfg, args)

    try:
        if args.eval_only:
            model = Trainer.build_model(cfg)
            load_weights(model, weights)
        else:
            minutes = args.minutes
            trainer = Trainer(cfg) if minutes is None else BudgetTrainer(cfg, minutes)
            with named_in_errors(weights):
                trainer.resume_or_load(resume=args.resume)
            check_same_start(trainer.start_iter)
    except (FileNotFoundError, ValueError) as error:
        end_with(message_of(error))
    if args.eval_only:
        with log.prints_to_file():
            results = Trainer.test(cfg, model)
        if comm.is_main_process():
            report = write_report(cfg, model, command)
            verify_results(cfg, results)
    else:
        if comm.is_main_process():
            for line in start_lines(trainer):
                _logger.info(line)
        try:
            with log.prints_to_file():
                trainer.train()
        except FloatingPointError as error:
            end_with(message_of(error))
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(f"interrupted; {going_on(cfg.OUTPUT_DIR)}") from error
        if comm.is_main_process():
            report = write_report(cfg, trainer.model, command)

    if comm.is_main_process():
        path = os.path.join(cfg.OUTPUT_DIR, RESULTS_FILE)
        print(f"\n{results_table(read_json(path))}\n\nThe same figures: {path}")
        if report:
            print(f"Curves, pictures, and what to try next: {report}")


def main(args: argparse.Namespace) -> int:
    """Train in as many processes as the command line asks for."""
    run_in_processes(
        train,
        (args, typed_words()),
        processes=args.num_gpus,
        machines=args.num_machines,
        machine=args.machine_rank,
        url=args.dist_url,
    )
    return 0


def argument_parser() -> argparse.ArgumentParser:
    parser = default_argument_parser(__doc__)
    add_registration_option(parser)
    add_minutes_option(parser)
    parser.add_argument(
        "--num-processes",
        type=int,
        default=1,
        dest="num_gpus",
        help="on each machine; --num-gpus by another name, for machines without GPUs",
    )
    return parser


def add_minutes_option(parser: argparse.ArgumentParser) -> None:
    """``--minutes``, above 0."""
    parser.add_argument(
        "--minutes",
        type=_minutes,
        help="of training, whatever the machine does in them (default: SOLVER.MAX_ITER iterations)",
    )


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"minutes are above 0, got {text}")
    return minutes

#!/usr/bin/env python
"""Train and evaluate a model, this project's or any other of Detectron2, from a yaml config.

    python tools/train_net.py --config-file configs/DSB2018/dml_slim_unet.yaml
    python tools/train_net.py --config-file configs/DSB2018/dml_slim_unet.yaml --resume
    python tools/train_net.py --config-file configs/DSB2018/dml_slim_unet.yaml \\
        --eval-only MODEL.WEIGHTS model_final.pth
    python tools/train_net.py --config-file configs/DSB2018/dml_slim_unet.yaml \\
        --register-coco mine_train=train.json:images --register-coco mine_val=val.json:images \\
        DATASETS.TRAIN "('mine_train',)" DATASETS.TEST "('mine_val',)" OUTPUT_DIR output/mine
"""

import logging
import os
import sys

import _quiet  # noqa: F401

from detectron2.data import DatasetCatalog
from detectron2.engine import default_argument_parser, default_setup, launch
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from dml_instance.data import add_registration_option, register_given
from dml_instance.engine import (
    ALL_DATA,
    RESULTS_FILE,
    TEST_DATA,
    Trainer,
    check_evaluator,
    leave_processes,
    load_config,
    load_weights,
    message_of,
    named_in_errors,
    results_table,
    starting_weights,
    use_huge_pages,
)
from dml_instance.files import read_json


def main(args):
    # What the check of data sets says comes before OUTPUT_DIR is known.
    setup_logger(distributed_rank=comm.get_rank(), name="dml_instance")
    try:
        register_given(args.register_coco)
        needs = TEST_DATA if args.eval_only else ALL_DATA
        cfg = load_config(args.config_file, args.opts, needs=needs)
        for name in cfg.DATASETS.TEST:
            # These fail here, and not after the training, where nothing scores such a set or its
            # data is missing.
            check_evaluator(cfg, name)
            DatasetCatalog.get(name)
        weights = starting_weights(
            cfg, args.config_file, resume=args.resume, scores_only=args.eval_only
        )
        if not args.eval_only and "TEST.MIN_SCORE" not in args.opts:
            # Chosen at the end, and that of an earlier training is of other weights.
            cfg.TEST.MIN_SCORE = None
    except (FileNotFoundError, KeyError, ValueError) as error:
        # What the user can mend in the command or the files needs no stack trace.
        sys.exit(f"error: {message_of(error)}")
    is_there = os.path.isfile(os.path.join(cfg.OUTPUT_DIR, "model_final.pth"))
    if is_there and not (args.eval_only or args.resume):
        logging.getLogger("dml_instance").warning(
            "%s holds a trained model, which this training will replace; another OUTPUT_DIR keeps "
            "it, and --resume goes on with it",
            cfg.OUTPUT_DIR,
        )
    cfg.freeze()
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, comm.get_rank(), name="dml_instance", configure_stdout=False)

    try:
        if args.eval_only:
            model = Trainer.build_model(cfg)
            load_weights(model, weights)
        else:
            trainer = Trainer(cfg)
            with named_in_errors(weights):
                trainer.resume_or_load(resume=args.resume)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    if args.eval_only:
        results = Trainer.test(cfg, model)
        if comm.is_main_process():
            verify_results(cfg, results)
    else:
        trainer.train()

    if comm.is_main_process():
        path = os.path.join(cfg.OUTPUT_DIR, RESULTS_FILE)
        print(f"\n{results_table(read_json(path))}\n\nThe same figures: {path}")
    leave_processes()


def argument_parser():
    parser = default_argument_parser(__doc__)
    add_registration_option(parser)
    return parser


if __name__ == "__main__":
    use_huge_pages()
    arguments = argument_parser().parse_args()
    launch(
        main,
        arguments.num_gpus,
        num_machines=arguments.num_machines,
        machine_rank=arguments.machine_rank,
        dist_url=arguments.dist_url,
        args=(arguments,),
    )

"""Train models for the same minutes on the same machine, in turns, and report how they differ.

    dml compare --minutes 12 --title "Nuclei, 12 minutes" --output output/compare/nuclei_12 \\
        --run ours DSB2018/dml_slim_unet.yaml \\
        --run mask_rcnn DSB2018/mask_rcnn_R_18_FPN.yaml SOLVER.IMS_PER_BATCH 3

Writes report.md, report.json and report.png into the output folder, pictures beside them, and each
run's files into a folder of its name. The same command goes on with a comparison that was
interrupted, and only writes the report of one that is finished. With ``--minutes 0`` each run is
scored with its MODEL.WEIGHTS as they are. With ``--instance-metrics`` the report has the metrics of
docs/metrics.md too, as the keys TEST.INSTANCE_METRICS of each run say.
"""

import argparse
import multiprocessing
import os
import shlex
import shutil
import sys

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.coco import convert_to_coco_json
from detectron2.engine import default_setup
from tqdm import tqdm

from ..comparison.budget import Turns, referee, train_within_budget
from ..comparison.mask_rcnn import check_test_augmentation
from ..comparison.pictures import draw_side_by_side, most_telling_images
from ..comparison.report import summarize, write_report
from ..comparison.scores import load_ground_truth, load_predictions
from ..data import register_given
from ..engine import (
    RESULTS_FILE,
    load_config,
    machine,
    message_of,
    predictions_file,
)
from ..evaluation import InstanceMetricRules
from ..files import read_json
from ..model_zoo import config_file
from ..options import add_registration_option
from .process import typed_words


def run_config(args: argparse.Namespace, name: str) -> CfgNode:
    """The config of a run: its yaml, the options of all runs, its own, and a folder of its own.

    Raises:
        FileNotFoundError, KeyError, ValueError: as ``load_config`` and
            ``check_test_augmentation``.
    """
    given, *options = {n: rest for n, *rest in args.run}[name]
    folder = os.path.join(args.output, name)
    cfg = load_config(config_file(given), [*args.opts, *options, "OUTPUT_DIR", folder])
    check_test_augmentation(cfg)
    return cfg


def play(args: argparse.Namespace, name: str, connection) -> None:
    """The process of one run: ``connection`` is its end of a pipe to the ``referee``."""
    register_given(args.register_coco)
    cfg = run_config(args, name)
    cfg.freeze()
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    # The runs share a terminal; what each prints goes to a log of its own.
    log = os.open(
        os.path.join(cfg.OUTPUT_DIR, "stdout.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND
    )
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    turns = Turns(connection, args.turn)
    turns.wait()
    default_setup(cfg, argparse.Namespace(config_file="", eval_only=False))
    train_within_budget(cfg, args.minutes, args.score_at, turns)


def is_finished(folder: str, minutes: float) -> bool:
    """Whether the run in a folder used up its minutes and was scored."""
    training = read_json(os.path.join(folder, RESULTS_FILE)).get("training") or {}
    return training.get("minutes", -1.0) >= minutes


def check_folder(cfg: CfgNode, name: str) -> None:
    """End the program where a run would go on from one of another config in its folder."""
    path = os.path.join(cfg.OUTPUT_DIR, "config.yaml")
    if os.path.isfile(path):
        there = CfgNode(CfgNode.load_yaml_with_base(path))
        here = CfgNode.load_cfg(cfg.dump())
        there.TEST.MIN_SCORE = here.TEST.MIN_SCORE  # the end of a training stores it
        if there != here:
            sys.exit(
                f"error: {cfg.OUTPUT_DIR} holds a run {name} of another config (its config.yaml "
                "differs); choose another --output, or remove the folder"
            )


def train_all(args: argparse.Namespace) -> None:
    """Train what is not finished, in turns; ends the program if a run fails, naming its log."""
    open_runs = [
        n for n, *_ in args.run if not is_finished(os.path.join(args.output, n), args.minutes)
    ]
    context = multiprocessing.get_context("spawn")
    processes, connections = {}, {}
    for name in open_runs:
        connections[name], theirs = context.Pipe()
        processes[name] = context.Process(target=play, args=(args, name, theirs), name=name)
        processes[name].start()
        theirs.close()
    used = dict.fromkeys(open_runs, 0.0)
    bar_format = "{desc} {percentage:3.0f}%|{bar}| {n:.1f}/{total:.1f} min, {remaining} left"
    total = args.minutes * len(open_runs)
    with tqdm(total=total, bar_format=bar_format, disable=not total) as bar:

        def on_turn(name: str, minutes: float) -> None:
            bar.set_description(f"training {name}")
            bar.update(max(minutes - used[name], 0.0))
            used[name] = minutes

        referee(connections, on_turn)
    for name, process in processes.items():
        process.join()
        if process.exitcode:
            log = os.path.join(args.output, name, "stdout.txt")
            sys.exit(f"run {name} failed with exit status {process.exitcode}; {log} says why")


def annotation_file(dataset: str, folder: str) -> str:
    """The data set's COCO file, written into ``folder`` where it is registered without one."""
    metadata = MetadataCatalog.get(dataset)
    if not hasattr(metadata, "json_file"):
        path = os.path.join(folder, f"{dataset}.json")
        # An old one may be of other data.
        convert_to_coco_json(dataset, path, allow_cached=False)
        return path
    return metadata.json_file


def main(args: argparse.Namespace) -> int:
    names = [name for name, *rest in args.run if rest]
    if len(names) != len(args.run) or len(set(names)) != len(names):
        sys.exit("error: --run takes NAME CONFIG.yaml [KEY VALUE ...], each with a name of its own")
    try:
        register_given(args.register_coco)
        configs = {name: run_config(args, name) for name in names}
    except (FileNotFoundError, KeyError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    tested = {tuple(cfg.DATASETS.TEST) for cfg in configs.values()}
    limits = {cfg.TEST.DETECTIONS_PER_IMAGE for cfg in configs.values()}
    if len(tested) != 1 or len(limits) != 1 or len(next(iter(tested))) != 1:
        sys.exit(
            "error: all runs need the same single data set in DATASETS.TEST and the same "
            f"TEST.DETECTIONS_PER_IMAGE, got {sorted(tested)} and {sorted(limits)}"
        )
    (dataset,), limit = next(iter(tested)), limits.pop()
    try:
        # These fail here, and not after the training, where the data is missing or a key is wrong.
        DatasetCatalog.get(dataset)
        rules = {name: InstanceMetricRules.from_config(cfg) for name, cfg in configs.items()}
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    for name, cfg in configs.items():
        check_folder(cfg, name)
    os.makedirs(args.output, exist_ok=True)
    train_all(args)

    ground_truth = load_ground_truth(annotation_file(dataset, args.output))
    folders = {name: os.path.join(args.output, name) for name in names}
    predictions = {
        n: load_predictions(ground_truth, predictions_file(folders[n], dataset)) for n in names
    }
    summary = {
        "title": args.title,
        "command": shlex.join(typed_words()),
        "minutes": args.minutes,
        "dataset": dataset,
        "max_detections": limit,
        "machine": machine(),
        "configs": {name: rest for name, *rest in args.run},
        **summarize(
            *(ground_truth, dataset, folders, predictions, limit),
            instance_rules=rules if args.instance_metrics else None,
        ),
    }
    files = write_report(summary, os.path.join(args.output, "report"))
    if len(names) > 1 and args.pictures:
        first, second = (predictions[name] for name in names[:2])
        images = most_telling_images(ground_truth, first, second, limit, args.pictures)
        shown = {name: (predictions[name], summary["runs"][name]["min_score"]) for name in names}
        pictures = os.path.join(args.output, "pictures")
        shutil.rmtree(pictures, ignore_errors=True)
        draw_side_by_side(ground_truth, dataset, shown, images, pictures)
        files.append(pictures)
    with open(files[0], encoding="utf-8") as file:
        print(f"\n{file.read()}")
    print("\n".join(files))
    return 0


def argument_parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--run",
        nargs="+",
        action="append",
        required=True,
        metavar=("NAME", "CONFIG.yaml KEY VALUE"),
        help="a model to train, with options of its own; repeatable",
    )
    parser.add_argument(
        "--minutes", type=float, required=True, help="of training for each run; 0: score alone"
    )
    parser.add_argument(
        "--score-at",
        type=float,
        nargs="*",
        default=[],
        metavar="M",
        help="minutes to score at, too",
    )
    # Long enough that changing turns costs nothing, short enough that a slow minute of the machine
    # hits all runs alike.
    parser.add_argument(
        "--turn",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="of training, after which the next run is at it (default: %(default)g); inf: one run "
        "after the other",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder of the report, pictures and runs"
    )
    parser.add_argument("--title", default="Comparison", help="of the report")
    parser.add_argument(
        "--pictures", type=int, default=4, metavar="N", help="of each kind (default: %(default)s)"
    )
    parser.add_argument(
        "--instance-metrics",
        action="store_true",
        help="also AP_dsb, F1, PQ, SBD, boundary AP and others: docs/metrics.md",
    )
    add_registration_option(parser)
    parser.add_argument(
        "--opts", nargs="*", default=[], metavar="KEY VALUE", help="options of all runs"
    )
    return parser

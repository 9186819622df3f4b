"""Measure speed and memory, side by side in one run, and write the figures as JSON.

    python -m benchmarks.speed evaluator --output benchmarks/results/benchmark_evaluator.json
    python -m benchmarks.speed inference --output benchmarks/results/benchmark_inference.json \\
        --run ours configs/DSB2018/dml_efficientnet_lite0.yaml dml://nuclei \\
        --run mask_rcnn configs/DSB2018/mask_rcnn_R_18_FPN.yaml \\
            output/compare/nuclei_12/mask_rcnn/model_final.pth
    python -m benchmarks.speed grouping \\
        --run ours configs/DSB2018/dml_efficientnet_lite0.yaml dml://nuclei
    python -m benchmarks.speed peers --dataset dsb2018_nuclei_val --images 20 \\
        --run ours configs/DSB2018/dml_efficientnet_lite0.yaml dml://nuclei
    python -m benchmarks.speed training --repeats 30 \\
        --run ours configs/DSB2018/dml_slim_unet.yaml \\
        --run mask_rcnn configs/DSB2018/mask_rcnn_R_18_FPN.yaml
    python -m benchmarks.speed growth \\
        --run ours configs/DSB2018/dml_efficientnet_lite0.yaml dml://nuclei
    python -m benchmarks.speed writing --size 4096 4096 --objects 3000 \\
        --run ours configs/DSB2018/dml_efficientnet_lite0.yaml dml://nuclei
    python -m benchmarks.speed roofline --dataset dsb2018_nuclei_val --images 20 \\
        --run ours configs/DSB2018/dml_efficientnet_lite0.yaml dml://nuclei

evaluator   mAP^r of as many drawn images as VOC 2012 val has, 20 predictions each; and of images
            with four times the pixels.
inference   Models on drawn cells, for every number of objects and every batch; of ours the network
            and the grouping apart. Times are medians and quartiles of calls in turn; memory is
            that of a process of its own.
grouping    Images a second of the grouping alone, over the images that are grouped at once, each
            in a thread of its own.
peers       The grouping alone, from the network's predictions to masks: ours, the paper's loop
            over seeds, MeanShift and HDBSCAN on the same embedding, and Panoptic-DeepLab's on
            perfect inputs; times and AP. Needs scikit-learn.
training    Iterations on a run's own data, in turns: waiting for data, network, targets, losses,
            backward, optimiser; and the memory that they add. Runs take no weights here.
growth      Time and memory of one model over the side of images, objects, seeds, embedding size
            and thresholds.
writing     What a model finds in one drawn image, written in each form and in all: time, memory
            beside that of the model, and size of the files.
roofline    Network and grouping beside the least that they must compute and move, at the
            machine's measured speed.
"""

import argparse
import os
import shlex
import sys

from tqdm import tqdm

from dml_instance.data import register_given
from dml_instance.engine import machine, message_of, use_huge_pages
from dml_instance.files import write_json
from dml_instance.options import add_registration_option

from .peers.groupings import compare_groupings
from .timing.evaluator import benchmark_evaluator
from .timing.grouping import images_needed, time_grouping
from .timing.growth import measure_growth
from .timing.inference import memory_of_inference, time_inference
from .timing.page import rows_table
from .timing.roofline import benchmark_roofline
from .timing.scenes import drawn_cells
from .timing.training import ITERATION, memory_of_training, time_training
from .timing.writing import measure_writing


def given_runs(args: argparse.Namespace, weights: bool = True) -> dict[str, tuple]:
    """What ``--run`` says, checked; ends the program with a line that says what is wrong.

    Args:
        args: of the command line.
        weights: whether the part takes weights.

    Returns:
        Name of each run to its config, its weights if it takes them, and the list of its options.
    """
    count = 1 + weights
    runs = {name: rest for name, *rest in args.run}
    if len(runs) != len(args.run) or any(
        len(rest) < count or (len(rest) - count) % 2 for rest in runs.values()
    ):
        takes = (
            "--run takes NAME CONFIG.yaml WEIGHTS"
            if weights
            else f"--run of {args.part} takes NAME CONFIG.yaml"
        )
        sys.exit(f"error: {takes} [KEY VALUE ...], each with a name of its own")
    if not runs:
        sys.exit(f"error: {args.part} needs a --run")
    return {name: (*rest[:count], rest[count:]) for name, rest in runs.items()}


def run_evaluator(args: argparse.Namespace) -> list[dict]:
    return benchmark_evaluator()


def run_inference(args: argparse.Namespace) -> list[dict]:
    runs = given_runs(args)
    rows = []
    for objects, batch in tqdm(
        [(o, b) for o in args.objects for b in args.batch], desc="timing", unit="setting"
    ):
        images = [drawn_cells(*args.size, objects, seed) for seed in range(batch)]
        for name, figures in time_inference(runs, images, args.repeats).items():
            row = {
                "objects": objects,
                "batch": batch,
                "run": name,
                "ms_an_image": figures["ms"] / batch,
                **figures,
            }
            mib = (
                memory_of_inference(runs[name], images, args.register_coco)
                if name in runs
                else None
            )
            rows.append({**row, "mib": mib})
    return rows


def run_grouping(args: argparse.Namespace) -> list[dict]:
    if min(args.threads) < 1:
        raise ValueError(f"--threads are at least 1, got {min(args.threads)}")
    rows = []
    for objects in args.objects:
        images = [
            drawn_cells(*args.size, objects, seed) for seed in range(images_needed(args.threads))
        ]
        for name, run in given_runs(args).items():
            timed = time_grouping(name, run, images, args.threads, args.repeats)
            rows += [{"objects": objects, **row} for row in timed]
    return rows


def run_peers(args: argparse.Namespace) -> list[dict]:
    runs = given_runs(args).items()
    return [
        row
        for run in runs
        for row in compare_groupings(*run, args.dataset, args.images, args.repeats)
    ]


def run_training(args: argparse.Namespace) -> list[dict]:
    runs = given_runs(args, weights=False)
    rows = time_training(runs, args.repeats)
    for row in rows:
        if row["part"] == ITERATION:
            row["mib"] = memory_of_training(runs[row["run"]], args.register_coco)
    return rows


def run_growth(args: argparse.Namespace) -> list[dict]:
    if len(runs := given_runs(args)) != 1:
        sys.exit("error: growth takes one --run")
    ((name, run),) = runs.items()
    varied = {"sides": args.sides, "objects": args.counts, "seeds": args.seeds}
    varied |= {"dims": args.dims, "thresholds": args.thresholds}
    rows = measure_growth(run, **varied, repeats=args.repeats, registrations=args.register_coco)
    total = sum(map(len, varied.values()))
    return list(tqdm(rows, desc=name, unit="setting", total=total))


def run_writing(args: argparse.Namespace) -> list[dict]:
    return [
        {"objects": objects, "run": name, **row}
        for objects in args.objects
        for name, run in given_runs(args).items()
        for row in measure_writing(run, drawn_cells(*args.size, objects), args.register_coco)
    ]


def run_roofline(args: argparse.Namespace) -> list[dict]:
    runs = given_runs(args).items()
    return [
        row
        for run in runs
        for row in benchmark_roofline(*run, args.dataset, args.images, args.repeats)
    ]


def powers_of_two(last: int) -> list[int]:
    """1, 2, 4 ... under ``last``, and ``last``."""
    return [*(2**power for power in range((last - 1).bit_length())), last]


PARTS = {
    "evaluator": run_evaluator,
    "inference": run_inference,
    "grouping": run_grouping,
    "peers": run_peers,
    "training": run_training,
    "growth": run_growth,
    "writing": run_writing,
    "roofline": run_roofline,
}


def main(args: argparse.Namespace) -> None:
    if args.repeats < 1:
        sys.exit(f"error: --repeats is at least 1, got {args.repeats}")
    try:
        register_given(args.register_coco)
        rows = PARTS[args.part](args)
    except (FileNotFoundError, ImportError, KeyError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    print(rows_table(args.part, rows))
    if args.output:
        command = shlex.join(["python", "-m", "benchmarks.speed", *sys.argv[1:]])
        write_json(args.output, {"command": command, "machine": machine(), args.part: rows})


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=PARTS, help="what to measure")
    parser.add_argument("--output", metavar="FILE.json", help="write the figures there as well")
    parser.add_argument(
        "--run",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "CONFIG.yaml WEIGHTS KEY VALUE"),
        help="a model, without WEIGHTS for training; repeatable",
    )
    parser.add_argument(
        "--repeats", type=int, default=7, help="timed calls of each (default: %(default)s)"
    )
    drawn = parser.add_argument_group("inference, grouping, writing")
    drawn.add_argument(
        "--size",
        nargs=2,
        type=int,
        default=[512, 512],
        metavar=("HEIGHT", "WIDTH"),
        help="of images",
    )
    drawn.add_argument(
        "--objects", nargs="+", type=int, default=[200, 1000], metavar="N", help="in an image"
    )
    drawn.add_argument(
        "--batch",
        nargs="+",
        type=int,
        default=[1, 8],
        metavar="B",
        help="images at once, of inference",
    )
    drawn.add_argument(
        "--threads",
        nargs="+",
        type=int,
        default=powers_of_two(os.cpu_count() or 1),
        metavar="N",
        help="images at once, of grouping (default: up to the number of cores)",
    )
    data = parser.add_argument_group("peers, roofline")
    data.add_argument(
        "--dataset", default="dsb2018_nuclei_val", metavar="NAME", help="default: %(default)s"
    )
    data.add_argument(
        "--images", type=int, default=20, metavar="N", help="taken evenly (default: %(default)s)"
    )
    varied = parser.add_argument_group("growth")
    for option, values, text in (
        ("sides", [128, 256, 512, 1024, 2048, 4096], "of images, in pixels"),
        ("counts", [1, 10, 100, 300, 1000], "of objects in an image"),
        ("seeds", [10, 100, 1000], "at most"),
        ("dims", [16, 32, 64, 128], "of the embedding"),
        ("thresholds", [1, 3, 9], "of the similarity"),
    ):
        varied.add_argument(
            f"--{option}", nargs="+", type=int, default=values, metavar="N", help=text
        )
    add_registration_option(parser)
    return parser


if __name__ == "__main__":
    # Processes that are started from here do so as well.
    use_huge_pages()
    main(argument_parser().parse_args())

"""Photographs on a borrowed GPU: pack where there is internet, run once where there is a GPU.

    python -m benchmarks.gpu.photographs pack --output pack --train-images 1400
    sh benchmarks/gpu/run.sh pack --output output/gpu
    python -m benchmarks.gpu.photographs run --output output/gpu

pack    Writes a folder for a machine that has a GPU, torch and the usual scientific packages, but
        no internet: the other packages, EfficientNet-Lite0's weights among them, and Pascal VOC and
        SBD from $DETECTRON2_DATASETS, shrunk. Refuses to go beyond --limit.
run     Checks the GPU; times the grouping over threads; trains ours and Mask R-CNN on EfficientNet-
        Lite0, one after the other, in bfloat16; scores both on VOC 2012 val; and times inference.
        All figures go to photographs.json in --output, after every step. run.sh is the same with
        the packages and the data of a pack. Without a GPU it runs on the CPU.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from datetime import datetime, timezone
from functools import partial

from dml_instance.engine import machine, message_of, use_huge_pages
from dml_instance.files import read_json, replacing_folder, write_json
from dml_instance.report import table

from .measuring import (
    compare,
    gpu_tests,
    graphics_card,
    grouping_speed,
    inference_speed,
)
from .packing import Allowance, pack_datasets, pack_wheels, write_contents

_COMMAND = "python -m benchmarks.gpu.photographs"


def pack(args: argparse.Namespace) -> None:
    allowance = Allowance(args.limit)
    if os.path.exists(args.output):
        sys.exit(f"error: {args.output} exists; remove it, or choose another --output")
    try:
        with replacing_folder(args.output) as folder:
            wheels, datasets = (os.path.join(folder, part) for part in ("wheels", "datasets"))
            os.mkdir(wheels)
            pack_wheels(wheels, allowance, args.python, args.wheels)
            images = pack_datasets(
                args.data,
                datasets,
                allowance,
                side=args.side,
                quality=args.quality,
                train_images=args.train_images,
                val_images=args.val_images,
            )
            contents = {
                "command": shlex.join([*_COMMAND.split(), *sys.argv[1:]]),
                "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
                "python": args.python,
                "side": args.side,
                "quality": args.quality,
                "images": images,
            }
            rows = write_contents(folder, contents)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {message_of(error)}")
    print(table(rows, ["part", "files", "MiB"]))
    print(
        f"{args.output}: {allowance.used / 2**20:.1f} of {args.limit:g} MiB; {images['train_aug']} "
        f"images to train on, {images['val']} to score. With it and this repository:\n"
        f"sh benchmarks/gpu/run.sh {shlex.quote(args.output)} --output output/gpu"
    )


def run(args: argparse.Namespace) -> None:
    try:
        card = graphics_card()
    except RuntimeError as error:
        sys.exit(f"error: {error}")
    print(f"GPU: {card['name']}, driver {card['driver']}" if card else "no GPU: on the CPU")
    os.makedirs(args.output, exist_ok=True)
    runs = os.path.join(args.output, "runs")
    steps = {
        "tests": partial(gpu_tests, args.output),
        "grouping": partial(grouping_speed, args.output),
        "comparison": partial(compare, runs, args.minutes, args.batch, args.opts),
        "inference": partial(inference_speed, runs, args.test_batch, args.repeats),
    }
    if not args.tests:
        del steps["tests"]
    results = {
        "command": shlex.join([*_COMMAND.split(), *sys.argv[1:]]),
        "machine": machine(),
        "gpu": card,
        "pack": read_json(os.path.join(args.pack, "pack.json")) if args.pack else None,
        "seconds": {},
        "errors": {},
    }
    path = os.path.join(args.output, "photographs.json")
    for name, step in steps.items():
        print(f"{name} ...", flush=True)
        start = time.perf_counter()
        try:
            results[name] = step()
        # Whatever it is: the machine is borrowed, and the other steps are worth their figures.
        except Exception as error:
            results["errors"][name] = f"{type(error).__name__}: {error}"
        results["seconds"][name] = round(time.perf_counter() - start, 1)
        write_json(path, results)
    results["errors"] |= results.get("comparison", {}).get("failed", {})
    write_json(path, results)
    print(summary(results))
    print(path)
    if results["errors"]:
        sys.exit("\n\n".join(f"error: {name}: {text}" for name, text in results["errors"].items()))


def summary(results: dict) -> str:
    """The figures that count most of ``photographs.json``, as tables."""
    parts = []
    if "tests" in results:
        parts.append(results["tests"])
    if "grouping" in results:
        columns = ("objects", "threads", "images_per_second", "instances")
        rows = [[row[column] for column in columns] for row in results["grouping"]]
        parts.append(table(rows, ["grouping: objects", *columns[1:]]))
    if "comparison" in results:
        scores = results["comparison"]["scores"]
        rows = [
            [
                name,
                *(scores[name]["segm_voc"][metric] for metric in ("AP50", "AP70")),
                scores[name]["segm"]["AP"],
                *(of_run["training"].get(key) for key in ("minutes", "images_per_second")),
                of_run["peak_gpu_memory_mib"],
            ]
            for name, of_run in results["comparison"]["runs"].items()
        ]
        header = ["training", "mAP^r 0.5", "0.7", "AP", "minutes", "images/s", "GPU MiB"]
        parts.append(table(rows, header))
    if "inference" in results:
        columns = ("run", "batch", "ms", "images_per_second", "share")
        rows = [[row.get(column) for column in columns] for row in results["inference"]]
        parts.append(table(rows, ["inference", *columns[1:]]))
    return "\n\n".join(parts)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="write what a machine without internet needs")
    packing.set_defaults(act=pack)
    packing.add_argument("--output", required=True, metavar="DIR", help="folder to write")
    packing.add_argument(
        "--data",
        default=os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets")),
        metavar="DIR",
        help="folder of VOC and SBD (default: $DETECTRON2_DATASETS)",
    )
    packing.add_argument(
        "--limit", type=float, default=64, metavar="MIB", help="default: %(default)s"
    )
    packing.add_argument(
        "--python",
        default=f"{sys.version_info.major}.{sys.version_info.minor}",
        metavar="VERSION",
        help="of the machine with the GPU (default: %(default)s, this one's)",
    )
    packing.add_argument(
        "--wheels", nargs="*", default=[], metavar="NAME", help="further packages for it"
    )
    packing.add_argument(
        "--side", type=int, default=320, help="short side of images, in pixels (default: 320)"
    )
    packing.add_argument("--quality", type=int, default=75, help="of JPEG (default: %(default)s)")
    for part in ("train", "val"):
        packing.add_argument(
            f"--{part}-images", type=int, metavar="N", help="evenly spread (default: all)"
        )
    running = commands.add_parser("run", help="train, score and time")
    running.set_defaults(act=run)
    running.add_argument("--output", required=True, metavar="DIR", help="folder of the results")
    running.add_argument("--pack", metavar="DIR", help="what pack wrote, for the record")
    running.add_argument(
        "--minutes",
        type=float,
        default=3.0,
        help="of training for each model (default: %(default)s, about nine minutes in all)",
    )
    running.add_argument(
        "--batch", type=int, default=16, metavar="B", help="images a training step (default: 16)"
    )
    running.add_argument(
        "--test-batch",
        nargs="+",
        type=int,
        default=[1, 8, 32],
        metavar="B",
        help="images a call whose inference is timed (default: 1 8 32)",
    )
    running.add_argument(
        "--repeats", type=int, default=7, help="timed calls of inference (default: %(default)s)"
    )
    running.add_argument("--tests", action="store_true", help="run pytest -m gpu first")
    running.add_argument(
        "--opts", nargs="*", default=[], metavar="KEY VALUE", help="options of both trainings"
    )
    return parser


def main(args: argparse.Namespace) -> None:
    args.act(args)


if __name__ == "__main__":
    # Processes that are started from here do so as well.
    use_huge_pages()
    main(argument_parser().parse_args())

#!/usr/bin/env python
"""Measure speed and memory, side by side in one run, and write the figures as JSON.

    python tools/benchmark.py evaluator --output results/benchmark_evaluator.json
    python tools/benchmark.py inference --output results/benchmark_inference.json \\
        --run ours configs/DSB2018/dml_slim_unet.yaml dml://nuclei \\
        --run mask_rcnn configs/DSB2018/mask_rcnn_R_18_FPN.yaml output/compare/nuclei_12/mask_rcnn/model_final.pth

evaluator   mAP^r of as many drawn images as VOC 2012 val has, 20 predictions each; and of images with four times the
            pixels.
inference   Models on drawn cells, for every number of objects and every batch; of ours the network and the grouping
            apart. Times are medians and quartiles of calls in turn; memory is that of a process of its own.
"""

import argparse
import shlex
import sys

from tqdm import tqdm

from dml_instance.benchmark.evaluator import benchmark_evaluator
from dml_instance.benchmark.inference import memory_of_inference, time_inference
from dml_instance.benchmark.scenes import drawn_cells
from dml_instance.engine import machine
from dml_instance.files import write_json
from dml_instance.report import table


def run_evaluator(args: argparse.Namespace) -> list[dict]:
    return benchmark_evaluator()


def run_inference(args: argparse.Namespace) -> list[dict]:
    runs = {name: tuple(rest) for name, *rest in args.run}
    if len(runs) != len(args.run) or any(len(rest) < 2 for rest in runs.values()):
        sys.exit("error: --run takes NAME CONFIG.yaml WEIGHTS [KEY VALUE ...], each with a name of its own")
    runs = {name: (config, weights, options) for name, (config, weights, *options) in runs.items()}
    rows = []
    for objects, batch in tqdm([(o, b) for o in args.objects for b in args.batch], desc="timing", unit="setting"):
        images = [drawn_cells(*args.size, objects, seed) for seed in range(batch)]
        for name, figures in time_inference(runs, images, args.repeats).items():
            row = {"objects": objects, "batch": batch, "run": name, "ms_an_image": figures["ms"] / batch, **figures}
            rows.append({**row, "mib": memory_of_inference(runs[name], images) if name in runs else None})
    return rows


PARTS = {"evaluator": run_evaluator, "inference": run_inference}


def main(args: argparse.Namespace) -> None:
    rows = PARTS[args.part](args)
    header = list(dict.fromkeys(key for row in rows for key in row))
    print(table([[row.get(key) for key in header] for row in rows], header))
    if args.output:
        command = shlex.join(["python", "tools/benchmark.py", *sys.argv[1:]])
        write_json(args.output, {"command": command, "machine": machine(), args.part: rows})


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS, help="what to measure")
    parser.add_argument("--output", metavar="FILE.json", help="write the figures there as well")
    parser.add_argument(
        "--run",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "CONFIG.yaml WEIGHTS KEY VALUE"),
        help="a model of inference; repeatable",
    )
    parser.add_argument("--size", nargs=2, type=int, default=[512, 512], metavar=("HEIGHT", "WIDTH"), help="of images")
    parser.add_argument("--objects", nargs="+", type=int, default=[200, 1000], metavar="N", help="in an image")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8], metavar="B", help="images at once")
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each (default: %(default)s)")
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

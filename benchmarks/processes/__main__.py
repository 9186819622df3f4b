"""Several processes against one, on the CPU: metrics, gradients, and what happens when one dies.

    python -m benchmarks.processes --output benchmarks/results/processes.json

Drawn images are scored by every evaluator, and a step of ours and of Mask R-CNN is taken on a batch
of six, in one, two and three processes. Of two processes, on one machine and on two of the address
127.0.0.1, one ends. Nothing is timed but how long the other one lives.
"""

import argparse
import json
import os
import shlex
import sys
import tempfile

import torch

from dml_instance.engine import machine, run_in_processes
from dml_instance.files import read_json, write_json

from .ends import ENDS, end_of
from .gradients import GRADIENTS_FILE, difference
from .metrics import METRICS_FILE, flat, other_figures
from .share import compare_share

WORLDS = (1, 2, 3)


def main(args: argparse.Namespace) -> None:
    figures = {
        "command": shlex.join(["python", "-m", "benchmarks.processes", *sys.argv[1:]]),
        "machine": machine(),
    }
    with tempfile.TemporaryDirectory() as folder:
        for world in WORLDS:
            work = os.path.join(folder, str(world))
            os.makedirs(work)
            run_in_processes(compare_share, (work,), processes=world, url="auto")
        figures["metrics"] = compared_metrics(folder)
        figures["gradients"] = compared_gradients(folder)
    figures["ends"] = [end_of(end, machines=count) for count in (1, 2) for end in ENDS]
    text = json.dumps(figures, indent=2)
    print(text)
    if args.output:
        write_json(args.output, figures)


def compared_metrics(folder: str) -> list[dict]:
    """For each case and number of processes: how many figures there are, and how many of them are
    others than those of one process."""
    found = {w: read_json(os.path.join(folder, str(w), METRICS_FILE)) for w in WORLDS}
    return [
        {
            "case": case,
            "processes": world,
            "figures": len(flat(of_one)),
            "other": len(other_figures(found[world][case], of_one)),
        }
        for case, of_one in found[1].items()
        for world in WORLDS[1:]
    ]


def compared_gradients(folder: str) -> list[dict]:
    """For each model, batch and number of processes: parameters with and without a gradient, the
    difference from that of one process, and what was counted for ``MIN_SHARE_APART``."""
    found = {w: torch.load(os.path.join(folder, str(w), GRADIENTS_FILE)) for w in WORLDS}
    return [
        {
            "step": step,
            "processes": world,
            "parameters": sum(g.numel() for g in of["gradients"].values()),
            "without_gradient": of["without"],
            "relative_difference": difference(of["gradients"], found[1][step]["gradients"]),
            "losses": of["losses"],
            "objects_counted": of["objects"],
        }
        for world in WORLDS
        for step, of in found[world].items()
    ]


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.processes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", metavar="FILE", help="JSON to write the figures to")
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

#!/usr/bin/env python
"""The whole way in one command: draw Shapes, train a small model, evaluate it, draw what it sees.

    python tools/demo.py
    python tools/demo.py --shipped    # the trained model that comes with the package: a minute

A second run finds the trained model and only evaluates and draws. An interrupted training is
resumed.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import _quiet  # noqa: F401

from dml_instance.engine import RESULTS_FILE, count, load_config, results_table
from dml_instance.files import read_json
from dml_instance.model_zoo import PREFIX

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "Shapes" / "dml_slim_unet.yaml"


def run(step: str, tool: str, *arguments: str) -> None:
    """Run a tool in a process of its own; ends the demo with its exit status if it fails."""
    print(f"\n=== {step}: tools/{tool} {' '.join(arguments)}", flush=True)
    status = subprocess.run(
        [sys.executable, str(ROOT / "tools" / tool), *arguments], cwd=ROOT
    ).returncode
    if status:
        sys.exit(f"{step} failed with exit status {status}; the lines above say why")


def main(args: argparse.Namespace) -> None:
    config = ["--config-file", str(CONFIG.relative_to(ROOT))]
    folder = (
        Path("output", "shapes", "shipped")
        if args.shipped
        else Path(load_config(str(CONFIG)).OUTPUT_DIR)
    )
    weights = f"{PREFIX}shapes" if args.shipped else str(folder / "model_final.pth")
    output = ROOT / folder
    shapes = Path(os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets")), "shapes")

    if not (ROOT / shapes / "annotations").is_dir():
        run("data", "prepare_shapes.py")
    options = ["OUTPUT_DIR", str(folder)]
    if args.shipped or (ROOT / weights).is_file():
        run(
            "evaluation", "train_net.py", *config, "--eval-only", "MODEL.WEIGHTS", weights, *options
        )
    else:
        run("training and evaluation", "train_net.py", *config, "--resume", *options)
    run(
        "pictures",
        "visualize.py",
        *config,
        "--weights",
        weights,
        "--number",
        str(args.pictures),
        *options,
    )

    print(f"\n{results_table(read_json(str(output / RESULTS_FILE)))}\n")
    for what, where in (
        ("data set", os.path.relpath(ROOT / shapes)),
        ("model", weights if args.shipped else os.path.relpath(ROOT / weights)),
        ("figures", os.path.relpath(output / RESULTS_FILE)),
        ("log", os.path.relpath(output / "log.txt")),
        ("pictures", os.path.relpath(output / "pictures")),
    ):
        print(f"{what:10}{where}")


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--shipped", action="store_true", help=f"do not train: take the model {PREFIX}shapes"
    )
    parser.add_argument(
        "--pictures",
        type=count,
        default=10,
        metavar="N",
        help="pictures to draw (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

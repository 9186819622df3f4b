#!/usr/bin/env python
"""The whole way in one command: draw Shapes, train a small box-free segmenter, evaluate it, draw what it sees.

    python tools/demo.py

A second run finds the trained model and only evaluates and draws. An interrupted training is resumed.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from dml_instance.engine import RESULTS_FILE, load_config, read_json
from dml_instance.report import results_table

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "Shapes" / "dml_slim_unet.yaml"


def run(step: str, tool: str, *arguments: str) -> None:
    """Run a tool in a process of its own; ends the demo with its exit status if it fails."""
    print(f"\n=== {step}: tools/{tool} {' '.join(arguments)}", flush=True)
    status = subprocess.run([sys.executable, str(ROOT / "tools" / tool), *arguments], cwd=ROOT).returncode
    if status:
        sys.exit(f"{step} failed with exit status {status}; the lines above say why")


def main(args: argparse.Namespace) -> None:
    config = ["--config-file", str(CONFIG.relative_to(ROOT))]
    output = ROOT / load_config(str(CONFIG)).OUTPUT_DIR
    weights = output / "model_final.pth"
    shapes = Path(os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets")), "shapes")

    if not (ROOT / shapes / "annotations").is_dir():
        run("data", "prepare_shapes.py")
    if weights.is_file():
        run("evaluation", "train_net.py", *config, "--eval-only", "MODEL.WEIGHTS", str(weights.relative_to(ROOT)))
    else:
        run("training and evaluation", "train_net.py", *config, "--resume")
    run("pictures", "visualize.py", *config, "--number", str(args.pictures))

    print(f"\n{results_table(read_json(str(output / RESULTS_FILE)))}\n")
    for what, where in (
        ("data set", ROOT / shapes),
        ("model", weights),
        ("figures", output / RESULTS_FILE),
        ("log", output / "log.txt"),
        ("pictures", output / "pictures"),
    ):
        print(f"{what:10}{os.path.relpath(where)}")


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10, metavar="N", help="pictures to draw (default: %(default)s)")
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

"""The same config under this project's trainer and under Detectron2's own tools.

    python -m benchmarks.stock_trainer --output benchmarks/results/stock_trainer.json

Trains Shapes three times, one after the other: by tools/train_net.py; by Detectron2's
``tools/train_net.py`` with nothing but the two lines that add this plugin's keys; and by
Detectron2's ``tools/lazyconfig_train_net.py`` with configs/lazy/shapes.py.
"""

import argparse
import os
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from dml_instance import add_dml_config
from dml_instance.engine import machine
from dml_instance.files import write_json
from dml_instance.report import table

ROOT = Path(__file__).resolve().parents[1]
YAML = "configs/Shapes/dml_slim_unet.yaml"
LAZY = "configs/lazy/shapes.py"


def with_plugin(tool: ModuleType) -> ModuleType:
    """A tool of Detectron2 whose configs know this project's keys, in place.

    It stands for the two lines that a user adds to a copy of the tool: the import of
    ``add_dml_config``, and its call behind ``get_cfg()``.
    """
    stock = tool.get_cfg

    def get_cfg():
        cfg = stock()
        add_dml_config(cfg)
        return cfg

    tool.get_cfg = get_cfg
    return tool


def run_stock_tool(name: str, arguments: list[str]) -> None:
    """Detectron2's own tool of a name, with the plugin's lines, in this process."""
    tool = import_module(f"detectron2.tools.{name}")
    if hasattr(tool, "get_cfg"):
        with_plugin(tool)
    tool.main(tool.default_argument_parser().parse_args(arguments))


def mask_ap(log: str) -> dict[str, float]:
    """AP and AP50 of masks from the last table that Detectron2 printed into a log."""
    lines = [line.split("copypaste: ")[1] for line in log.splitlines() if "copypaste: " in line]
    index = len(lines) - 1 - lines[::-1].index("Task: segm")
    names, values = lines[index + 1].split(","), lines[index + 2].split(",")
    found = dict(zip(names, map(float, values), strict=True))
    return {"AP": found["AP"], "AP50": found["AP50"]}


def commands(args: argparse.Namespace) -> dict[str, list[str]]:
    """What each of the three trainings is started with, behind ``python``."""
    count, seed = args.iterations, args.seed
    stock = ["-m", "benchmarks.stock_trainer", "--stock"]

    def yaml(folder: str) -> list[str]:
        options = f"SOLVER.MAX_ITER {count} TEST.EVAL_PERIOD 0 MODEL.DEVICE cpu SEED {seed}"
        output = os.path.join(args.folder, folder)
        return ["--config-file", YAML, *options.split(), "OUTPUT_DIR", output]

    options = {"max_iter": count, "eval_period": count, "seed": seed}
    options["output_dir"] = os.path.join(args.folder, "lazy")
    lazy = [f"train.{key}={value}" for key, value in options.items()]
    return {
        "tools/train_net.py": ["tools/train_net.py", *yaml("ours")],
        "Detectron2 train_net": [*stock, "train_net", *yaml("stock")],
        "Detectron2 lazyconfig_train_net": [
            *(*stock, "lazyconfig_train_net", "--config-file", LAZY),
            *lazy,
        ],
    }


def run(name: str, command: list[str]) -> dict[str, float]:
    """Train by a command; its ``mask_ap``. Ends the program where it fails, with its last lines."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stdout[-3000:]}")
    return mask_ap(done.stdout)


def main(args: argparse.Namespace) -> None:
    rows = []
    for name, command in commands(args).items():
        row = {"trainer": name, "iterations": args.iterations, **run(name, command)}
        first = rows[0]["AP"] if rows else row["AP"]
        # Nothing is learnt in a handful of iterations.
        rows.append({**row, "times_ours": round(row["AP"] / first, 3) if first else None})
    header = list(rows[0])
    print(table([list(row.values()) for row in rows], header, digits=2))
    if args.output:
        command = shlex.join(["python", "-m", "benchmarks.stock_trainer", *sys.argv[1:]])
        figures = {"command": command, "seed": args.seed, "machine": machine(), "rows": rows}
        write_json(args.output, figures)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stock_trainer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--iterations", type=int, default=400, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--folder", default="output/stock_trainer", help="of the three trainings")
    parser.add_argument("--output", metavar="FILE", help="JSON to write the figures to")
    return parser


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stock"]:
        run_stock_tool(sys.argv[2], sys.argv[3:])
    else:
        main(argument_parser().parse_args())

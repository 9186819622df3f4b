#!/usr/bin/env python
"""Add a trained model to those that come with the package, loaded as ``MODEL.WEIGHTS dml://NAME``.

    python tools/ship_model.py output/cells --name cells \\
        --config configs/DSB2018/dml_slim_unet.yaml \\
        --command "python tools/train_net.py --config-file configs/DSB2018/dml_slim_unet.yaml"

The weights go into dml_instance/model_zoo/ in float16, and what made them, with their figures, into
models.json there.
"""

import argparse
import os
import sys

import _quiet  # noqa: F401

from detectron2.config import CfgNode

from dml_instance import model_zoo
from dml_instance.engine import RESULTS_FILE, TRAINING_FILE
from dml_instance.files import read_json


def main(args: argparse.Namespace) -> int:
    weights = os.path.join(args.run, "model_final.pth")
    training = read_json(os.path.join(args.run, TRAINING_FILE))
    results = read_json(os.path.join(args.run, RESULTS_FILE))
    config = os.path.join(args.run, "config.yaml")
    for path, content in (
        (weights, os.path.isfile(weights)),
        (config, os.path.isfile(config)),
        (TRAINING_FILE, training),
        (RESULTS_FILE, results),
    ):
        if not content:
            sys.exit(
                f"error: no {os.path.basename(path)} in {args.run}; give the folder of a finished "
                "run"
            )
    if not os.path.isfile(args.config):
        sys.exit(f"error: config file {args.config} does not exist")
    stored = CfgNode.load_yaml_with_base(config)
    facts = {"config": args.config, "command": args.command, "training": training}
    facts["min_score"] = stored["TEST"].get("MIN_SCORE")
    facts |= {key: results[key] for key in ("metrics", "machine")}
    try:
        entry = model_zoo.ship(weights, args.name, facts)
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(f"{model_zoo.PREFIX}{args.name}: {entry['bytes'] / 1e6:.1f} MB, sha256 {entry['sha256']}")
    return 0


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="DIR", help="OUTPUT_DIR of a finished run")
    parser.add_argument("--name", required=True, help="of the model")
    parser.add_argument(
        "--config", required=True, metavar="FILE", help="yaml that builds the model"
    )
    parser.add_argument("--command", required=True, help="that trained it")
    return parser


if __name__ == "__main__":
    sys.exit(main(argument_parser().parse_args()))

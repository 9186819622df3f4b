"""Train a model on a data set that ``dml prepare`` made, and score it.

    dml train --data datasets/cell --output output/cell
    dml train --data datasets/cell --output output/cell --minutes 12
    dml train --data datasets/cell --output output/cell --resume

OUTPUT holds the model, its config, a log and the figures; --model of the other commands takes it.
Any other data set and config, several GPUs and machines: tools/train_net.py of the repository.
"""

import argparse
import sys

from ..data.coco import parse_registration
from ..model_zoo import config_file
from . import train_net
from .prepared import check_written, is_written, registrations

DEFAULT_CONFIG = "DSB2018/dml_efficientnet_lite0.yaml"


def main(args: argparse.Namespace) -> int:
    """Train as ``tools/train_net.py`` does."""
    words, sets = [], []
    try:
        words += ["--config-file", config_file(args.config)]
        for key, registration in zip(("TRAIN", "TEST"), registrations(args.data), strict=True):
            name, json_file, _ = parse_registration(registration)
            if key == "TRAIN":
                check_written(json_file)
            is_there = is_written(registration)
            words += ["--register-coco", registration] if is_there else []
            sets += [f"DATASETS.{key}", f"('{name}',)" if is_there else "()"]
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    words += ["--resume"] if args.resume else []
    words += ["--minutes", str(args.minutes)] if args.minutes is not None else []
    words += [*sets, "OUTPUT_DIR", args.output, *args.opts]
    return train_net.main(train_net.argument_parser().parse_args(words))


def argument_parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="that `dml prepare --output` wrote"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the training")
    parser.add_argument(
        "--config",
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help="a yaml, or one of the package's (default: %(default)s)",
    )
    train_net.add_minutes_option(parser)
    parser.add_argument(
        "--resume", action="store_true", help="go on with an interrupted training in --output"
    )
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="KEY VALUE overrides of the config, last"
    )
    return parser

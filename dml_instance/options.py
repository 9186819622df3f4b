"""Options that several commands have, for ``tools/`` and ``benchmarks/``."""

import argparse

from .data.images import MAX_PIXELS, ReadingRules


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Options of a tool that takes a trained model.

    They are ``--config-file``, ``--weights``, ``--register-coco`` and ``opts``.
    """
    parser.add_argument(
        "--config-file",
        required=True,
        metavar="FILE",
        help="config.yaml of a training, or a yaml of configs/",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="checkpoint, or dml://NAME (default: model_final.pth in OUTPUT_DIR)",
    )
    add_registration_option(parser)
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="KEY VALUE overrides of the config, last"
    )


def add_registration_option(parser: argparse.ArgumentParser) -> None:
    """``--register-coco``; ``data.register_given`` takes what it collects."""
    parser.add_argument(
        "--register-coco",
        action="append",
        default=[],
        metavar="NAME=ANNOTATIONS.json:IMAGE_DIR",
        help="register a data set in COCO format under a name; repeatable",
    )


def add_score_option(parser: argparse.ArgumentParser) -> None:
    """``--min-score``, of which ``engine.min_score_of`` knows the default."""
    parser.add_argument(
        "--min-score",
        type=float,
        help="least score of an object, in [0, 1] (default: that which the training chose, else "
        "0.5)",
    )


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """``--page``, ``--channels`` and ``--max-pixels`` for a tool that reads images of users;
    ``reading_rules`` takes what they were given."""
    parser.add_argument(
        "--page",
        type=int,
        metavar="N",
        help="of files with several pages, from 0 (default: refuse)",
    )
    parser.add_argument(
        "--channels",
        type=int,
        nargs="+",
        metavar="N",
        help="of each image, from 0: one for grey, or those for red, green and blue",
    )
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help="height times width of the largest image that is read (default: %(default)s)",
    )


def reading_rules(args: argparse.Namespace) -> ReadingRules:
    """What ``add_reading_options`` collected; ValueError for a value out of range."""
    channels = None if args.channels is None else tuple(args.channels)
    return ReadingRules(args.page, channels, args.max_pixels)

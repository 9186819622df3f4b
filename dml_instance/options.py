"""Options that several commands have, for ``commands/``, ``tools/`` and ``benchmarks/``."""

import argparse
import os
import sys

from .engine.config import check_pairs_come_last, is_key
from .images import MAX_PIXELS, ReadingRules, is_image_name


class ModelArgumentParser(argparse.ArgumentParser):
    """With ``--model``, or ``--config-file`` and ``--weights``; ``--register-coco``; and ``opts``:
    KEY VALUE pairs. ``engine.given_model`` takes them.

    The pairs come last. The first key of a config begins them: of an option that takes several
    values it ends them, where argparse would take it for one more.
    """

    def __init__(self, description: str, prog: str | None = None):
        """
        Args:
            description: of the tool, shown as it is.
            prog: what the tool is called; None: as its file.
        """
        super().__init__(
            prog=prog,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        model = self.add_mutually_exclusive_group(required=True)
        model.add_argument(
            "--model",
            metavar="MODEL",
            help="name of a model of the package (`dml models`), OUTPUT_DIR of a training, or a "
            "checkpoint",
        )
        model.add_argument(
            "--config-file",
            metavar="FILE",
            help="config.yaml of a training, or a yaml of configs/",
        )
        self.add_argument(
            "--weights",
            metavar="FILE",
            help="with --config-file: checkpoint, or dml://NAME (default: model_final.pth in "
            "OUTPUT_DIR)",
        )
        add_registration_option(self)
        self.add_argument(
            "opts", nargs=argparse.REMAINDER, help="KEY VALUE overrides of the config, last"
        )

    def parse_known_args(self, args=None, namespace=None):
        args = list(sys.argv[1:] if args is None else args)
        start = self._start_of_pairs(args)
        try:
            check_pairs_come_last(args[start:])
        except ValueError as error:
            self.error(str(error))
        known, unknown = super().parse_known_args(args[:start], namespace)
        known.opts = [*known.opts, *args[start:]]
        return known, unknown

    def _start_of_pairs(self, args: list[str]) -> int:
        """The place of the first key; what stands right behind an option is its value, and what is
        there, or called like an image, is a file."""
        with_value = {o for a in self._actions if a.nargs != 0 for o in a.option_strings}
        places = (
            place
            for place, (before, argument) in enumerate(zip(["", *args], args, strict=False))
            if before not in with_value and is_key(argument) and not _is_file(argument)
        )
        return next(places, len(args))


def _is_file(argument: str) -> bool:
    return is_image_name(argument) or os.path.exists(argument)


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


def count(text: str) -> int:
    """The ``type`` of an argument that counts, from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"it is a whole number, at least 0, got {text}")
    return int(text)


def count_from_1(text: str) -> int:
    """The ``type`` of an argument that counts, from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"it is a whole number, at least 1, got {text}")
    return int(text)

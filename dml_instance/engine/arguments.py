"""Arguments of a tool that takes a trained model."""

import argparse
import sys

from ..data import add_registration_option
from .config import check_pairs_come_last, is_key


class ModelArgumentParser(argparse.ArgumentParser):
    """With ``--config-file``, ``--weights``, ``--register-coco``, and ``opts``: KEY VALUE pairs.

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
        self.add_argument(
            "--config-file",
            required=True,
            metavar="FILE",
            help="config.yaml of a training, or a yaml of configs/",
        )
        self.add_argument(
            "--weights",
            metavar="FILE",
            help="checkpoint, or dml://NAME (default: model_final.pth in OUTPUT_DIR)",
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
        """The place of the first key; what stands right behind an option is its value."""
        with_value = {o for a in self._actions if a.nargs != 0 for o in a.option_strings}
        places = (
            place
            for place, (before, argument) in enumerate(zip(["", *args], args, strict=False))
            if before not in with_value and is_key(argument)
        )
        return next(places, len(args))


def add_score_option(parser: argparse.ArgumentParser) -> None:
    """``--min-score``, of which ``min_score_of`` knows the default."""
    parser.add_argument(
        "--min-score",
        type=float,
        help="least score of an object, in [0, 1] (default: that which the training chose, else "
        "0.5)",
    )


def count(text: str) -> int:
    """The ``type`` of an argument that counts, from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"it is a whole number, at least 0, got {text}")
    return int(text)

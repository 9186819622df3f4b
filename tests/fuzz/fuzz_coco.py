#!/usr/bin/env python
"""Mutated COCO files through the check, the mapper and the scoring: counts of what became of them.

    PYTHONPATH=.:tests python tests/fuzz/fuzz_coco.py --count 500

Ends with an error, and keeps the file, where one is neither refused by name nor read with all that
it holds, or takes longer than five seconds.
"""

import argparse
import contextlib
import io
import logging
import os
import sys
import tempfile
from pathlib import Path

from fuzz.coco_files import mutated, outcome, plain_mapper, write_valid
from fuzz.trials import argument_parser, count_wrong


def main(args: argparse.Namespace) -> int:
    """Try everything; returns the number of files that went wrong."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["FVCORE_CACHE"] = str(folder / "cache")
        valid, images = write_valid(folder)
        text, mapper = valid.read_text(), plain_mapper()

        def write(seed: int) -> Path:
            path = folder / f"{seed}.json"
            path.write_bytes(mutated(text, seed))
            return path

        def judge(path: Path, _) -> str:
            with contextlib.redirect_stdout(io.StringIO()):
                return outcome(path, images, mapper)

        return count_wrong("coco", args, write, judge)


if __name__ == "__main__":
    sys.exit(1 if main(argument_parser(__doc__).parse_args()) else 0)

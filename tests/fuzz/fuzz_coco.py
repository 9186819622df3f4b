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
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from fuzz.coco_files import mutated, outcome, plain_mapper, write_valid

_SECONDS = 5


def _too_long(*_) -> None:
    raise TimeoutError(f"took longer than {_SECONDS} s")


def main(args: argparse.Namespace) -> int:
    """Try everything; returns the number of files that went wrong."""
    logging.disable(logging.WARNING)
    signal.signal(signal.SIGALRM, _too_long)
    folder, counts = Path(tempfile.mkdtemp()), Counter()
    os.environ["FVCORE_CACHE"] = str(folder / "cache")
    valid, images = write_valid(folder)
    text, mapper = valid.read_text(), plain_mapper()
    for seed in tqdm(range(args.first, args.first + args.count), unit="file"):
        path = folder / f"{seed}.json"
        path.write_bytes(mutated(text, seed))
        signal.alarm(_SECONDS)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                counts[outcome(path, images, mapper)] += 1
            path.unlink()
        except Exception:
            counts["wrong"] += 1
            traceback.print_exc()
            print(f"this was {path}", file=sys.stderr)
        finally:
            signal.alarm(0)
    print(", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items())))
    return counts["wrong"]


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500, help="files (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(1 if main(argument_parser().parse_args()) else 0)

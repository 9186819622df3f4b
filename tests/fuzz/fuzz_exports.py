#!/usr/bin/env python
"""Mutated exports of all forms through their readers: counts of what became of them.

    PYTHONPATH=.:tests python tests/fuzz/fuzz_exports.py --count 500

Ends with an error, and keeps the file, where one is neither read nor refused in a line that names
it, or takes longer than five seconds.
"""

import argparse
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

import toy_exports as toy
from fuzz.exports import WRITERS, mutated, outcome

_SECONDS = 5


def _too_long(*_) -> None:
    raise TimeoutError(f"took longer than {_SECONDS} s")


def main(args: argparse.Namespace) -> int:
    """Try everything; returns the number of files that went wrong."""
    signal.signal(signal.SIGALRM, _too_long)
    wrong = 0
    for form, write in WRITERS.items():
        folder, counts = Path(tempfile.mkdtemp()), Counter()
        # VIA knows neither holes nor parts.
        file = write(folder, toy.PLAIN if form == "via" else toy.ALL)
        content = file.read_bytes()
        for seed in range(args.first, args.first + args.count):
            file.write_bytes(mutated(content, seed))
            signal.alarm(_SECONDS)
            try:
                counts[outcome(form, folder, file)] += 1
            except Exception:
                counts["wrong"] += 1
                traceback.print_exc()
                kept = file.rename(file.with_name(f"{seed}_{file.name}"))
                print(f"this was {kept}", file=sys.stderr)
            finally:
                signal.alarm(0)
        wrong += counts["wrong"]
        print(form, ", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items())))
    return wrong


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500, help="of a form (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(1 if main(argument_parser().parse_args()) else 0)

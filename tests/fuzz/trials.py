"""What the fuzzers share: mutants seed by seed, five seconds for each, and counts of what became of
them."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

_SECONDS_A_FILE = 5


class TookTooLong(BaseException):
    """No Exception, which readers turn into a refusal."""


def argument_parser(description: str) -> argparse.ArgumentParser:
    """Options of every fuzzer."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500, help="of a form (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="of a form, at most (default: all files)")
    return parser


def count_wrong(
    form: str,
    args: argparse.Namespace,
    write: Callable[[int], Path],
    outcome: Callable[[Path, int], str],
) -> int:
    """Try the mutants of a form, print counts, and keep the files that went wrong.

    Args:
        form: of the files, for the line that is printed.
        args: of ``argument_parser``.
        write: gives the mutated file of a seed.
        outcome: says what became of a file and its seed; whatever it raises is wrong.

    Returns:
        How many went wrong.
    """
    counts, start = Counter(), time.monotonic()
    previous = signal.signal(signal.SIGALRM, _too_long)
    for seed in tqdm(range(args.first, args.first + args.count), form, unit="file"):
        if args.seconds is not None and time.monotonic() - start > args.seconds:
            break
        file = write(seed)
        signal.alarm(_SECONDS_A_FILE)
        try:
            counts[outcome(file, seed)] += 1
        except (Exception, TookTooLong):
            counts["wrong"] += 1
            traceback.print_exc()
            kept = shutil.copy(file, Path(tempfile.mkdtemp()) / f"{seed}_{file.name}")
            print(f"this was {kept}", file=sys.stderr)
        finally:
            signal.alarm(0)
        file.unlink()
    signal.signal(signal.SIGALRM, previous)
    print(f"{form}:", ", ".join(f"{counts[k]} {k}" for k in ("read", "refused", "wrong")))
    return counts["wrong"]


def _too_long(*_) -> None:
    raise TookTooLong(f"took longer than {_SECONDS_A_FILE} s")

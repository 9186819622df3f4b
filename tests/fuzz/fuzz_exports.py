#!/usr/bin/env python
"""Mutated exports of all forms through their readers: counts of what became of them.

    PYTHONPATH=.:tests python tests/fuzz/fuzz_exports.py --count 500

Ends with an error, and keeps the file, where one is neither read nor refused in a line that names
it, or takes longer than five seconds.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import toy_exports as toy
from fuzz.exports import WRITERS, mutated, outcome
from fuzz.trials import argument_parser, count_wrong


def main(args: argparse.Namespace) -> int:
    """Try everything; returns the number of files that went wrong."""
    return sum(_of_form(form, args) for form in WRITERS)


def _of_form(form: str, args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # VIA knows neither holes nor parts.
        file = WRITERS[form](folder, toy.PLAIN if form == "via" else toy.ALL)
        content = file.read_bytes()

        def write(seed: int) -> Path:
            file.write_bytes(mutated(content, seed))
            return file

        return count_wrong(form, args, write, lambda path, _: outcome(form, folder, path))


if __name__ == "__main__":
    sys.exit(1 if main(argument_parser(__doc__).parse_args()) else 0)

#!/usr/bin/env python
"""Mutated image files and label images through their reader: counts of what became of them.

    PYTHONPATH=.:tests python tests/fuzz/fuzz_images.py --count 500

Ends with an error, and keeps the file, where one is neither read nor refused in a line that names
it, something else is printed, or it takes longer than five seconds or 256 MB.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from fuzz.images import OUTCOMES, mutated, valid_files
from fuzz.trials import argument_parser, count_wrong


def main(args: argparse.Namespace) -> int:
    """Try everything; returns the number of files that went wrong."""
    return sum(_of_form(form, args) for form in OUTCOMES)


def _of_form(form: str, args: argparse.Namespace) -> int:
    files = valid_files(form)
    with tempfile.TemporaryDirectory() as folder:

        def write(seed: int) -> Path:
            name, content = mutated(files, seed)
            path = Path(folder) / name
            path.write_bytes(content)
            return path

        return count_wrong(form, args, write, OUTCOMES[form])


if __name__ == "__main__":
    sys.exit(1 if main(argument_parser(__doc__).parse_args()) else 0)

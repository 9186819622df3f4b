"""``dml compare``, as the pages and figures of this project name it."""

import sys

from dml_instance.cli import run
from dml_instance.commands.compare import argument_parser, main

if __name__ == "__main__":
    sys.exit(run(argument_parser("python -m benchmarks.compare"), main))

#!/usr/bin/env python
"""Make a data set that trains, as ``dml prepare`` does; ``--help`` has it all."""

import sys

from dml_instance.cli import run
from dml_instance.commands.prepare import argument_parser, main

if __name__ == "__main__":
    sys.exit(run(argument_parser(), main))

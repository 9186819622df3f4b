#!/usr/bin/env python
"""Draw what a trained model sees, as ``dml look`` does; ``--help`` has it all."""

import sys

from dml_instance.cli import run
from dml_instance.commands.look import argument_parser, main

if __name__ == "__main__":
    sys.exit(run(argument_parser(), main))

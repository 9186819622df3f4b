#!/usr/bin/env python
"""Segment images with a trained model, as ``dml segment`` does; ``--help`` has it all."""

import sys

from dml_instance.cli import run
from dml_instance.commands.segment import argument_parser, main

if __name__ == "__main__":
    sys.exit(run(argument_parser(), main))

#!/usr/bin/env python
"""Train and evaluate a model from a yaml config; ``--help`` has it all."""

import sys

from dml_instance.cli import run
from dml_instance.commands.train_net import argument_parser, main

if __name__ == "__main__":
    sys.exit(run(argument_parser(), main))

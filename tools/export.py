#!/usr/bin/env python
"""Write a model that runs without torch, as ``dml export`` does; ``--help`` has it all."""

import sys

from dml_instance.cli import run
from dml_instance.commands.export import argument_parser, main

if __name__ == "__main__":
    sys.exit(run(argument_parser(), main))

"""What stands beside raw figures: what they are, by which command, on which machine."""

import shlex
import sys

from dml_instance.engine import machine


def about(program: str, doc: str | None) -> dict:
    """The head of a file of figures.

    Args:
        program: that measures, ``benchmarks.NAME``.
        doc: its docstring, which says what they are.
    """
    command = shlex.join(["python", "-m", program, *sys.argv[1:]])
    return {"about": (doc or "").strip(), "command": command, "machine": machine()}

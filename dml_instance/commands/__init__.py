"""What the command line does, a module a command; ``dml`` and the scripts of tools/ share them.

Each module has ``argument_parser(prog)`` and ``main(args)``, which returns the exit status. Who
imports this package sets up the process for a command, and registers all with Detectron2.
"""

from . import process  # noqa: F401, I001  # before Detectron2 is imported
from .. import plugin  # noqa: F401

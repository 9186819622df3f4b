"""What a process that runs a command sets up first, before Detectron2 and torch are imported.

What its user can do nothing about is not shown. It is of Detectron2 and fvcore, which nobody
develops any further, on a torch of today; some of it is said while they are imported. Programs that
use the package see it all: what they show is their affair.
"""

import io
import logging
import os
import re
import sys
import warnings

_WARNINGS = (
    # fvcore compiles its focal losses as soon as it is imported; no tool uses them.
    ("`torch.jit.script` is deprecated", FutureWarning),
    # Detectron2's anchors, in Mask R-CNN.
    ("torch.meshgrid: in an upcoming release", UserWarning),
    # Detectron2's wrap of a model for several processes.
    ("`broadcast_buffers` is deprecated", FutureWarning),
    ("Grad strides do not match bucket view strides", UserWarning),
)
# By the names of torch's loggers.
_LINES = {
    # Said while Detectron2 lists its environment; that no GPU is used is a line of its own.
    "torch.utils.cpp_extension": "No CUDA runtime is found",
    # Detectron2's batches of images, in Mask R-CNN.
    "torch.fx._symbolic_trace": "is_fx_tracing will return true",
    # Of several processes, when one has failed; what it says of that comes with it.
    "torch.multiprocessing.spawn": "Terminating process",
}
_COLOUR = re.compile("\x1b\\[[0-9;]*m")


def _without_colours(record: logging.LogRecord) -> bool:
    """Detectron2 colours the config that it logs, wherever that goes: to ``log.txt``, too."""
    record.msg = _COLOUR.sub("", str(record.msg))
    return True


for _message, _category in _WARNINGS:
    warnings.filterwarnings("ignore", re.escape(_message), _category)
for _name, _begin in _LINES.items():
    logging.getLogger(_name).addFilter(lambda r, begin=_begin: not str(r.msg).startswith(begin))
logging.getLogger("detectron2").addFilter(_without_colours)
# What cannot be logged, as its reader has closed the pipe, is no reason for a trace.
logging.raiseExceptions = False
if isinstance(sys.stdout, io.TextIOWrapper):
    # Names of files may be no text.
    sys.stdout.reconfigure(errors="backslashreplace")


def typed_words() -> list[str]:
    """The command that this process was started by, from ``dml`` or ``python`` on."""
    words = sys.orig_argv[1:]
    if words and os.path.basename(words[0]) == "dml":
        return ["dml", *words[1:]]
    return ["python", *words]

"""What a user of the tools can do nothing about is not shown. Each tool imports this first.

It is of Detectron2 and fvcore, which nobody develops any further, on a torch of today. Some of it
is said while they are imported, so that nothing else may be imported before. Programs that use the
package see it all: what they show is their affair.
"""

import io
import logging
import re
import sys
import warnings

_WARNINGS = (
    # fvcore compiles its focal losses as soon as it is imported; no tool uses them.
    ("`torch.jit.script` is deprecated", FutureWarning),
    # Detectron2's anchors, in Mask R-CNN.
    ("torch.meshgrid: in an upcoming release", UserWarning),
)
# By the names of torch's loggers.
_LINES = {
    # Said while Detectron2 lists its environment; that no GPU is used is a line of its own.
    "torch.utils.cpp_extension": "No CUDA runtime is found",
    # Detectron2's batches of images, in Mask R-CNN.
    "torch.fx._symbolic_trace": "is_fx_tracing will return true",
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
if isinstance(sys.stdout, io.TextIOWrapper):
    # Names of files may be no text.
    sys.stdout.reconfigure(errors="backslashreplace")

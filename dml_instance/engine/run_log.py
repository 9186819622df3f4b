"""What a run says on the terminal, and what stands in its log.txt alone."""

import argparse
import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from logging.handlers import MemoryHandler
from typing import TextIO

from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

_OURS, _OTHERS = "dml_instance", ("detectron2", "fvcore")
# Of Detectron2's, what says how far an evaluation is.
_EVALUATION = "detectron2.evaluation.evaluator"
# Ids of classes that do not count from 1 are as good, and an exception is shown when it ends the
# program.
_NOT_SHOWN = ("We'll apply a mapping for you", "Exception during training")

_logger = logging.getLogger(__name__)


class RunLog:
    """The terminal shows what this project says, and of what Detectron2 says the warnings, the
    first line of each, and how far an evaluation is. ``log.txt`` in OUTPUT_DIR has all of it in
    full: the environment, the config, every layer of the model.

    There is nothing on the terminal of other processes than the first.
    """

    def __init__(self):
        """Begins with the terminal alone; what is said until ``open`` is kept for ``log.txt``."""
        logger = logging.getLogger(_OURS)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        self._kept = MemoryHandler(capacity=sys.maxsize, flushLevel=sys.maxsize)
        logger.addHandler(self._kept)
        self._terminal = _Terminal(sys.stdout)
        self._show(_OURS)

    def open(self, cfg: CfgNode, args: argparse.Namespace) -> None:
        """``default_setup``, whose dumps go to ``log.txt`` alone.

        Args:
            cfg: with OUTPUT_DIR.
            args: of the command line.
        """
        ours = setup_logger(cfg.OUTPUT_DIR, comm.get_rank(), name=_OURS, configure_stdout=False)
        self._kept.setTarget(ours.handlers[-1])
        self._kept.close()
        ours.removeHandler(self._kept)
        # It makes handlers that write to the terminal, whatever stdout is at that time.
        nowhere = io.StringIO()
        with contextlib.redirect_stdout(nowhere):
            default_setup(cfg, args)
        for name in _OTHERS:
            logger = logging.getLogger(name)
            for handler in logger.handlers[:]:
                if getattr(handler, "stream", None) is nowhere:
                    logger.removeHandler(handler)
            self._show(name)

    @contextlib.contextmanager
    def prints_to_file(self) -> Iterator[None]:
        """What is printed in the ``with`` block goes to ``log.txt`` alone: pycocotools prints some
        fifty lines an evaluation."""
        with contextlib.redirect_stdout(_LinesToLog()):
            yield

    def _show(self, name: str) -> None:
        logger = logging.getLogger(name)
        for handler in logger.handlers[:]:
            if isinstance(handler, _Terminal):
                logger.removeHandler(handler)  # of an earlier run of this process
        if comm.is_main_process():
            logger.addHandler(self._terminal)


class _Terminal(logging.StreamHandler):
    """Shows what is meant for it."""

    def __init__(self, stream: TextIO):
        super().__init__(stream)
        self.setLevel(logging.INFO)
        self.setFormatter(_TerminalFormat())
        self.addFilter(_is_for_the_terminal)


class _LinesToLog(io.TextIOBase):
    """A stream whose lines are logged for the file, not for the terminal."""

    def __init__(self):
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            _logger.debug("%s", line)
        return len(text)


def _is_for_the_terminal(record: logging.LogRecord) -> bool:
    is_ours = record.name.split(".")[0] == _OURS
    is_shown = not any(text in str(record.msg) for text in _NOT_SHOWN)
    is_warning = record.levelno >= logging.WARNING and is_shown
    return is_ours or is_warning or record.name == _EVALUATION


class _TerminalFormat(logging.Formatter):
    """The message, and whether it is a warning; of others than us its first line."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name.split(".")[0] == _OURS:
            text = super().format(record)
        else:
            text, *more = record.getMessage().strip().splitlines() or [""]
            if more or record.exc_info:
                text += " ... (the rest is in log.txt)"
        is_warning = record.levelno >= logging.WARNING
        return f"{record.levelname.lower()}: {text}" if is_warning else text

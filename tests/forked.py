"""Real processes that start at once: they are forked from a server that has imported all once.

Importing torch and Detectron2 takes each process that ``launch`` starts several seconds.
"""

import functools
import multiprocessing
from contextlib import contextmanager
from unittest import mock

import torch.multiprocessing as mp

_START = mp.start_processes


@contextmanager
def forked_processes():
    """Processes that ``launch`` starts in the ``with`` block, and so ``run_in_processes``, come
    from the server."""
    multiprocessing.set_forkserver_preload(["pytest", "dml_instance.commands.train_net"])
    start = functools.partial(_START, start_method="forkserver")
    with mock.patch.object(mp, "start_processes", start):
        yield

"""Processes of which one ends early, while the others wait for it."""

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import torch
import torch.distributed as dist
from detectron2.utils import comm

from dml_instance.engine import leave_processes, run_in_processes
from dml_instance.files import write_text

# Seconds after which a process that waits ends itself, with a status that no other end has.
_TOO_LONG, TOO_LATE = 60, 77


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def raising() -> None:
    raise RuntimeError("the last process has failed")


def refused() -> None:
    sys.exit("error: the last process says no")


ENDS: dict[str, Callable[[], None]] = {"SIGKILL": killed, "raises": raising, "exits": refused}


def end_after(seconds: float) -> None:
    """This process ends after so long, with the status TOO_LATE, if it has not done so before."""
    watch = threading.Timer(seconds, os._exit, (TOO_LATE,))
    watch.daemon = True
    watch.start()


def meet(end: str, moment: str) -> None:
    """Meet all other processes twice; before the second time the last one ends, as ENDS has it, and
    writes into a file when that was."""
    end_after(_TOO_LONG)
    dist.all_reduce(torch.ones(1))
    if comm.get_rank() == comm.get_world_size() - 1:
        write_text(moment, str(time.monotonic()))
        ENDS[end]()
    dist.all_reduce(torch.ones(1))
    leave_processes()


def end_of(end: str, *, machines: int) -> dict:
    """What comes of two processes of which one ends, on one machine or on two of this address.

    Returns:
        ``status`` and ``says`` of each machine, the last line of what it says, and the
        ``seconds`` from that end until all was over.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _end_of(end, machines, os.path.join(folder, "moment"))


def _end_of(end: str, machines: int, moment: str) -> dict:
    url = "auto" if machines == 1 else f"tcp://127.0.0.1:{_free_port()}"
    ended: dict[int, object] = {}

    def run(machine: int) -> None:
        try:
            run_in_processes(
                meet,
                (end, moment),
                processes=2 // machines,
                machines=machines,
                machine=machine,
                url=url,
            )
            ended[machine] = 0
        except SystemExit as error:
            ended[machine] = error.code

    threads = [threading.Thread(target=run, args=(machine,)) for machine in range(machines)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    over = time.monotonic()
    with open(moment) as file:
        since = float(file.read())
    codes = [ended[machine] for machine in range(machines)]
    return {
        "end": end,
        "machines": machines,
        "status": [1 if isinstance(code, str) else code for code in codes],
        "says": [code.splitlines()[-1] if isinstance(code, str) else "" for code in codes],
        "seconds": round(over - since, 1),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

"""Several processes, on one machine or more: how they start, what they agree on, how they end.

Detectron2's ``launch`` and its trainer do the work. Here stands what they leave open: a model on
the CPU, processes that ``torchrun`` has started, and errors as one line.
"""

import contextlib
import functools
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import torch
import torch.distributed as dist
from detectron2.config import CfgNode
from detectron2.engine import defaults, launch
from detectron2.engine.launch import _distributed_worker
from detectron2.utils import comm
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

# Seconds that a process gives the first one of its machine to say what both have met.
_PATIENCE = 5.0


def run_in_processes(
    main: Callable[..., None],
    args: tuple,
    *,
    processes: int,
    machines: int = 1,
    machine: int = 0,
    url: str | None = None,
) -> None:
    """Call ``main(*args)`` in each of several processes that form one group; in this process, where
    there is to be no other, or where ``torchrun`` has started it as one of several.

    They talk by NCCL where there are GPUs, one each, and by gloo where there are none; the cores
    of the machine are divided among the latter, unless OMP_NUM_THREADS is set. Where one of them
    ends in an error, all end.

    Args:
        main: of a module, for it is pickled; it calls ``leave_processes`` last.
        args: of ``main``, likewise pickled.
        processes: on each machine. Under ``torchrun`` this and all that follows is its affair.
        machines: in all.
        machine: which of them this one is, from 0.
        url: where the first one is reached, see ``torch.distributed.init_process_group``.

    Raises:
        SystemExit: with one line, for numbers that do not fit one another, or the GPUs there are,
            and for a process that was killed; with the trace of one that raised an error; with the
            status of one that ended with it, and has said why.
    """
    if dist.is_torchelastic_launched():
        _run_as_started(main, args)
        return
    if processes < 1 or machines < 1 or not 0 <= machine < machines:
        sys.exit(
            "error: there is at least one process on each machine, and --machine-rank counts them "
            f"from 0 to --num-machines - 1; got {processes} processes, {machines} machines and "
            f"rank {machine}"
        )
    _check_gpus(processes, processes * machines)
    if processes > 1 and not torch.cuda.is_available():
        # As many threads in each as there are cores would wait for one another.
        os.environ.setdefault("OMP_NUM_THREADS", str(max(_cores() // processes, 1)))
    try:
        launch(main, processes, machines, machine, url, args)
    except ProcessRaisedException as error:
        sys.exit(error.msg.strip())
    except ProcessExitedException as error:
        if error.signal_name is None:
            sys.exit(error.exit_code)
        rank = machine * processes + error.error_index
        sys.exit(f"error: process {rank} was ended by {error.signal_name}, and the others with it")


def _run_as_started(main: Callable[..., None], args: tuple) -> None:
    """In a process of ``torchrun``, which says by its environment which one it is."""
    rank, world, local, on_machine = (
        int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    )
    if world == 1:
        main(*args)
        return
    _check_gpus(on_machine, world)
    # The body of ``launch``: it joins the group, makes that of the machine, and takes the GPU.
    _distributed_worker(local, main, world, on_machine, rank // on_machine, "env://", args)


def _check_gpus(processes: int, world: int) -> None:
    """End with one line where several processes would have to share a GPU."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if world > 1 and 0 < gpus < processes:
        sys.exit(
            f"error: each process needs a GPU of its own, and this machine has {gpus} for "
            f"{processes} processes; CUDA_VISIBLE_DEVICES= before the command trains on the CPU"
        )


def _cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_processes(cfg: CfgNode) -> None:
    """Raise ValueError where this many processes cannot train as a config says."""
    world, solver = comm.get_world_size(), cfg.SOLVER
    reference = solver.REFERENCE_WORLD_SIZE
    whole, what = (reference, "SOLVER.REFERENCE_WORLD_SIZE") if reference else (world, "processes")
    if solver.IMS_PER_BATCH % whole:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH {solver.IMS_PER_BATCH} is the batch of all processes together, "
            f"and no multiple of {what} ({whole})"
        )
    if reference not in (0, world) and solver.OPTIMIZER != "SGD" and solver.ADAMW.BASE_LR:
        raise ValueError(
            f"SOLVER.REFERENCE_WORLD_SIZE {reference} scales SOLVER.BASE_LR for {world} processes, "
            f"and {solver.OPTIMIZER} reads SOLVER.ADAMW.BASE_LR: set that, SOLVER.IMS_PER_BATCH "
            "and SOLVER.MAX_ITER instead"
        )
    if world > 1 and cfg.MODEL.DEVICE == "cpu" and dist.get_backend() == dist.Backend.NCCL:
        raise ValueError(
            "MODEL.DEVICE is cpu, and several processes on a machine with GPUs talk over these; "
            "CUDA_VISIBLE_DEVICES= before the command hides them"
        )


def check_same_start(iteration: int) -> None:
    """Raise ValueError, in all processes, unless all of them begin at the same iteration."""
    starts = comm.all_gather(iteration)
    if len(set(starts)) > 1:
        raise ValueError(
            f"the processes go on at iterations {', '.join(map(str, starts))}: OUTPUT_DIR is to be "
            "the same folder on all machines, or to have the same checkpoints"
        )


@contextlib.contextmanager
def wrapping_for(device: str) -> Iterator[None]:
    """Models that ``DefaultTrainer`` wraps in the ``with`` block may lie on any device.

    It names a GPU for each process to DistributedDataParallel, which refuses that for a model on
    the CPU.
    """
    stock = defaults.create_ddp_model
    if device == "cpu":
        defaults.create_ddp_model = functools.partial(stock, device_ids=None)
    try:
        yield
    finally:
        defaults.create_ddp_model = stock


def end_with(message: str) -> NoReturn:
    """End this process, and with it all others, with one line on what its user can mend."""
    if comm.get_local_rank() > 0:
        # The first one of the machine has most likely met the same. Once it has said so, this
        # process is ended from outside.
        time.sleep(_PATIENCE)
    sys.exit(f"error: {message}")


def leave_processes() -> None:
    """Wait for the other processes, then end the connection to them; nothing where there are none.

    Called last in what ``run_in_processes`` or ``detectron2.engine.launch`` runs, when nothing
    holds a model behind DistributedDataParallel any more. A process that leaves while others still
    talk tears the connection down under them. One that ends while threads of the connection run may
    abort (SIGABRT): such a thread asks for the interpreter's lock when there is no interpreter any
    more. ``destroy_process_group`` alone does not end them, for Detectron2's ``comm`` holds the
    group, too.
    """
    if comm.get_world_size() == 1:
        return
    comm.synchronize()
    comm._get_global_gloo_group.cache_clear()
    comm._LOCAL_PROCESS_GROUP = None
    dist.destroy_process_group()
    gc.collect()

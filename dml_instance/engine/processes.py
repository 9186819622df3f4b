"""The end of a process that was one of several."""

import gc

import torch.distributed as dist
from detectron2.utils import comm


def leave_processes() -> None:
    """Wait for the other processes, then end the connection to them; nothing where there are none.

    Called last in what ``detectron2.engine.launch`` runs. A process that leaves while others still
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

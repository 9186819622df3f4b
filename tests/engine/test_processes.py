import json
import os
from pathlib import Path

import pytest
from detectron2.engine import launch
from detectron2.utils import comm

from dml_instance.engine import leave_processes


def threads() -> list[str]:
    """Names of the threads of this process, as the kernel has them."""
    return [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]


def _talk_and_leave(folder):
    rank = comm.get_rank()
    before = [comm.all_gather(rank), threads()]
    leave_processes()
    (folder / f"{rank}.json").write_text(json.dumps([*before, threads()]))


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_no_thread_of_the_connection_outlives_it(tmp_path):
    launch(_talk_and_leave, 2, dist_url="auto", args=(tmp_path,))
    for rank in range(2):
        ranks, during, after = json.loads((tmp_path / f"{rank}.json").read_text())
        assert ranks == [0, 1]
        assert [name for name in during if "gloo" in name]
        assert not [name for name in after if "gloo" in name or "tcpstore" in name]


def test_one_process_has_nothing_to_leave():
    leave_processes()

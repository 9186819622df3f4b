"""What each process does, in one start of several."""

from dml_instance.engine import leave_processes

from .gradients import step_all
from .metrics import score_all


def compare_share(folder: str) -> None:
    """``score_all`` and ``step_all``; the first process writes their files into a folder."""
    score_all(folder)
    step_all(folder)
    leave_processes()

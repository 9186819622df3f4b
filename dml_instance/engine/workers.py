"""Images shared out over the workers of a Dask cluster.

Each worker loads the model once, and reads the image files by itself; what it finds comes back to
the process that writes. A job of a worker that dies is given to another one by Dask.
"""

import contextlib
import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode

from ..errors import FileError
from ..images import ReadingRules
from ..version import __version__
from .finding import Finder, Found, Job, put_together
from .prediction import load_model

# Seconds until a scheduler must have answered, and a worker must be there.
_PATIENCE = 30
# Jobs a thread of a worker that wait for it, so that none stands idle.
_WAITING = 3


@dataclass(frozen=True)
class FinderPlan:
    """What a worker builds its ``Finder`` of.

    Attributes:
        config: of the model, as yaml.
        weights: a name that comes with the package, or a path that each worker sees.
        rules, min_score, most: as of ``Finder``.
        device: None: a GPU where the worker has one.
        version: of this package.
    """

    config: str
    weights: str
    rules: ReadingRules
    min_score: float
    most: int | None = None
    device: str | None = None
    version: str = __version__

    @classmethod
    def of(cls, cfg: CfgNode, weights: str, *args, **options) -> "FinderPlan":
        """From a config and its weights; ``args`` and ``options`` are the other attributes."""
        if os.path.exists(weights):
            weights = os.path.abspath(weights)
        return cls(cfg.dump(), weights, *args, **options)

    def build(self) -> Finder:
        """The finder, in this process."""
        cfg = CfgNode.load_cfg(self.config)
        cfg.MODEL.DEVICE = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        model = load_model(cfg, self.weights)
        return Finder(model, cfg, self.rules, self.min_score, self.most)


_ONE_AT_A_TIME = threading.Lock()


@functools.lru_cache(maxsize=1)
def _finder(plan: FinderPlan) -> Finder:
    """That of the plan, kept for the next job."""
    return plan.build()


def find_by_plan(plan: FinderPlan, job: Job) -> Found | str:
    """A worker's part: what a job has given, or why its file was not read.

    Args:
        plan: of the model.
        job: what to segment.

    Raises:
        RuntimeError: where the worker has another version of this package.
    """
    if plan.version != __version__:
        raise RuntimeError(
            f"a worker has dml_instance {__version__}, and not {plan.version}: install the same "
            "everywhere"
        )
    # A model uses all threads, and two of it twice the memory.
    with _ONE_AT_A_TIME:
        try:
            return _finder(plan).find(job)
        except FileError as error:
            return str(error)


@dataclass(frozen=True, eq=False)
class _Given:
    """The jobs of a file that were given out, or why there are none."""

    jobs: Sequence[Job]
    futures: Sequence[Any]
    error: FileError | None = None


class Workers:
    """The workers of a Dask cluster, as long as a ``with`` block lasts."""

    def __init__(self, address: str):
        """
        Args:
            address: of the scheduler, ``tcp://HOST:8786``.

        Raises:
            ModuleNotFoundError: where dask.distributed is not installed.
            OSError: where no scheduler answers, or it has no worker.
        """
        try:
            import distributed
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "--scheduler takes dask.distributed: pip install distributed"
            ) from error
        self._lost = distributed.KilledWorker
        with contextlib.ExitStack() as stack:
            try:
                self._client = stack.enter_context(
                    distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
                )
                self._client.wait_for_workers(1, timeout=_PATIENCE)
            except (OSError, ValueError, TimeoutError) as error:
                raise OSError(
                    f"no scheduler with a worker at {address} within {_PATIENCE} s: start `dask "
                    "scheduler` and `dask worker`"
                ) from error
            self._open = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open.close()

    @property
    def threads(self) -> int:
        """Of all workers that are there now."""
        return sum(self._client.nthreads().values())

    def found(
        self,
        plan: FinderPlan,
        files: Iterable[str],
        jobs_of: Callable[[str], Sequence[Job]],
    ) -> Iterator[Found | FileError]:
        """What is found in image files, in their order.

        So many jobs are given out ahead as keep all workers busy, those of the next files among
        them; what they find is held until it is asked for.

        Args:
            plan: of the model.
            files: the images.
            jobs_of: see ``Finder.jobs``.

        Returns:
            Of each file what was found, or why it is to be skipped.
        """
        waiting: deque[_Given] = deque()
        for file in files:
            waiting.append(self._given(plan, os.path.abspath(file), jobs_of))
            while sum(len(given.jobs) for given in waiting) > _WAITING * self.threads:
                yield self._found(plan, waiting.popleft())
        for given in waiting:
            yield self._found(plan, given)

    def _given(
        self, plan: FinderPlan, file: str, jobs_of: Callable[[str], Sequence[Job]]
    ) -> "_Given":
        """A file's jobs, given out."""
        try:
            jobs = jobs_of(file)
        except FileError as error:
            return _Given([], [], error)
        return _Given(jobs, self._submitted(plan, jobs))

    def _submitted(self, plan: FinderPlan, jobs: Sequence[Job]) -> list[Any]:
        return [self._client.submit(find_by_plan, plan, job, pure=False) for job in jobs]

    def _found(self, plan: FinderPlan, given: "_Given") -> Found | FileError:
        """What a file's jobs have found, once all are done."""
        if given.error is not None:
            return given.error
        jobs = given.jobs
        try:
            try:
                parts = self._client.gather(given.futures)
            except self._lost:
                # Dask blames all that the dead workers had at hand; tried again it shows which one
                # it was.
                parts = self._client.gather(self._submitted(plan, jobs))
        except self._lost:
            return FileError(
                f"{jobs[0].file}: every worker that took it died, as for want of memory: lower "
                "--max-pixels, or give workers more"
            )
        why = [part for part in parts if isinstance(part, str)]
        return FileError(why[0]) if why else put_together(jobs, parts, plan.min_score)

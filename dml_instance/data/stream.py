"""The images of a training as a stream that can begin at any iteration.

Which images an iteration sees follows from the seed of the sampler and its number, and how each is
augmented from the seed, the process, the iteration and the place in its batch. Nothing has to be
stored for a training to go on where it stopped, and the number of workers that load images changes
nothing.

Detectron2's loader shuffles anew after each start, its workers augment with random numbers of their
own, and it groups images by their shape after they are loaded, so that groups begin empty after a
start.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

from detectron2.data import DatasetFromList
from detectron2.data.build import trivial_batch_collator
from detectron2.data.samplers.grouped_batch_sampler import GroupedBatchSampler
from detectron2.utils import comm
from torch import Generator
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from ..randomness import own_randomness


class NumberedBatches(Sampler):
    """Batches of a stream from an iteration on, whose images know their place in it.

    Attributes:
        start: the first iteration, >= 0. Batches before it are drawn without loading anything,
            some millions of images a second.
    """

    def __init__(self, sampler: Sampler, batch_size: int, groups: Sequence[int] | None):
        """
        Args:
            sampler: of indices without end, the same each time it is asked.
            batch_size: images of a batch.
            groups: of each index; a batch has images of one group. None: of any.
        """
        self.start = 0
        self._sampler, self._size, self._groups = sampler, batch_size, groups

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        """Of each image its iteration, its place in the batch and its index."""
        if self._groups is None:
            batches = BatchSampler(self._sampler, self._size, drop_last=True)
        else:
            batches = GroupedBatchSampler(self._sampler, self._groups, self._size)
        for iteration, batch in itertools.islice(enumerate(batches), self.start, None):
            yield [(iteration, place, index) for place, index in enumerate(batch)]


class _MappedImages(Dataset):
    """Records through a mapper, whose random numbers follow from the place in the stream."""

    def __init__(self, records: list[dict], mapper: Callable[[dict], dict], seed: int):
        # Kept as Detectron2 keeps them, once for all workers.
        self._records = DatasetFromList(records, copy=False)
        self._mapper, self._seed, self._rank = mapper, seed, comm.get_rank()

    def __getitem__(self, drawn: tuple[int, int, int]) -> dict:
        iteration, place, index = drawn
        with own_randomness(self._seed, self._rank, iteration, place):
            return self._mapper(self._records[index])


def training_stream(
    dataset: list[dict],
    mapper: Callable[[dict], dict],
    sampler: Sampler,
    *,
    total_batch_size: int,
    aspect_ratio_grouping: bool,
    num_workers: int,
    seed: int,
) -> DataLoader:
    """What ``build_detection_train_loader`` builds of the same arguments, beginning at any
    iteration.

    Args:
        dataset: Detectron2's records; with height and width where they are grouped.
        mapper: to the model's input.
        sampler: of indices without end, one of Detectron2's for training.
        total_batch_size: images of an iteration in all processes together.
        aspect_ratio_grouping: whether a batch has wide images or others, never both.
        num_workers: processes that load images; 0: this one.
        seed: of the training, >= 0.

    Returns:
        A loader of lists of inputs, whose ``batch_sampler`` is a ``NumberedBatches``.

    Raises:
        ValueError: for a batch that the processes cannot share.
    """
    size, rest = divmod(total_batch_size, comm.get_world_size())
    if size == 0 or rest:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH {total_batch_size} is no multiple of the "
            f"{comm.get_world_size()} processes that share it"
        )
    # As Detectron2 groups them.
    groups = None
    if aspect_ratio_grouping:
        groups = [0 if record["width"] > record["height"] else 1 for record in dataset]
    return DataLoader(
        _MappedImages(dataset, mapper, seed),
        batch_sampler=NumberedBatches(sampler, size, groups),
        num_workers=num_workers,
        collate_fn=trivial_batch_collator,
        # Its own, for seeds of workers that nothing uses: the one of torch belongs to the training.
        generator=Generator(),
    )

"""The stream of a training: what Detectron2 would draw, from any iteration on, whoever loads it."""

import itertools

import numpy as np
import pytest
import torch
from detectron2.data.common import AspectRatioGroupedDataset
from detectron2.data.samplers import RepeatFactorTrainingSampler, TrainingSampler
from detectron2.utils import comm

from dml_instance.data import stream
from dml_instance.data.stream import training_stream

# Wide, high, wide, square ...
RECORDS = [
    {"file_name": f"{n}", "width": width, "height": height}
    for n, (width, height) in enumerate([(8, 4), (4, 8), (9, 4), (6, 6), (8, 5), (9, 8), (3, 5)])
]


def mapper(record):
    """A record with random numbers of each library; it draws more often for some."""
    numbers = [(np.random.rand(), torch.rand(1).item()) for _ in range(1 + record["width"] % 3)]
    return {**record, "drawn": numbers}


def loader(*, start=0, workers=0, grouped=True, size=2, sampler=None, seed=3):
    made = training_stream(
        RECORDS,
        mapper,
        sampler or TrainingSampler(len(RECORDS), seed=11),
        total_batch_size=size,
        aspect_ratio_grouping=grouped,
        num_workers=workers,
        seed=seed,
    )
    made.batch_sampler.start = start
    return made


def batches(count, **options):
    iterator = iter(loader(**options))
    return [next(iterator) for _ in range(count)]


def names(drawn):
    return [[x["file_name"] for x in batch] for batch in drawn]


@pytest.mark.parametrize("grouped", [True, False])
def test_batches_are_those_that_detectron2_makes_of_the_same_sampler(grouped):
    indices = iter(TrainingSampler(len(RECORDS), seed=11))
    expected = (
        AspectRatioGroupedDataset((RECORDS[i] for i in indices), 2)
        if grouped
        else ([RECORDS[i] for i in itertools.islice(indices, 2)] for _ in itertools.count())
    )
    assert names(batches(30, grouped=grouped)) == names(itertools.islice(expected, 30))


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("start", [1, 2, 7, 13])
@pytest.mark.parametrize("repeats", [False, True])
def test_a_stream_that_begins_later_goes_on_in_the_middle(grouped, start, repeats):
    factors = torch.tensor([1.0, 2.5, 1.3, 1.0, 1.9, 1.0, 3.0])
    options = {"grouped": grouped, "size": 3}
    if repeats:
        options["sampler"] = RepeatFactorTrainingSampler(factors, seed=2)
    assert batches(8, start=start, **options) == batches(start + 8, **options)[start:]


def test_it_does_not_matter_who_loads_the_images():
    here = batches(6)
    assert here == batches(6, workers=1) == batches(6, workers=2)
    assert here[4:] == batches(2, workers=2, start=4)


def test_an_image_is_augmented_anew_each_time_and_by_the_seed():
    drawn = [str(x["drawn"]) for batch in batches(40) for x in batch]
    assert len(set(drawn)) == len(drawn)
    other = [str(x["drawn"]) for batch in batches(40, seed=4) for x in batch]
    assert not set(drawn) & set(other)


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_draws_nothing_of_the_random_numbers_of_the_training(workers):
    torch.manual_seed(1)
    np.random.seed(1)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(1)
    np.random.seed(1)
    batches(3, workers=workers)
    assert (torch.rand(1), np.random.rand()) == expected


def test_processes_share_the_images_and_augment_them_apart(monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    of_rank = []
    for rank in (0, 1):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        of_rank.append(batches(12, grouped=False, size=4))
    together = [[*a, *b] for a, b in zip(*names_of(of_rank), strict=True)]
    monkeypatch.undo()
    alone = names(batches(12, grouped=False, size=4))
    assert [sorted(batch) for batch in together] == [sorted(batch) for batch in alone]
    drawn = [{str(x["drawn"]) for batch in rank for x in batch} for rank in of_rank]
    assert not drawn[0] & drawn[1]


def names_of(ranks):
    return [names(rank) for rank in ranks]


@pytest.mark.parametrize("size", [3, 0])
def test_a_batch_that_processes_cannot_share_is_refused(monkeypatch, size):
    monkeypatch.setattr(stream.comm, "get_world_size", lambda: 2)
    with pytest.raises(ValueError, match=f"SOLVER.IMS_PER_BATCH {size} is no multiple of the 2"):
        loader(size=size)

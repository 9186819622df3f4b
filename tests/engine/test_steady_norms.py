"""What batch norms use at inference, after schedules of different lengths."""

import pytest
import torch
from detectron2.engine import TrainerBase
from torch import nn

from dml_instance.engine.hooks import SteadyNorms
from dml_instance.schedule import put_schedule_iteration


class Steps(TrainerBase):
    """Feeds one batch after the other to a norm, and notes its momentum."""

    def __init__(self, norm, batches, counted=None):
        super().__init__()
        self.model, self.batches, self.counted = norm, batches, counted
        self.start_iter, self.max_iter = 0, len(batches)
        self.momenta = []

    def before_step(self):
        if self.counted is not None:
            put_schedule_iteration(self.storage, self.counted(self.iter))
        super().before_step()

    def run_step(self):
        self.momenta.append(self.model.momentum)
        self.model(self.batches[self.iter])


def run(norm, batches, max_iter, counted=None):
    trainer = Steps(norm, batches, counted)
    trainer.register_hooks([SteadyNorms(max_iter)])
    trainer.train(0, len(batches))
    return trainer


def test_a_norm_remembers_a_share_of_a_long_schedule():
    """The average over the last 3 % of a schedule is what it was worked out to be by hand, and is
    steadier than that of torch's default."""
    torch.manual_seed(0)
    batches = [torch.randn(4, 1, 2, 2) + 3 for _ in range(2000)]
    steady, usual = nn.BatchNorm2d(1), nn.BatchNorm2d(1)
    trainer = run(steady, batches, 2000)
    assert set(trainer.momenta) == {1 / 60}
    expected = torch.zeros(1)
    for batch in batches:
        expected = expected + (batch.mean() - expected) / 60
        usual(batch)
    torch.testing.assert_close(steady.running_mean, expected)
    assert abs(steady.running_mean - 3) < abs(usual.running_mean - 3)
    assert steady.momentum == usual.momentum == 0.1, "as it was, once the training is over"


@pytest.mark.parametrize(("max_iter", "momentum"), [(30, 0.1), (300, 0.1), (500, 1 / 15)])
def test_of_a_short_schedule_a_norm_remembers_as_much_as_before(max_iter, momentum):
    trainer = run(nn.BatchNorm2d(1), [torch.ones(2, 1, 1, 1)] * 5, max_iter)
    assert trainer.momenta == pytest.approx([momentum] * 5)


def test_a_longer_memory_of_its_own_stays():
    trainer = run(nn.BatchNorm2d(1, momentum=0.001), [torch.ones(2, 1, 1, 1)] * 3, 1000)
    assert trainer.momenta == [0.001] * 3
    cumulative = run(nn.BatchNorm2d(1, momentum=None), [torch.ones(2, 1, 1, 1)] * 3, 1000)
    assert cumulative.momenta == [None] * 3


def test_where_minutes_are_counted_the_length_follows_from_what_is_done():
    """Every iteration stands for three of the schedule: there will be a third of its 3,000."""
    trainer = run(
        nn.BatchNorm2d(1), [torch.ones(2, 1, 1, 1)] * 9, 3000, counted=lambda n: 3 * (n + 1) - 1
    )
    assert trainer.momenta[1:] == pytest.approx([1 / 30] * 8)

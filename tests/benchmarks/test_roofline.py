"""The least work by hand, and the limit that follows from it."""

import pytest
import torch

from benchmarks.timing.roofline import MachineSpeed, Work, grouping_work, machine_speed


def test_the_least_work_of_a_grouping_by_hand(two_objects):
    _, _, image = two_objects
    # Boxes of 20 x 30 and 28 x 40 pixels, 4 pixels a cell.
    boxes = torch.tensor([[10.0, 8.0, 40.0, 28.0], [50.0, 32.0, 90.0, 60.0]])
    logits, cells, pixels = 2 * 3 * 32 * 48, 150 + 280, 600 + 1120
    work = grouping_work(image, boxes)
    assert work.bytes == 4 * logits + 4 * 4 * cells + pixels
    assert work.flops == 3 * logits + 13 * cells
    assert grouping_work(image, boxes[:0]) == Work(flops=3 * logits, bytes=4 * logits)


def test_the_limit_is_what_takes_longer():
    speed = MachineSpeed(bytes_per_second=1e9, flops_per_second=1e10, threads=1)
    assert speed.limit_ms(Work(flops=10**7, bytes=10**7)) == pytest.approx(10)
    assert speed.limit_ms(Work(flops=10**9, bytes=10**7)) == pytest.approx(100)
    measured = machine_speed(copied_mib=1, side=32, repeats=1)
    assert measured.bytes_per_second > 0 and measured.flops_per_second > 0
    assert measured.threads == torch.get_num_threads()

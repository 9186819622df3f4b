"""Memory of blocks and processes. Light to import: new processes import it too."""

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.memory import AddedMemory, in_fresh_process, peak_memory_mib
from dml_instance import memory


def _held(mib):
    with AddedMemory() as added:
        np.ones(mib * 2**20, np.uint8).sum()
    return added.mib


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux can forget a peak"
)
def test_memory_is_that_of_the_block_even_after_a_larger_peak():
    np.ones(200 * 2**20, np.uint8).sum()
    assert _held(60) == pytest.approx(60, abs=12)
    assert in_fresh_process(_held, 30) == pytest.approx(30, abs=12)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells them apart")
def test_the_peak_of_a_process_is_not_that_of_the_one_that_started_it():
    held = np.ones(400 * 2**20, np.uint8)
    assert peak_memory_mib() > 400 and held[-1] == 1
    assert 10 < in_fresh_process(peak_memory_mib) < 300


def test_a_system_that_does_not_say_its_peak_gives_nan(monkeypatch):
    def nothing():
        raise FileNotFoundError

    assert peak_memory_mib() > 10
    monkeypatch.setattr(memory, "_high_water_mark", nothing)
    assert peak_memory_mib() > 10
    monkeypatch.setattr(memory, "resource", None)
    assert math.isnan(peak_memory_mib())

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from dml_instance.benchmark.measure import AddedMemory, in_fresh_process, interleaved
from dml_instance.benchmark.scenes import drawn_cells

ROOT = Path(__file__).parents[1]


def test_functions_are_called_in_turn_and_warm_ups_do_not_count():
    calls = []
    times = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3, warm_up=2)
    assert calls == ["a", "b"] * 5
    assert set(times) == {"a", "b"}
    for figures in times.values():
        assert 0 <= figures["ms_low"] <= figures["ms"] <= figures["ms_high"]


def _held(mib):
    with AddedMemory() as added:
        np.ones(mib * 2**20, np.uint8).sum()
    return added.mib


def test_memory_is_that_of_the_block_even_after_a_larger_peak():
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux can forget a peak")
    np.ones(200 * 2**20, np.uint8).sum()
    assert _held(60) == pytest.approx(60, abs=12)
    assert in_fresh_process(_held, 30) == pytest.approx(30, abs=12)


@pytest.mark.parametrize(("size", "objects"), [((128, 128), 10), ((256, 300), 150), ((64, 400), 40)])
def test_cells_are_apart_and_as_many_as_wanted(size, objects):
    image = drawn_cells(*size, objects)
    assert image.shape == (*size, 3) and image.dtype == np.uint8
    _, count = ndimage.label(image[..., 0] > 70)
    assert objects <= count <= 2 * objects


def test_the_tool_times_a_model_and_its_parts(tmp_path):
    command = [sys.executable, str(ROOT / "tools" / "benchmark.py"), "inference", "--size", "64", "96"]
    command += ["--objects", "6", "--batch", "1", "2", "--repeats", "1", "--output", str(tmp_path / "out.json")]
    command += ["--run", "ours", "configs/DSB2018/dml_slim_unet.yaml", "dml://nuclei", "MODEL.DEVICE", "cpu"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr[-2000:]
    rows = json.loads((tmp_path / "out.json").read_text())["inference"]
    assert [row["run"] for row in rows] == ["ours", "ours: network", "ours: grouping"] * 2
    assert all(row["ms"] > 0 for row in rows)
    assert rows[0]["mib"] > 0 and rows[0]["instances"] > 0
    wrong = subprocess.run([*command[:3], "--run", "ours", "x.yaml"], capture_output=True, text=True, cwd=ROOT)
    assert wrong.returncode != 0 and "--run takes NAME" in wrong.stderr

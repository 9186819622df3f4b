"""Every evaluator, over several real processes, says what it says in one."""

import json

import pytest
import torch
from detectron2.utils import comm

from benchmarks.processes.drawn import EVALUATORS, data_set
from benchmarks.processes.ends import end_after
from benchmarks.processes.metrics import CASES, METRICS_FILE, flat, other_figures, score_all
from dml_instance.engine import check_evaluator, evaluators, leave_processes, run_in_processes
from forked import forked_processes
from toy_scenes import data_config


def _score(folder):
    end_after(600)
    torch.set_num_threads(1)
    score_all(folder)
    leave_processes()


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    """By number of processes: what ``results.json`` says of each case."""
    found = {}
    with forked_processes():
        for world in (1, 2, 3):
            folder = tmp_path_factory.mktemp(f"of_{world}")
            if world == 1:
                score_all(str(folder))
            else:
                run_in_processes(_score, (str(folder),), processes=world, url="auto")
            found[world] = json.loads((folder / METRICS_FILE).read_text())
    return found


def test_there_are_figures_that_a_lost_image_would_change(metrics):
    assert set(evaluators._BUILDERS) == set(EVALUATORS)
    assert len(metrics[1]) == len(CASES) * len(EVALUATORS)
    for case, of_one in metrics[1].items():
        figures = flat(of_one)
        assert any(name.endswith("segm_instances/PQ") for name in figures)
        between = [v for v in map(json.loads, figures.values()) if v is not None and 5 < v < 95]
        assert len(between) >= 10, case


@pytest.mark.parametrize("world", [2, 3])
def test_several_processes_give_the_metrics_of_one_to_the_last_digit(metrics, world):
    for case, of_one in metrics[1].items():
        assert other_figures(metrics[world][case], of_one) == [], case


def test_cityscapes_own_evaluator_is_of_one_machine(tmp_path, monkeypatch):
    with data_set(str(tmp_path), 1, "cityscapes_instance") as name:
        cfg = data_config("OUTPUT_DIR", str(tmp_path))
        check_evaluator(cfg, name)
        monkeypatch.setattr(comm, "get_world_size", lambda: 2)
        monkeypatch.setattr(comm, "get_local_size", lambda: 1)
        with pytest.raises(ValueError, match="evaluate on one machine"):
            check_evaluator(cfg, name)

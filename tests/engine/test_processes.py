"""Several real processes, on the CPU: they train what one trains, and end together."""

import itertools
import json
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from benchmarks.processes.ends import TOO_LATE, end_after, end_of
from benchmarks.processes.gradients import BATCHES, GRADIENTS_FILE, difference, step_all
from dml_instance.commands import train_net
from dml_instance.data import register_coco
from dml_instance.engine import (
    BudgetTrainer,
    check_processes,
    check_same_start,
    hooks,
    leave_processes,
    precision,
    run_in_processes,
)
from forked import forked_processes
from tool_runner import ROOT, TINY
from toy_models import config
from toy_scenes import square_and_disc, write_coco

# Seconds after which processes that wait for each other by mistake are ended.
TOO_LONG = 600


@pytest.fixture(scope="module", autouse=True)
def _forked():
    with forked_processes():
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four images; only the first two have objects."""
    image, masks, classes = square_and_disc()
    scenes = [(image, masks, classes)] * 2 + [(image * 0, masks[:0], classes[:0])] * 2
    return write_coco(tmp_path_factory.mktemp("data"), "toy", scenes)


def threads() -> list[str]:
    """Names of the threads of this process, as the kernel has them."""
    return [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]


def _talk_and_leave(folder):
    rank = comm.get_rank()
    before = [comm.all_gather(rank), threads()]
    leave_processes()
    (folder / f"{rank}.json").write_text(json.dumps([*before, threads()]))


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
@pytest.mark.skipif(torch.__version__ < "2.14", reason="this torch gives its threads no names")
def test_no_thread_of_the_connection_outlives_it(tmp_path):
    run_in_processes(_talk_and_leave, (tmp_path,), processes=2, url="auto")
    for rank in range(2):
        ranks, during, after = json.loads((tmp_path / f"{rank}.json").read_text())
        assert ranks == [0, 1]
        assert [name for name in during if "gloo" in name]
        assert not [name for name in after if "gloo" in name or "tcpstore" in name]


def test_one_process_has_nothing_to_leave():
    leave_processes()


def _steps_and_agreements(folder, data):
    """What two processes do, all in one start."""
    end_after(TOO_LONG)
    torch.set_num_threads(1)
    step_all(str(folder))
    register_coco("toy", *map(str, data))
    found = {"budget": _budget(folder), "bfloat16": _bfloat16(), "errors": _errors()}
    (folder / f"agreed_{comm.get_rank()}.json").write_text(json.dumps(found))
    leave_processes()


def _errors():
    """What each says of iterations to start from that differ, and that do not."""
    check_same_start(3)
    with pytest.raises(ValueError, match="go on at iterations 0, 5"):
        check_same_start(5 * comm.get_rank())
    found = []
    for overrides in (
        ("SOLVER.IMS_PER_BATCH", 3),
        ("SOLVER.IMS_PER_BATCH", 4, "SOLVER.REFERENCE_WORLD_SIZE", 8),
        ("SOLVER.REFERENCE_WORLD_SIZE", 8, "SOLVER.OPTIMIZER", "AdamW", *RATE),
    ):
        try:
            check_processes(config(*overrides))
        except ValueError as error:
            found.append(str(error))
    return found


RATE = ("SOLVER.ADAMW.BASE_LR", 0.1)


def _bfloat16():
    """The second is quicker in it, the first is not."""
    precision._is_quicker_in_bfloat16 = lambda: comm.get_rank() == 1
    precision._all_are_quicker_in_bfloat16.cache_clear()
    return precision.trains_in_bfloat16(config("SOLVER.AMP.CPU_BFLOAT16", "auto"))


class _Seen(HookBase):
    """Learning rates and random numbers of the iterations."""

    def __init__(self):
        self.rates, self.random = [], []

    def after_step(self):
        self.rates.append(self.trainer.optimizer.param_groups[0]["lr"])
        self.random.append(torch.rand(1).item())


def _budget(folder):
    """A training of six steps of a tenth of a second by the clock of the first process, and of one
    by that of the second."""
    rank = comm.get_rank()
    ticks = itertools.count(step=0.1 + 0.9 * rank)
    hooks.time = SimpleNamespace(perf_counter=lambda: next(ticks))
    cfg = config(
        *("DATASETS.TRAIN", ("toy",), "OUTPUT_DIR", str(folder / "budget"), *TINY[:6]),
        *("INPUT.MASK_FORMAT", "bitmask", "INPUT.MIN_SIZE_TRAIN", (0,)),
        *("SOLVER.MAX_ITER", 1000, "SOLVER.WARMUP_ITERS", 100),
        *("SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR"),
        *("SOLVER.AMP.CPU_BFLOAT16", "off", "DATALOADER.FILTER_EMPTY_ANNOTATIONS", False),
    )
    torch.manual_seed(rank)
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    trainer, seen = BudgetTrainer(cfg, 0.0099), _Seen()
    trainer.register_hooks([seen])
    trainer.train()
    weights = sum(p.double().sum().item() for p in trainer.model.parameters())
    return {
        **{"iterations": trainer.iter, "rates": seen.rates, "random": seen.random},
        **{"weights": weights, "sampler": trainer.data_loader.batch_sampler._sampler._seed},
    }


@pytest.fixture(scope="module")
def found(data, tmp_path_factory):
    """Of two processes."""
    folder = tmp_path_factory.mktemp("found")
    run_in_processes(_steps_and_agreements, (folder, data), processes=2, url="auto")
    return folder


@pytest.fixture(scope="module")
def steps(found, tmp_path_factory):
    """Of two processes, and of one, by model and batch."""
    alone = tmp_path_factory.mktemp("alone")
    step_all(str(alone), ("ours",))
    return [torch.load(folder / GRADIENTS_FILE) for folder in (found, alone)]


@pytest.mark.parametrize("batch", BATCHES)
def test_gradients_and_losses_are_those_of_one_process_with_the_whole_batch(steps, batch):
    of_two, of_one = (of[f"ours, {batch}"] for of in steps)
    assert difference(of_two["gradients"], of_one["gradients"]) < 1e-4
    assert of_two["losses"] == pytest.approx(of_one["losses"], rel=1e-5)


@pytest.mark.parametrize("model", ["ours", "mask_rcnn"])
def test_a_process_whose_images_have_no_objects_breaks_nothing(steps, model):
    """Two steps were taken: after a first one in which a parameter took no part there is no
    second."""
    step = steps[0][f"{model}, objects in one half"]
    assert step["without"] == []
    assert all(g.isfinite().all() for g in step["gradients"].values())


@pytest.mark.parametrize("batch", BATCHES)
def test_objects_are_counted_over_all_processes(steps, batch):
    of_two, of_one = (of[f"ours, {batch}"]["objects"] for of in steps)
    assert of_two == of_one * 2 and sum(of_one[0]) > 0


def test_processes_agree_on_all_that_has_to_be_the_same(found):
    first, second = (json.loads((found / f"agreed_{rank}.json").read_text()) for rank in range(2))
    for key in ("iterations", "rates", "weights", "sampler"):
        assert first["budget"][key] == second["budget"][key], key
    assert first["budget"]["iterations"] == 6
    assert len(set(first["budget"]["rates"])) == 6
    assert not set(first["budget"]["random"]) & set(second["budget"]["random"])
    assert first["bfloat16"] is second["bfloat16"] is False
    assert first["errors"] == second["errors"]
    uneven, reference, adamw = first["errors"]
    assert "SOLVER.IMS_PER_BATCH 3 is the batch of all processes" in uneven and "(2)" in uneven
    assert "no multiple of SOLVER.REFERENCE_WORLD_SIZE (8)" in reference
    assert "AdamW reads SOLVER.ADAMW.BASE_LR" in adamw


@pytest.mark.parametrize(
    ("end", "machines"), [("SIGKILL", 1), ("SIGKILL", 2), ("raises", 1), ("exits", 2)]
)
def test_all_end_with_the_one_that_does(end, machines):
    """And not after the half hour in which it could come back."""
    of = end_of(end, machines=machines)
    assert 0 not in of["status"] and TOO_LATE not in of["status"]
    assert (
        of["says"][-1]
        == {
            "SIGKILL": "error: process 1 was ended by SIGKILL, and the others with it",
            "raises": "RuntimeError: the last process has failed",
            "exits": "",  # it has said so itself
        }[end]
    )


def _words(data, output, *options):
    path, images = data
    return [
        *("--config-file", "configs/Shapes/dml_slim_unet.yaml", *options),
        *("--register-coco", f"toy={path}:{images}", "DATASETS.TRAIN", "('toy',)"),
        *("DATASETS.TEST", "('toy',)", "OUTPUT_DIR", str(output), "SOLVER.MAX_ITER", "2", *TINY),
        # "auto" is measured, by each training anew, and a busy machine may measure another answer.
        *("SOLVER.AMP.CPU_BFLOAT16", "off"),
    ]


def _run(words):
    torch.set_num_threads(1)
    os.chdir(ROOT)
    train_net.main(train_net.argument_parser().parse_args(words))


def _by_processes(data, output):
    _run(_words(data, output, "--num-processes", "2"))


def _by_machines(data, output):
    url = ("--num-machines", "2", "--dist-url", f"tcp://127.0.0.1:{29000 + os.getpid() % 1000}")
    runs = [
        threading.Thread(target=_run, args=(_words(data, output, *url, "--machine-rank", rank),))
        for rank in ("0", "1")
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()


def _by_torchrun(data, output):
    """Its agent, with a function for a command."""
    agent = LaunchConfig(
        *(1, 1, 2),
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        start_method="forkserver",
        max_restarts=0,
    )
    # It handles signals from now on, which processes that are forked later would inherit: a pool
    # could not end its workers any more.
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        elastic_launch(agent, _run)(_words(data, output))
    finally:
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


WAYS = {"processes": _by_processes, "machines": _by_machines, "torchrun": _by_torchrun}


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """A training of two processes, by each way of starting them."""
    folder = tmp_path_factory.mktemp("runs")
    for name, way in WAYS.items():
        way(data, folder / name)
    return folder


def test_however_they_are_started_they_train_and_score_the_same(runs):
    results, weights = [], []
    for name in WAYS:
        results.append(json.loads((runs / name / "results.json").read_text())["metrics"])
        weights.append(torch.load(runs / name / "model_final.pth", weights_only=True)["model"])
    assert set(results[0]["toy"]) == {"bbox", "segm"}
    assert results[1] == results[2] == results[0]
    for key, value in weights[0].items():
        assert all(torch.equal(value, other[key]) for other in weights[1:]), key
    # Of two epochs' worth of images, one image a process and iteration.
    assert weights[0]["pieces.num_objects"].tolist() == [2, 2]


def test_the_first_process_writes_the_files_and_each_its_log(runs):
    for name in WAYS:
        logs = {path.name for path in (runs / name).glob("*rank*")}
        assert logs == {"log.txt.rank1"}
        lines = (runs / name / "metrics.json").read_text().splitlines()
        iterations = [json.loads(line)["iteration"] for line in lines]
        assert sorted(iterations) == sorted(set(iterations))
        assert len(list((runs / name).glob("events.*"))) == 1
        first = (runs / name / "log.txt").read_text()
        assert first.count("Rank of current process: 0. World size: 2") == 1


def test_numbers_that_do_not_fit_are_refused(monkeypatch):
    for given in ({"processes": 0}, {"processes": 1, "machines": 2, "machine": 2}):
        with pytest.raises(SystemExit, match="at least one process on each machine"):
            run_in_processes(print, (), **given)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(SystemExit, match="has 1 for 2 processes; CUDA_VISIBLE_DEVICES="):
        run_in_processes(print, (), processes=2)
    assert run_in_processes(print, (), processes=1) is None


def _train_and_keep_the_end(folder, words):
    os.chdir(ROOT)
    try:
        train_net.train(train_net.argument_parser().parse_args(words), [])
    except SystemExit as end:
        (folder / f"end_{comm.get_rank()}.txt").write_text(end.code)
        raise


def test_what_cannot_be_trained_is_said_once(data, tmp_path):
    words = [*_words(data, tmp_path), "SOLVER.IMS_PER_BATCH", "5"]
    with pytest.raises(SystemExit) as end:
        run_in_processes(_train_and_keep_the_end, (tmp_path, words), processes=2, url="auto")
    assert end.value.code == 1
    assert [path.name for path in tmp_path.glob("end_*")] == ["end_0.txt"]
    assert (tmp_path / "end_0.txt").read_text() == (
        "error: SOLVER.IMS_PER_BATCH 5 is the batch of all processes together, and no multiple of "
        "processes (2)"
    )

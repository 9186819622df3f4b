"""Trainings by minutes in turns, and benchmarks.compare as its command line says."""

import json
import math
import multiprocessing
import threading

import pytest
import torch
from matplotlib.figure import Figure

from benchmarks import compare
from benchmarks.comparison.budget import ComparedTrainer, Turns, referee, train_within_budget
from benchmarks.comparison.report import plot
from command_lines import call, forget_all_but
from dml_instance.data import register_given
from dml_instance.engine import Trainer, TrainingClock, load_config
from dml_instance.evaluation import OBJECT_KINDS

CONFIG = "configs/Shapes/dml_slim_unet.yaml"
TINY = [
    *("DATASETS.TRAIN", "('toy',)", "DATASETS.TEST", "('toy',)", "SOLVER.IMS_PER_BATCH", "2"),
    *("DATALOADER.NUM_WORKERS", "0", "MODEL.DEVICE", "cpu"),
    *("MODEL.DML.BACKBONE.CHANNELS", "[8,12,16,20,24]", "MODEL.DML.BACKBONE.BLOCKS", "[1,1,1,1]"),
    *("MODEL.DML.GROUPING.MIN_SEEDINESS", "0.001", "MODEL.DML.GROUPING.MAX_SEEDS", "20"),
]


def test_turns_alternate_until_all_are_done_and_a_dead_player_stops_nobody():
    rested, ends = [], {}

    def play(name, connection, minutes):
        turns = Turns(connection, 30.0)
        turns.wait()
        for minute in range(1, minutes + 1):
            rested.append((name, minute))
            turns.rest(minute)
        connection.close()

    threads = []
    for name, minutes in (("a", 3), ("b", 1)):
        ends[name], theirs = multiprocessing.Pipe()
        threads.append(threading.Thread(target=play, args=(name, theirs, minutes)))
    ends["dead"], theirs = multiprocessing.Pipe()
    theirs.close()
    for thread in threads:
        thread.start()
    heard = []
    referee(ends, lambda name, minutes: heard.append((name, minutes)))
    for thread in threads:
        thread.join(timeout=10)
    assert rested == heard == [("a", 1), ("b", 1), ("a", 2), ("a", 3)]


class CountedTurns:
    """The only process of its machine, which notes when it gives its turn away."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.minutes = []

    def rest(self, minutes):
        self.minutes.append(minutes)


@pytest.fixture
def six_seconds_a_step(monkeypatch):
    """A training clock by which a minute has exactly ten steps."""

    def after_step(clock):
        clock.seconds += 6.0

    monkeypatch.setattr(TrainingClock, "after_step", after_step)


def toy_config(folder, *options):
    return load_config(CONFIG, [*TINY, *options, "OUTPUT_DIR", str(folder)])


@pytest.mark.usefixtures("six_seconds_a_step")
def test_a_budget_of_minutes_ends_schedules_turns_and_training(registration, tmp_path):
    register_given([registration])
    cfg = toy_config(tmp_path, "SOLVER.WARMUP_ITERS", "0")
    turns = CountedTurns(30.0)
    trainer = ComparedTrainer(cfg, 1.0, [2.0, 0.35], turns)
    trainer.resume_or_load(resume=True)
    trainer.train()
    assert trainer.iter == 10 and trainer.used == 1.0
    assert turns.minutes == [0.5, 1.0], "after every 30 seconds"
    rates, weights = (
        [value for value, _ in trainer.storage.history(name).values()]
        for name in ("lr", "dml/seed_lambda")
    )
    for step in range(2, 10):
        # The rate is set at the end of the step before.
        cosine = (1 + math.cos(math.pi * (step - 1) / 10)) / 2
        assert rates[step] == pytest.approx(cfg.SOLVER.ADAMW.BASE_LR * cosine, rel=0.01)
    ramp = cfg.MODEL.DML.SEED_LOSS.WEIGHT / cfg.MODEL.DML.SEED_LOSS.RAMP_END
    expected = [min(step / 10 * ramp, cfg.MODEL.DML.SEED_LOSS.WEIGHT) for step in range(10)]
    assert weights == pytest.approx(expected, abs=0.01)

    marked = json.loads((tmp_path / "minute_0.35" / "results.json").read_text())
    final = json.loads((tmp_path / "results.json").read_text())
    assert marked["training"]["minutes"] == 0.4 and final["training"]["minutes"] == 1.0
    assert set(final["metrics"]["toy"]) == {"bbox", "segm"}
    assert not (tmp_path / "minute_2").exists()

    (tmp_path / "minute_0.35" / "results.json").unlink()
    undisturbed = CountedTurns(math.inf)
    again = ComparedTrainer(cfg, 1.1, [0.35], undisturbed)
    again.resume_or_load(resume=True)
    again.train()
    assert again.used == pytest.approx(1.1), "a resumed run goes on where it was"
    assert undisturbed.minutes == []
    assert not (tmp_path / "minute_0.35" / "results.json").exists(), "and past its marks"


def test_a_budget_of_no_minutes_scores_the_weights_as_they_are(registration, tmp_path):
    register_given([registration])
    trainer = Trainer(toy_config(tmp_path / "first"))
    trainer.checkpointer.save("given")
    given = str(tmp_path / "first" / "given.pth")
    cfg = toy_config(tmp_path / "run", "MODEL.WEIGHTS", given)
    (tmp_path / "run").mkdir()
    assert not compare.is_finished(cfg.OUTPUT_DIR, 0.0)
    train_within_budget(cfg, 0.0, [])
    assert compare.is_finished(cfg.OUTPUT_DIR, 0.0) and not compare.is_finished(cfg.OUTPUT_DIR, 1.0)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["training"]["iterations"] == 0 and results["peak_memory_mib"] > 100
    scored = torch.load(tmp_path / "run" / "model_final.pth", weights_only=True)["model"]
    assert all(torch.equal(scored[name], w) for name, w in trainer.model.state_dict().items())


@pytest.mark.parametrize(("minutes", "lines", "bars"), [((30, 60), 2, 0), ((60,), 0, 6)])
def test_runs_that_were_scored_once_are_drawn_as_bars_and_others_as_curves(
    monkeypatch, minutes, lines, bars
):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    run = {
        "curve": [{"minutes": m, "AP": m / 2} for m in minutes],
        "metrics": {"AP": 30, "AP50": 60, "AP75": 20},
    }
    plot(
        {"dataset": "toy", "minutes": 60, "groups": {}, "runs": {"a": run, "b": run}}, "report.png"
    )
    (axis,) = drawn[0].axes
    assert (len(axis.lines), len(axis.patches)) == (lines, bars)
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["a", "b"]


MINUTES, MARK = 0.01, 0.004


def arguments_of(registration, output, *runs):
    """A command line for runs of (name, options)."""
    given = ["--register-coco", registration, "--output", output]
    given += ["--minutes", MINUTES, "--score-at", MARK, "--pictures", "1"]
    for name, *options in runs:
        given += ["--run", name, CONFIG, *options]
    return [*given, "--opts", *TINY]


def test_runs_are_trained_scored_reported_and_drawn(
    registration, known_data_sets, tmp_path, capsys
):
    """One that fails is named when the others are done; without it the same command reports."""
    metrics = ("TEST.INSTANCE_METRICS.ENABLED", "True")
    good = [("ours",), ("colder", "SOLVER.ADAMW.BASE_LR", "0.0005", *metrics)]
    bad = ("bad", "MODEL.DML.SEED_LOSS.TARGET", "none")
    # One of the runs is finished already: a process less.
    register_given([registration])
    (tmp_path / "colder").mkdir()
    train_within_budget(toy_config(tmp_path / "colder", *good[1][1:]), MINUTES, [MARK])
    forget_all_but(known_data_sets)
    with pytest.raises(SystemExit, match=r"run bad failed with exit status 1; .*stdout.txt says"):
        call(compare, *arguments_of(registration, tmp_path, *good, bad))
    assert "SEED_LOSS.TARGET" in (tmp_path / "bad" / "stdout.txt").read_text()
    assert not (tmp_path / "report.md").exists()

    models = [tmp_path / name / "model_final.pth" for name in ("ours", "colder")]
    trained = [path.stat().st_mtime_ns for path in models]
    capsys.readouterr()
    call(compare, *arguments_of(registration, tmp_path, *good), "--instance-metrics")
    printed = capsys.readouterr().out
    assert "| ours" in printed and "| colder" in printed
    assert [path.stat().st_mtime_ns for path in models] == trained
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["command"].startswith("python -m benchmarks.compare ")
    for name in ("ours", "colder"):
        run = report["runs"][name]
        assert run["training"]["minutes"] >= MINUTES
        assert len(run["curve"]) == 2 and run["curve"][0]["minutes"] <= run["curve"][1]["minutes"]
        assert run["peak_memory_mib"] > 100
        assert sum(run["errors"][kind] for kind in OBJECT_KINDS) == 6
        results = json.loads((tmp_path / name / "results.json").read_text())
        scored = results["metrics"]["toy"]["segm"]
        assert run["metrics"]["AP"] == pytest.approx(scored["AP"], abs=1e-6)
    for task, scored in report["runs"]["colder"]["instance_metrics"].items():
        assert results["metrics"]["toy"][task] == scored
    assert run["instance_metrics"]["segm_instances"]["min_score"] == run["min_score"]
    assert "## Metrics of instances" in printed and "least score |" in printed
    assert (tmp_path / "report.png").stat().st_size > 0
    kinds = {path.name.split("_")[0] for path in (tmp_path / "pictures").iterdir()}
    assert kinds <= {"best", "median", "worst"}

    other = ("ours", "SOLVER.WARMUP_ITERS", "7")
    with pytest.raises(SystemExit, match="holds a run ours of another config"):
        call(compare, *arguments_of(registration, tmp_path, other, good[1]))


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (["a"], "--run takes NAME CONFIG"),
        (["a", "none.yaml"], "none.yaml does not exist"),
        (["a", CONFIG, "DATASETS.TEST", "()"], "same single data set"),
        (["a", CONFIG, "TEST.AUG.ENABLED", "True"], "TEST.AUG.ENABLED is for a GeneralizedRCNN"),
        (["a", CONFIG, "TEST.INSTANCE_METRICS.MIN_SCORE", "7"], "MIN_SCORE is None or in"),
    ],
)
def test_what_cannot_be_compared_is_named(registration, tmp_path, run, message):
    given = ["--register-coco", registration, "--output", tmp_path / "c", "--minutes", "0.01"]
    with pytest.raises(SystemExit, match=message):
        call(compare, *given, "--run", *run, "--opts", *TINY)
    assert not (tmp_path / "c").exists()

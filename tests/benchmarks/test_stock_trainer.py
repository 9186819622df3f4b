"""Detectron2's own tools train, and analyse, what the shipped configs of Shapes build."""

import json
import re
import sys

import pytest

from benchmarks import stock_trainer
from command_lines import call
from dml_instance.data.datasets.shapes import write_shapes
from page_commands import built_in_data_sets_below, own_loggers, parsed

TRAINERS = ("tools/train_net.py", "Detectron2 train_net", "Detectron2 lazyconfig_train_net")
# Behind a command that takes KEY VALUE pairs, and behind one of a LazyConfig.
TINY = ["SOLVER.IMS_PER_BATCH", "2", "DATALOADER.NUM_WORKERS", "0"]
TINY_LAZY = ["dataloader.train.total_batch_size=2", "dataloader.train.num_workers=0"]
TINY_LAZY += ["dataloader.test.num_workers=0"]
SMALL = [
    *("MODEL.DML.BACKBONE.CHANNELS", "[8,12,16,20,24]", "MODEL.DML.BACKBONE.BLOCKS", "[1,1,1,1]"),
    *("MODEL.DML.SEED_HEAD.RADII", "[4]", "MODEL.DML.SEED_HEAD.DIRECTIONS", "4"),
]


@pytest.fixture(scope="module")
def tiny_shapes(tmp_path_factory):
    """Shapes of two images a split, where the configs look for it; the root is the folder."""
    folder = tmp_path_factory.mktemp("data")
    write_shapes(str(folder / "shapes"), {"train": 2, "val": 2, "test": 2}, size=64)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(stock_trainer.ROOT)
        with built_in_data_sets_below(folder, patch):
            yield


@pytest.fixture
def stock_tool(monkeypatch):
    """Detectron2's module of a name, without what a test changes in it afterwards."""

    def stock_tool(name):
        reason = "official Detectron2 keeps its tools outside of its package"
        tool = pytest.importorskip(f"detectron2.tools.{name}", reason=reason)
        if hasattr(tool, "get_cfg"):
            monkeypatch.setattr(tool, "get_cfg", tool.get_cfg)
        return tool

    return stock_tool


def command_of(trainer, folder, iterations=2):
    given = ["--iterations", str(iterations), "--folder", str(folder)]
    return stock_trainer.commands(stock_trainer.argument_parser().parse_args(given))[trainer]


@pytest.mark.usefixtures("tiny_shapes")
@pytest.mark.parametrize(
    ("trainer", "tiny", "folder"), [(TRAINERS[1], TINY, "stock"), (TRAINERS[2], TINY_LAZY, "lazy")]
)
def test_detectron2_trains_and_scores_with_its_own_tools(
    stock_tool, tmp_path, trainer, tiny, folder
):
    *start, name = command_of(trainer, tmp_path)[:4]
    assert start == ["-m", "benchmarks.stock_trainer", "--stock"]
    stock_tool(name)
    with own_loggers():
        stock_trainer.run_stock_tool(name, [*command_of(trainer, tmp_path)[4:], *tiny])
    output = tmp_path / folder
    rows = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    assert rows[-1]["iteration"] == 2
    assert {"loss_pair", "loss_mask", "loss_seed"} <= {name for row in rows for name in row}
    assert (output / "model_final.pth").stat().st_size > 1e6
    assert set(stock_trainer.mask_ap((output / "log.txt").read_text())) == {"AP", "AP50"}


def test_our_own_training_is_the_same_but_for_the_trainer(tmp_path):
    _, ours = parsed(["python", *command_of(TRAINERS[0], tmp_path)])
    stock = command_of(TRAINERS[1], tmp_path)[4:]
    assert [ours.config_file, *ours.opts[:-1]] == stock[1:-1]
    assert (ours.opts[-1], stock[-1]) == (str(tmp_path / "ours"), str(tmp_path / "stock"))


@pytest.mark.usefixtures("tiny_shapes")
@pytest.mark.parametrize(
    "config",
    [
        (stock_trainer.YAML, "MODEL.DEVICE", "cpu", *SMALL),
        (stock_trainer.LAZY, "model.network.seed_head.offsets=[[0,1]]", *TINY_LAZY),
    ],
    ids=["yaml", "lazy"],
)
def test_detectron2_counts_operations_and_activations(stock_tool, monkeypatch, capsys, config):
    """Two images at least: of one Detectron2 divides its activations by nothing."""
    tool = stock_trainer.with_plugin(stock_tool("analyze_model"))
    tasks = ["--tasks", "flop", "activation", "--num-inputs", "2"]
    monkeypatch.setattr(sys, "argv", ["analyze_model", *tasks, "--config-file", *config])
    with own_loggers():
        tool.main()
    printed = capsys.readouterr().out
    parts = set(re.findall(r"^\| (\w+)[\w.]* +\| [^|]+\| [\d.]+[KMG] ", printed, re.MULTILINE))
    assert {"backbone", "decoder", "seed_decoder", "embedding_head", "seed_head"} <= parts
    activations = re.search(r"Total \(Million\) Activations: ([\d.]+)", printed)
    assert float(activations[1]) > 0


def test_the_last_figures_of_masks_count():
    def lines(task, *values):
        yield f"[11/26 12:00:00 d2.evaluation.testing]: copypaste: Task: {task}"
        yield "[11/26 12:00:00 d2.evaluation.testing]: copypaste: AP,AP50,AP75"
        yield f"[11/26 12:00:00 d2.evaluation.testing]: copypaste: {values[0]},{values[1]},1.0"

    log = [*lines("segm", 1, 2), *lines("bbox", 3, 4), "else", *lines("segm", 5, 6), "the end"]
    assert stock_trainer.mask_ap("\n".join(log)) == {"AP": 5.0, "AP50": 6.0}


@pytest.mark.parametrize(
    ("measured", "times"), [((40.0, 20.0, 50.0), [1.0, 0.5, 1.25]), ((0.0, 1.0, 0.0), [None] * 3)]
)
def test_trainings_stand_beside_each_other(monkeypatch, tmp_path, capsys, measured, times):
    left = dict(zip(TRAINERS, measured, strict=True))
    monkeypatch.setattr(
        stock_trainer, "run", lambda name, command: {"AP": left.pop(name), "AP50": 60.0}
    )
    call(stock_trainer, "--iterations", 7, "--output", tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["command"].startswith("python -m benchmarks.stock_trainer")
    assert [row["trainer"] for row in written["rows"]] == list(TRAINERS)
    assert [row["times_ours"] for row in written["rows"]] == times
    assert {row["iterations"] for row in written["rows"]} == {7}
    assert TRAINERS[2] in capsys.readouterr().out


def test_a_training_that_fails_ends_the_comparison_with_its_last_words():
    with pytest.raises(SystemExit, match=r"ours failed:\nno such data"):
        stock_trainer.run("ours", ["-c", "raise SystemExit('no such data')"])

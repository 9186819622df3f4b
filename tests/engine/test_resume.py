"""A training that is killed goes on as if nobody had killed it: the real thing, in processes of
their own, see benchmarks/kills.py."""

import json
import random
import shutil

import pytest

from benchmarks.kills import KilledTraining, kill_and_resume, same, same_losses, write_data

SHORT = ("SOLVER.MAX_ITER", 8, "SOLVER.CHECKPOINT_PERIOD", 2)
MOMENTS = {"ours": ["iteration", "checkpoint", "start", "iteration"], "mask_rcnn": ["iteration"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed") / "data"
    write_data(str(folder))
    return str(folder)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """One training of each kind that nobody killed."""
    trainings = {}
    for kind in MOMENTS:
        folder = str(tmp_path_factory.mktemp(kind))
        trainings[kind] = KilledTraining(kind, data, folder, *SHORT)
        trainings[kind].start()
        trainings[kind].wait()
    return trainings


@pytest.mark.parametrize("kind", MOMENTS)
def test_a_training_that_is_killed_again_and_again_is_the_same(kind, data, whole, tmp_path):
    # With another number of workers, too.
    workers = ("DATALOADER.NUM_WORKERS", {"ours": 1, "mask_rcnn": 0}[kind])
    training = KilledTraining(kind, data, str(tmp_path), *SHORT, *workers)
    expected = {line["iteration"]: line for line in whole[kind].losses()}
    assert len(expected) == 8
    kills = kill_and_resume(training, 0, MOMENTS[kind], expected, random.Random())
    assert all(kill.is_exact for kill in kills), json.dumps(training.losses(), indent=1)
    assert same(training.final(), whole[kind].final())
    # A row is missing where a process was killed between the checkpoint and it.
    rows, expected_rows = training.metrics(), whole[kind].metrics()
    assert expected_rows and rows == {number: expected_rows[number] for number in rows}


def test_a_training_that_is_killed_between_its_last_two_checkpoints_gets_the_last_one(
    data, whole, tmp_path
):
    """They are of the same iteration, so that nothing is left to be trained."""
    first = shutil.copytree(whole["ours"].folder, tmp_path / "copy")
    (first / "model_final.pth").unlink()
    (first / "last_checkpoint").write_text("model_0000007.pth")
    training = KilledTraining("ours", data, str(first), *SHORT)
    training.start()
    training.wait()
    assert len(training.losses()) == 8
    assert same(training.final(), whole["ours"].final())


def test_the_comparison_sees_the_last_bit(whole):
    first, other = whole["ours"].final(), whole["ours"].final()
    assert same(other, first)
    weight = next(iter(other["model"].values())).view(-1)
    weight[0] = weight[0].nextafter(weight.new_tensor(9e9))
    assert not same(other, first)
    line, *others = whole["ours"].losses()
    assert same_losses(line, dict(line, process=-1))
    assert not any(same_losses(line, {**line, "loss_mask": other["loss_mask"]}) for other in others)


@pytest.mark.parametrize("kind", MOMENTS)
def test_a_training_whose_numbers_blow_up_ends_and_its_checkpoints_are_good(kind, data, tmp_path):
    blows_up = ("SOLVER.ADAMW.BASE_LR", 1e30, "SOLVER.WARMUP_ITERS", 3)
    training = KilledTraining(kind, data, str(tmp_path), *SHORT, *blows_up)
    training.start()
    with pytest.raises(
        RuntimeError, match=r" in iteration \d, whose images are .*png; no step was taken"
    ):
        training.wait()
    assert not (tmp_path / "model_final.pth").exists()

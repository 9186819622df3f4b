"""Checkpoints that are whole or not there, and the one that a training goes on from."""

import logging
import os

import pytest
import torch
from torch import nn

from dml_instance.engine import checkpoints
from dml_instance.engine.checkpoints import WholeCheckpointer, going_on, history, latest_whole


class Net(nn.Module):
    def __init__(self, value=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.full((50,), value))
        self.register_buffer("kept", torch.zeros(2))


def saved(folder, iterations, kept=0):
    """A checkpointer that has saved a model at some iterations, whose weights are these."""
    model = Net()
    checkpointer = WholeCheckpointer(model, str(folder), kept=kept)
    for iteration in iterations:
        nn.init.constant_(model.weight, iteration)
        checkpointer.save(f"model_{iteration:07d}", iteration=iteration)
    return checkpointer


def name(iteration):
    return f"model_{iteration:07d}.pth"


def resumed(folder):
    """The weight and the iteration that a new process goes on with."""
    model = Net(-1.0)
    rest = WholeCheckpointer(model, str(folder), kept=2).resume_or_load("", resume=True)
    return model.weight[0].item(), rest.get("iteration")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def flip_a_bit_of_a_weight(path):
    content = bytearray(path.read_bytes())
    place = content.index(torch.full((50,), 2.0).numpy().tobytes()) + 101
    content[place] ^= 1
    path.write_bytes(content)


def fill_with_zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


DAMAGES = [cut, empty, flip_a_bit_of_a_weight, fill_with_zeros, lambda path: path.unlink()]


@pytest.fixture
def warnings(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("dml_instance"), "propagate", True)
    return lambda: [r.getMessage() for r in caplog.records if r.name == checkpoints.__name__]


def test_the_latest_checkpoint_is_taken(tmp_path, warnings):
    saved(tmp_path, [0, 1, 2])
    assert resumed(tmp_path) == (2.0, 2)
    assert not warnings()
    assert (tmp_path / "last_checkpoint").read_text().strip() == name(2)


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_it_is_damaged_the_one_before_is_taken_and_both_are_named(tmp_path, warnings, damage):
    saved(tmp_path, [0, 1, 2])
    damage(tmp_path / name(2))
    assert resumed(tmp_path) == (1.0, 1)
    (line,) = warnings()
    assert line.startswith(f"{tmp_path / name(2)} is ")
    assert line.endswith(f"the training goes on from the one before, {tmp_path / name(1)}")
    assert latest_whole(str(tmp_path)) == str(tmp_path / name(1))
    assert len(warnings()) == 1, "said once"


def test_two_damaged_ones_are_passed_over_and_where_none_is_whole_that_is_an_error(tmp_path):
    saved(tmp_path, [0, 1, 2])
    for iteration in (2, 1):
        cut(tmp_path / name(iteration))
    assert resumed(tmp_path) == (0.0, 0)
    cut(tmp_path / name(0))
    with pytest.raises(ValueError, match="no checkpoint of .* can be read: .*Start anew") as error:
        resumed(tmp_path)
    assert str(tmp_path / name(0)) in str(error.value) and "\n" not in str(error.value)


def test_names_that_say_nothing_are_an_error(tmp_path):
    (tmp_path / "last_checkpoint").touch()
    with pytest.raises(ValueError, match="last_checkpoint names none"):
        resumed(tmp_path)


def test_of_detectron2s_own_folders_the_one_checkpoint_is_known(tmp_path):
    saved(tmp_path, [4])
    (tmp_path / "checkpoints.txt").unlink()
    assert resumed(tmp_path) == (4.0, 4)


def test_what_came_after_the_one_that_somebody_went_back_to_counts_no_more(tmp_path):
    saved(tmp_path, [0, 1, 2, 3])
    (tmp_path / "last_checkpoint").write_text(name(1))
    assert resumed(tmp_path) == (1.0, 1)
    saved(tmp_path, [2])
    assert history(str(tmp_path)) == [name(0), name(1), name(2)]
    cut(tmp_path / name(2))
    assert resumed(tmp_path) == (1.0, 1)


@pytest.mark.parametrize(
    ("kept", "left"), [(0, [0, 1, 2, 3, 4]), (2, [3, 4]), (3, [2, 3, 4])], ids=str
)
def test_the_latest_few_are_kept_also_over_two_processes(tmp_path, kept, left):
    saved(tmp_path, [0, 1, 2], kept)
    checkpointer = saved(tmp_path, [3, 4], kept)
    checkpointer.save("model_final")
    checkpointer.save("model_best")
    files = {path.name for path in tmp_path.glob("*.pth")}
    assert files == {*map(name, left), "model_final.pth", "model_best.pth"}
    there = [file for file in history(str(tmp_path)) if file in files]
    assert there == [*map(name, left), "model_final.pth", "model_best.pth"]


@pytest.mark.parametrize("kept", [1, -1])
def test_one_alone_is_too_few(tmp_path, kept):
    with pytest.raises(ValueError, match=f"SOLVER.CHECKPOINTS_KEPT is 0 or at least 2, got {kept}"):
        WholeCheckpointer(Net(), str(tmp_path), kept=kept)


@pytest.mark.parametrize("step", ["torch.save", "os.fsync", "os.replace"])
def test_whatever_fails_in_saving_leaves_the_checkpoint_before(tmp_path, monkeypatch, step):
    """A full disk, for instance; a killed process is in test_resume.py."""
    checkpointer = saved(tmp_path, [0])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, fail)
    with pytest.raises(OSError, match="No space left"):
        checkpointer.save("model_0000000")
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_disk_has_a_checkpoint_before_its_name_is_the_latest(tmp_path, monkeypatch):
    checkpointer, acts = saved(tmp_path, []), []

    def noted(module, function):
        act = getattr(module, function)

        def call(*args):
            acts.append((function, str(args[-1])))
            return act(*args)

        monkeypatch.setattr(module, function, call)

    noted(checkpoints.os, "fsync")
    noted(checkpoints.os, "replace")
    checkpointer.save("model_0000007")
    kinds = [f"{kind} {at.rpartition('/')[2]}" if kind == "replace" else kind for kind, at in acts]
    assert kinds == [
        *("fsync", f"replace {name(7)}", "fsync"),
        *("fsync", "replace checkpoints.txt", "fsync"),
        *("fsync", "replace last_checkpoint", "fsync"),
    ]


def test_what_a_killed_process_left_of_a_checkpoint_is_removed(tmp_path):
    (tmp_path / "model_0000000.4711.part.pth").write_bytes(b"half")
    (tmp_path / "mine.pth").write_bytes(b"whole")
    saved(tmp_path, [1])
    assert {path.name for path in tmp_path.glob("*.pth")} == {"mine.pth", name(1)}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, value):
    checkpointer = saved(tmp_path, [0])
    with torch.no_grad():
        checkpointer.model.weight[3] = value
    with pytest.raises(FloatingPointError, match=r"not finite \(weight\), and no check") as error:
        checkpointer.save("model_0000001")
    assert f"The last checkpoint, {tmp_path / name(0)}, is good" in str(error.value)
    assert resumed(tmp_path) == (0.0, 0)
    assert not (tmp_path / name(1)).exists()


def test_of_what_lies_beside_the_weights_only_nan_is_refused(tmp_path):
    checkpointer = saved(tmp_path, [])
    checkpointer.model.kept[0] = float("inf")
    checkpointer.save("model_0000000")
    checkpointer.model.kept[0] = float("nan")
    with pytest.raises(FloatingPointError, match=r"\(kept\)"):
        checkpointer.save("model_0000001")


def test_a_process_that_is_killed_before_what_is_too_old_is_removed_leaves_no_file_behind(
    tmp_path, monkeypatch
):
    checkpointer, remove = saved(tmp_path, [0, 1], kept=2), os.remove

    def killed(path):
        if path.endswith(name(0)):
            raise KeyboardInterrupt
        remove(path)

    monkeypatch.setattr(os, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save("model_0000002", iteration=2)
    monkeypatch.undo()
    assert resumed(tmp_path) == (1.0, 2)
    saved(tmp_path, [3], kept=2)
    assert {path.name for path in tmp_path.glob("*.pth")} == {name(2), name(3)}


def test_another_training_goes_on_from_its_own_checkpoints_alone_and_leaves_the_others(tmp_path):
    saved(tmp_path, [0, 1])
    checkpointer = saved(tmp_path, [])
    checkpointer.begin_anew()
    assert resumed(tmp_path) == (1.0, 1), "as long as there is none of its own"
    checkpointer.save("model_0000002")
    assert history(str(tmp_path)) == [name(2)]
    checkpointer.save("model_0000003")
    assert history(str(tmp_path)) == [name(2), name(3)]
    assert (tmp_path / name(0)).exists() and (tmp_path / name(1)).exists()
    for iteration in (2, 3):
        cut(tmp_path / name(iteration))
    with pytest.raises(ValueError, match="can be read"):
        resumed(tmp_path)


def test_how_to_go_on_is_said(tmp_path):
    assert "begin anew" in going_on(str(tmp_path))
    (tmp_path / "last_checkpoint").write_text("model_0000009.pth")
    assert going_on(str(tmp_path)).endswith(f"checkpoint, {tmp_path}/model_0000009.pth")

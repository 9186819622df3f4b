"""The store: undo and redo, a replay that equals what is in memory, and the sudden end of a process
at any moment."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dml_instance.app.action_log import ActionLog, LogError, fcntl, write_durably
from dml_instance.app.project import SEGMENT, Marked, Project
from dml_instance.rle import encoded


def marked(number, name="cell"):
    mask = np.zeros((4, 5), dtype=bool)
    mask.flat[number % 20] = True
    return Marked(encoded(mask), name, number / 100, (number, 0.5), 0.5)


@pytest.fixture
def project(tmp_path):
    opened = Project(str(tmp_path / "project"))
    yield opened
    opened.close()


def reopened(project):
    project.close()
    return Project(project.folder)


def test_edits_are_undone_and_done_again_and_a_new_one_ends_that(project):
    first = project.edit("a.png", "grow", [], [marked(1), marked(2)])
    assert list(first) == [1, 2]
    project.edit("a.png", "merge", [1, 2], [marked(3)])
    assert project.state("a.png").objects == {3: marked(3)}
    assert project.undo("a.png").name == "merge"
    assert project.state("a.png").objects == {1: marked(1), 2: marked(2)}
    assert project.redo("a.png").added == {3: marked(3)}
    project.undo("a.png")
    assert list(project.edit("a.png", "grow", [2], [marked(5)])) == [4]  # numbers are not reused
    assert project.redo("a.png") is None
    assert project.undo("b.png") is None and project.redo("b.png") is None
    for name in ("grow", "grow"):
        assert project.undo("a.png").name == name
    assert project.undo("a.png") is None
    assert project.state("a.png").objects == {}


def test_the_number_of_a_deleted_object_is_not_given_again(project):
    project.edit("a.png", "grow", [], [marked(1), marked(2)])
    project.edit("a.png", "delete", [2], [])
    assert list(project.edit("a.png", "grow", [], [marked(3)])) == [3]
    project.undo("a.png")
    project.undo("a.png")
    assert project.state("a.png").objects == {1: marked(1), 2: marked(2)}


def test_one_image_does_not_undo_another(project):
    project.edit("a.png", "grow", [], [marked(1)])
    project.edit("b.png", "grow", [], [marked(2)])
    project.undo("a.png")
    assert not project.state("a.png").objects and project.state("b.png").objects


def test_what_is_not_there_cannot_be_replaced_and_leaves_no_trace(project):
    project.edit("a.png", "grow", [], [marked(1)])
    with pytest.raises(KeyError, match="no object 7 in a.png"):
        project.edit("a.png", "delete", [7], [])
    again = reopened(project)
    assert again.state("a.png").objects == {1: marked(1)}
    again.close()


def test_an_image_is_corrected_by_people_and_not_by_a_model(project):
    project.edit("a.png", SEGMENT, [], [marked(1)], model="nuclei")
    state = project.state("a.png")
    assert not state.is_corrected and state.found_by == "nuclei"
    project.set_complete("a.png", True)
    assert project.state("a.png").is_corrected
    project.set_complete("a.png", False)
    project.edit("a.png", "delete", [1], [])
    assert project.state("a.png").is_corrected and project.state("a.png").found_by == "nuclei"


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["grow", "replace", "delete", "undo", "redo", "complete", "model"]),
        st.sampled_from(["a.png", "b/c.png", "über.png"]),
        st.integers(0, 1000),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(ACTS)
def test_a_replay_equals_what_is_in_memory(tmp_path_factory, acts):
    project = Project(str(tmp_path_factory.mktemp("replay") / "project"))
    for act, key, number in acts:
        there = list(project.state(key).objects)
        if act == "grow":
            project.edit(key, "grow", [], [marked(number)])
        elif act == "replace" and there:
            project.edit(key, "class", [there[number % len(there)]], [marked(number, "egg")])
        elif act == "delete" and there:
            project.edit(key, "delete", there[: 1 + number % 2], [])
        elif act in ("undo", "redo"):
            getattr(project, act)(key)
        elif act == "complete":
            project.set_complete(key, bool(number % 2))
        elif act == "model":
            project.set_model(f"models/{number}")
    images, model = project.images, project.model
    again = reopened(project)
    assert again.images == images and again.model == model
    # The order of the objects too, which pages list.
    for key, state in images.items():
        assert list(again.images[key].objects) == list(state.objects)
    again.close()


def test_a_line_that_was_cut_short_is_forgotten(project):
    project.edit("a.png", "grow", [], [marked(1)])
    path = os.path.join(project.folder, "actions.jsonl")
    whole = os.path.getsize(path)
    project.edit("a.png", "grow", [], [marked(2)])
    project.close()
    for length in (whole, whole + 1, os.path.getsize(path) - 1):
        with open(path, "r+b") as file:
            file.truncate(length)
        project = Project(project.folder)
        assert project.state("a.png").objects == {1: marked(1)}
        project.edit("a.png", "grow", [], [marked(2)])
        again = reopened(project)
        assert again.state("a.png").objects == {1: marked(1), 2: marked(2)}
        again.close()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "line 2, is no action"),
        ("[1]", "line 2, is no action"),
        ('{"do": "undo"}', "line 2, does not fit"),
        ('{"do": "undo", "image": "b.png"}', "line 2, does not fit"),
        ('{"do": "dance", "image": "a.png"}', "'dance' is no action"),
        ('{"do": "edit", "image": "a.png", "name": "x", "removed": [9], "added": {}}', "KeyError"),
    ],
)
def test_a_log_that_was_changed_is_refused_by_its_line(project, line, message):
    project.edit("a.png", "grow", [], [marked(1)])
    project.close()
    with open(os.path.join(project.folder, "actions.jsonl"), "a") as file:
        file.write(line + "\n")
    for _ in range(2):  # the second time it is not held by the first
        with pytest.raises(LogError, match=message):
            Project(project.folder)


def test_other_folders_and_versions_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(LogError, match="is no project and not empty"):
        Project(str(tmp_path))
    assert os.listdir(tmp_path) == ["notes.txt"]
    (tmp_path / "project.json").write_text('{"format": 99}')
    with pytest.raises(LogError, match="has format 99"):
        Project(str(tmp_path))
    (tmp_path / "project.json").write_text("{}")
    with pytest.raises(LogError, match="is not that of a project"):
        Project(str(tmp_path))


@pytest.mark.skipif(fcntl is None, reason="nothing keeps a second program out on this system")
def test_a_project_is_open_once(project):
    with pytest.raises(LogError, match="held by another program"):
        Project(project.folder)


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path, monkeypatch):
    log = ActionLog(str(tmp_path / "log"))
    log.append({"do": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            log.append({"do": 2})
    log.append({"do": 3})
    log.close()
    again = ActionLog(str(tmp_path / "log"))
    assert again.actions == [{"do": 1}, {"do": 3}]
    again.close()


def test_a_file_is_replaced_whole_or_not(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_durably(str(path), b"one")

    def torn(*_):
        raise OSError("gone")

    monkeypatch.setattr(os, "replace", torn)
    with pytest.raises(OSError, match="gone"):
        write_durably(str(path), b"two")
    assert path.read_bytes() == b"one" and os.listdir(tmp_path) == ["a.json"]


# Adds an object after the other and says so each time; it has no torch to wait for.
CHILD = """
import importlib.util, sys, types
root, folder = sys.argv[1:]
package = types.ModuleType("app")
package.__path__ = [root]
sys.modules["app"] = package
from app.project import Marked, Project
project = Project(folder)
rle = {"size": [4, 5], "counts": "x" * 3000}
number = len(project.state("a.png").objects)
while True:
    print(f"begins {number}", flush=True)
    project.edit("a.png", "grow", [], [Marked(rle, "cell", number / 100000)])
    number += 1
    print(f"done {number}", flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 on this system")
def test_a_killed_process_loses_at_most_the_last_act(tmp_path):
    """Twenty times at random moments, each going on where the one before was ended."""
    import dml_instance.app

    folder, rng = str(tmp_path / "project"), random.Random(0)
    (root,) = dml_instance.app.__path__
    for _ in range(20):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, root, folder], stdout=subprocess.PIPE, text=True
        )
        lines = [child.stdout.readline()]
        time.sleep(rng.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines()
        child.wait()
        child.stdout.close()
        words = [line.split() for line in lines if len(line.split()) == 2]
        began = max(int(n) for word, n in words if word == "begins")
        done = max([began, *(int(n) for word, n in words if word == "done")])
        project = Project(folder)
        objects = project.state("a.png").objects
        assert done <= len(objects) <= began + 1
        # What is there is right, and not only there.
        assert [item.score for item in objects.values()] == [
            n / 100000 for n in range(len(objects))
        ]
        project.close()
    with open(os.path.join(folder, "actions.jsonl"), encoding="utf-8") as file:
        assert all(json.loads(line)["do"] == "edit" for line in file)

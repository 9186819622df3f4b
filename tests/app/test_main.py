"""The command: what it opens, what it refuses in one line, and where it begins."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from dml_instance.app.gallery import PageError
from dml_instance.commands import app as command
from dml_instance.data.forms.readers import SourceRules
from dml_instance.images import ReadingRules
from toy_page import BLOCKS, SIZE, ToyModel, draw_blocks, workspace_in

pytest.importorskip("uvicorn", reason="pip install -e .[app] for these")


@pytest.fixture
def toy_models(monkeypatch):
    monkeypatch.setattr(command, "PageModel", lambda name, reading, beside: ToyModel(name))


def arguments(*given):
    return command.argument_parser().parse_args([str(value) for value in given])


def test_the_project_lies_beside_the_images_and_remembers_its_model(tmp_path, toy_models):
    draw_blocks(tmp_path / "raw" / "a.png")
    args = arguments("--input", tmp_path / "raw")
    workspace, _ = command.open_workspace(args, ReadingRules())
    assert workspace.project.folder == str(tmp_path / "raw" / "dml_project")
    assert workspace.project.model == workspace.model.name == "nuclei"
    workspace.use(ToyModel("models/001"))
    workspace.project.close()
    workspace, _ = command.open_workspace(args, ReadingRules())
    assert workspace.model.name == "models/001"
    # The folder of the project is no folder of images.
    assert [image.key for image in workspace.gallery] == ["a.png"]
    workspace.project.close()


def test_a_project_is_of_one_folder_of_images(tmp_path, toy_models):
    """Of a.png in another folder there would be the objects of the first."""
    draw_blocks(tmp_path / "raw" / "sub" / "a.png")
    draw_blocks(tmp_path / "other" / "sub" / "a.png")

    def open_and_close(*inputs, project="project"):
        args = arguments("--input", *inputs, "--project", tmp_path / project)
        workspace, _ = command.open_workspace(args, ReadingRules())
        keys = [image.key for image in workspace.gallery]
        workspace.opened(0)
        workspace.project.close()
        return keys

    for _ in range(2):
        assert open_and_close(tmp_path / "raw") == ["sub/a.png"]
    # So many images as there are: the names in the folder are what counts.
    draw_blocks(tmp_path / "raw" / "b.png")
    assert open_and_close(tmp_path / "raw") == ["b.png", "sub/a.png"]
    for other in (tmp_path / "other", tmp_path / "raw" / "sub"):
        with pytest.raises(ValueError, match="is the project of the images in .*raw, not of") as no:
            open_and_close(other)
        assert "give another --project" in str(no.value)
    # What the line says about a folder that was moved is so.
    (tmp_path / "raw").rename(tmp_path / "moved")
    with pytest.raises(ValueError, match="project of the images in") as refused:
        open_and_close(tmp_path / "moved")
    entry = re.search(r'write ("images": ".*") into (.*)$', str(refused.value))
    head = Path(entry[2])
    content = json.loads(head.read_text()) | json.loads(f"{{{entry[1]}}}")
    head.write_text(json.dumps(content))
    assert open_and_close(tmp_path / "moved") == ["b.png", "sub/a.png"]
    # One in the folder goes with it, and one without that entry takes the next folder.
    assert open_and_close(tmp_path / "other", project="other/mine")
    (tmp_path / "other").rename(tmp_path / "other2")
    assert open_and_close(tmp_path / "other2", project="other2/mine")
    with pytest.raises(ValueError, match="project of the images in .*other2, not"):
        open_and_close(tmp_path / "moved", project="other2/mine")
    head = tmp_path / "other2" / "mine" / "project.json"
    head.write_text('{"format": 1, "of": "dml_instance"}')
    assert open_and_close(tmp_path / "moved", project="other2/mine")


def test_without_images_it_opens_a_project_that_images_are_sent_to(tmp_path, toy_models):
    args = arguments("--project", tmp_path / "project", "--model", "shapes")
    workspace, _ = command.open_workspace(args, ReadingRules())
    assert len(workspace.gallery) == 0 and workspace.model.name == "shapes"
    workspace.project.close()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--input", "nowhere"], "no such folder"),
        (
            ["--model", "cats"],
            "cats is neither a file or folder nor one of the models that come with the",
        ),
        (["--page", "-1"], "counts from 0"),
        (["--max-pixels", "0"], "at least 1"),
        (["--port", "99999"], "--port is 0 to 65535, got 99999"),
        (["--port", "-1"], "--port is 0 to 65535, got -1"),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    if "--model" not in given:
        monkeypatch.setattr(command, "PageModel", lambda name, reading, beside: ToyModel(name))
    with pytest.raises(SystemExit) as ended:
        command.main(arguments("--project", "project", "--port", 0, *given))
    assert str(ended.value).startswith("error: ") and message in str(ended.value)
    assert "\n" not in str(ended.value)


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"port {port} .*give another --port"):
            command.main(arguments("--project", tmp_path / "project", "--port", port))
    assert not (tmp_path / "project").exists()


def test_annotations_to_begin_with_leave_alone_what_was_done(tmp_path):
    workspace = workspace_in(tmp_path)
    labels = np.zeros(SIZE, np.uint8)
    top, left, bottom, right, _ = BLOCKS[0]
    labels[top:bottom, left:right] = 5
    for name in ("a.png", "b.png", "sub/c.png"):
        (tmp_path / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "masks" / name), labels)
    workspace.opened(1)
    places = str(tmp_path / "masks"), str(tmp_path / "raw")
    rules = SourceRules(*places, class_names=("disc",))
    told = command.take(workspace, rules, "masks", at_start=True)
    assert (told["images"], told["objects"], told["others"], told["without"]) == (2, 2, 0, 0)
    assert len(workspace.opened(0)["objects"]) == 1 and len(workspace.opened(1)["objects"]) == 3
    with pytest.raises(PageError, match="'object', but the classes here are square, disc"):
        command.take(workspace, SourceRules(*places), "masks")
    workspace.project.close()


def test_annotations_to_begin_with_may_be_of_some_images_and_of_new_classes(
    tmp_path, toy_models, monkeypatch, capsys
):
    for name in ("a.png", "b.png", "z.png"):
        draw_blocks(tmp_path / "raw" / name)
    labels = np.zeros(SIZE, np.uint8)
    for number, (top, left, bottom, right, _) in enumerate(BLOCKS, start=1):
        labels[top:bottom, left:right] = number
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks" / "b.png"), labels)
    opened = []
    monkeypatch.setattr(command, "_serve", lambda workspace, *_: opened.append(workspace) or 0)
    given = ["--input", tmp_path / "raw", "--labels", tmp_path / "masks", "--port", 0]
    for imported in ("3 objects of 1 images were imported; 2 have", "0 objects of 0 images were"):
        assert command.main(arguments(*given)) == 0
        said = capsys.readouterr().out
        assert imported in said
        # Said once: afterwards it is there.
        assert ("classes that are new to the model: object\n" in said) == (imported[0] == "3")
        (workspace,) = opened
        assert workspace.classes.names == ("square", "disc", "object")
        assert [len(workspace.project.state(f"{n}.png").objects) for n in "abz"] == [0, 3, 0]
        opened.pop().project.close()
    # One number for all blocks, as masks of 0 and 255 have it, is taken, and doubted.
    cv2.imwrite(str(tmp_path / "masks" / "z.png"), (labels > 0) * np.uint8(255))
    assert command.main(arguments(*given)) == 0
    said = capsys.readouterr().out
    assert "1 objects of 1 images" in said and "check this: " in said and "in 3 pieces" in said
    assert "dml prepare --number-pieces" in said
    opened.pop().project.close()


def test_an_interrupt_ends_the_page_in_one_line(tmp_path):
    """Of the command in a process of its own, as a terminal sends it."""
    draw_blocks(tmp_path / "raw" / "a.png")
    tests = Path(__file__).parents[1]
    paths = [str(tests.parent), str(tests), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, tmp_path / "raw"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    try:
        for line in process.stdout:
            if line.startswith("open http"):
                break
        # The address is printed before the server takes over the signal.
        _answer(line.split()[1])
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    folder = tmp_path / "raw" / "dml_project"
    assert said == f"stopped; all that was done is kept in {folder}\n"
    assert process.returncode == 0


_SERVE = """
import sys
from dml_instance.commands import app
from toy_page import ToyModel
app.PageModel = lambda name, reading, beside: ToyModel(name)
sys.exit(app.main(app.argument_parser().parse_args(["--input", sys.argv[1], "--port", "0"])))
"""


def _answer(address):
    for _ in range(600):
        try:
            return urllib.request.urlopen(f"{address}api/project").read()
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")

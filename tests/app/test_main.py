"""The command: what it opens, what it refuses in one line, and where it begins."""

import socket

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
    ],
)
def test_bad_input_ends_in_one_line(tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    if "--model" not in given:
        monkeypatch.setattr(command, "PageModel", lambda name, reading, beside: ToyModel(name))
    with pytest.raises(SystemExit) as ended:
        command.main(arguments(*given, "--project", "project", "--port", 0))
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
    told = command.take(workspace, rules, "masks", only_new=True)
    assert told == {"images": 2, "objects": 2, "others": 0}
    assert len(workspace.opened(0)["objects"]) == 1 and len(workspace.opened(1)["objects"]) == 3
    with pytest.raises(PageError, match="'object', but the classes of this model are square, disc"):
        command.take(workspace, SourceRules(*places), "masks")
    workspace.project.close()

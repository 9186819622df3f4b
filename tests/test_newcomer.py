"""What somebody does who has the wheel and no clone: each command in a process of its own.

The environment is a new one, which has what dml_instance needs from that of the tests, and from
there nothing of dml_instance.
"""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import cv2
import pytest

from dml_instance.data.datasets.shapes import draw_split
from doc_pages import ROOT

SHORT = [
    *("--config", "Shapes/dml_slim_unet.yaml", "SOLVER.MAX_ITER", "3", "SOLVER.IMS_PER_BATCH", "2"),
    *("DATALOADER.NUM_WORKERS", "0", "INPUT.CROP.SIZE", "[64,64]", "MODEL.DEVICE", "cpu"),
]
THREE_LINES = """
import dml_instance
result = dml_instance.load("shapes")("raw/0.png")
result.save("mine.tif")
print(len(result), dml_instance.__file__)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a program of the new environment in a folder with images; returns what it prints."""
    folder = tmp_path_factory.mktemp("newcomer")
    wheels = [*("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir"), folder / "dist"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *wheels, ROOT], check=True, cwd=folder)
    venv.create(folder / "env", with_pip=False, symlinks=True)
    site = Path(
        sysconfig.get_path("purelib", vars={"base": str(folder / "env")}, scheme="posix_prefix")
    )
    # A path alone: of the editable dml_instance there, only its own .pth would tell.
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "env" / "bin" / "python"
    (wheel,) = (folder / "dist").glob("dml_instance-*.whl")
    install = [*("--no-deps", "--no-index", "--quiet", "--ignore-installed"), wheel]
    subprocess.run([python, "-m", "pip", "install", *install], check=True, cwd=folder)
    _draw(folder)

    def run(program, *words):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
        ended = subprocess.run(
            [folder / "env" / "bin" / program, *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
        return ended.stdout

    run.folder = folder
    return run


def _draw(folder):
    """Eight images in raw/, their label images in masks/."""
    for name in ("raw", "masks"):
        (folder / name).mkdir()
    for index, (_, scene) in enumerate(draw_split("test", 8, seed=7, size=96, difficulty=0.2)):
        cv2.imwrite(str(folder / "raw" / f"{index}.png"), scene.image[..., ::-1])
        labels = sum((m * (i + 1) for i, m in enumerate(scene.masks)), start=0 * scene.masks[0])
        cv2.imwrite(str(folder / "masks" / f"{index}.png"), labels.astype("uint8"))


def test_one_command_segments_a_picture(run):
    assert "shapes" in run("dml", "models")
    said = run("dml", "segment", "--model", "shapes", "--input", "raw/0.png", "--output", "found")
    assert "objects in 1 image: found" in said.splitlines()[-1]
    assert (run.folder / "found" / "labels" / "0.png").is_file()


def test_five_commands_lead_from_label_images_to_a_model(run):
    said = run("dml", "prepare", "--images", "raw", "--labels", "masks", "--output", "data/mine")
    assert "dml train --data data/mine --output output/mine" in said
    said = run("dml", "train", "--data", "data/mine", "--output", "output/mine", *SHORT)
    assert "report.html" in said
    model = ("--model", "output/mine")
    said = run("dml", "look", *model, "--data", "data/mine", "--output", "pictures")
    assert "2 pictures in pictures" in said
    run("dml", "segment", *model, "--input", "raw", "--output", "all", "--min-score", "0")
    images = json.loads((run.folder / "all" / "instances.json").read_text())["images"]
    assert len(images) == 8


def test_three_lines_of_python(run):
    count, file = run("python", "-W", "ignore", "-c", THREE_LINES).split()
    assert Path(file).is_relative_to(run.folder / "env")
    labels = cv2.imread(str(run.folder / "mine.tif"), cv2.IMREAD_UNCHANGED)
    assert labels.max() == int(count) > 0

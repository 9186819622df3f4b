"""A page on drawn blocks, with a model that sees grey levels and needs no network."""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from dml_instance.app.gallery import Gallery
from dml_instance.app.models import Sight
from dml_instance.app.project import Marked, Project
from dml_instance.app.teaching import Teacher
from dml_instance.app.workspace import Workspace
from dml_instance.images import ReadingRules, read_image
from dml_instance.keys.classes import Classes
from dml_instance.modeling.grouping import GroupingRules, InstanceGrouping
from dml_instance.modeling.structures import ImageMaps
from dml_instance.rle import encoded

# Top, left, bottom, right and grey level of each block; the background is 0.
BLOCKS = [(3, 4, 12, 16, 60), (3, 20, 14, 30, 120), (17, 5, 27, 28, 180)]
SIZE = (30, 36)

# Stands for a training: it says how far it is, and leaves a model.
_TRAINING = """
import json, pathlib, sys, time
folder, seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])
assert (folder / "data" / "annotations" / "instances_train.json").is_file()
if seconds == 0.125:
    sys.exit("the disk is full")
progress = {"share": 0.5, "iterations": 7, "curve": [[0.1, 2.0], [0.2, 1.0]]}
(folder / "progress.json").write_text(json.dumps(progress))
time.sleep(seconds)
(folder / "model_final.pth").write_bytes(b"")
"""


class ToyModel:
    """Finds every block as "square"; one that was learnt finds it as "disc"."""

    def __init__(self, name="toy", found="square"):
        self.name, self.found, self.min_score = name, found, 0.5
        self.classes = Classes(("square", "disc"), (1, 2))
        self.seen = []
        self.shares = []

    def name_of(self, pred_class):
        return self.classes.names[pred_class]

    def see(self, path):
        self.seen.append(Path(path).name)
        grey = read_image(path)[..., 0].astype(np.float32)
        grouping = InstanceGrouping(
            GroupingRules(class_by="seed", score="seediness", small_mask_cells=0.0),
            num_classes=2,
            taus=(0.5,),
            context=-1,
        )
        logits = torch.zeros(1, 3, *grey.shape)
        logits[0, 1 + self.classes.names.index(self.found)] = 2.0
        maps = ImageMaps(
            torch.from_numpy(grey)[None] / 10, torch.ones(grey.shape), logits, 1, 1.0, grey.shape
        )
        objects = []
        for level in sorted(set(grey.ravel().tolist()) - {0.0}):
            row, column = np.argwhere(grey == level)[0].tolist()
            point = (row + 0.5, column + 0.5)
            objects.append(Marked(encoded(grey == level), self.found, 0.9, point, 0.5))
        account = {
            "row": 1.0,
            "column": 1.0,
            "tau": 0.5,
            "seediness": 0.1,
            "rule": "",
            "instance": 0,
            "score": 0.9,
            "size_factor": 1.0,
            "taken_by": None,
            "share_taken": None,
            "class": self.found,
            "reason": "it is an object",
        }
        return Sight(grey.shape, objects, grouping.ground([maps], grey.shape), [account])

    def write_training(self, folder, labelled_share):
        self.shares.append(labelled_share)

    @staticmethod
    def training_command(folder, minutes):
        return [sys.executable, "-c", _TRAINING, folder, str(minutes)]


def draw_blocks(path, blocks=BLOCKS, size=SIZE):
    """Write an image of blocks."""
    grey = np.zeros(size, np.uint8)
    for top, left, bottom, right, level in blocks:
        grey[top:bottom, left:right] = level
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), grey)
    return path


def workspace_in(folder, **rules):
    """A page on ``folder/raw`` with its project in ``folder/project``; close its project."""
    if not (folder / "raw").exists():
        for name in ("a.png", "b.png", "sub/c.png"):
            draw_blocks(folder / "raw" / name)
    project = Project(str(folder / "project"))
    gallery = Gallery(project.folder, ReadingRules(**rules), [str(folder / "raw")])
    return Workspace(project, gallery, ToyModel())


def teacher_of(workspace):
    """A teacher whose models find discs."""
    return Teacher(workspace, lambda name: ToyModel(name, "disc"))

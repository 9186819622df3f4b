"""What the tests of benchmarks share: a data set, predictions by hand, and a single process."""

import logging
import pickle

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog

from benchmarks.timing.predicted import Predicted
from command_lines import forget_all_but
from dml_instance.modeling.structures import ImageMaps
from toy_scenes import square_and_disc, write_coco


@pytest.fixture(autouse=True, scope="session")
def _log_of_this_process():
    """Trainers set up a log of Detectron2's own, on the output of one test, where there is none."""
    logging.getLogger("detectron2").setLevel(logging.INFO)


@pytest.fixture(autouse=True)
def known_data_sets():
    """Names that are registered before a test; what it registers beyond them is forgotten after."""
    known = set(DatasetCatalog.list())
    yield known
    forget_all_but(known)


@pytest.fixture
def no_new_processes(known_data_sets, monkeypatch):
    """What a new process would be asked to do is done here, with what can be sent to one.

    As a new process would, it knows no data sets of the command line.
    """

    def here(function, *args):
        forget_all_but(known_data_sets)
        function, args = pickle.loads(pickle.dumps((function, args)))
        return function(*args)

    for module in ("evaluator", "inference", "training"):
        monkeypatch.setattr(f"benchmarks.timing.{module}.in_fresh_process", here)


@pytest.fixture(scope="session")
def registration(tmp_path_factory):
    """``toy=...`` for ``--register-coco``: three images with two objects each, of one class."""
    scenes = [square_and_disc(64, 96), square_and_disc(70, 90), square_and_disc(64, 80)]
    scenes = [(image, masks, np.zeros(2, int)) for image, masks, _ in scenes]
    path, images = write_coco(
        tmp_path_factory.mktemp("data"), "toy", scenes, class_names=["nucleus"]
    )
    return f"toy={path}:{images}"


@pytest.fixture
def two_objects():
    """Masks (2, 64, 96) bool on a grid of stride 2, classes (2,), and predictions of them."""
    masks = torch.zeros(2, 64, 96, dtype=torch.bool)
    masks[0, 8:28, 10:40] = True
    masks[1, 32:60, 50:90] = True
    of_cells = masks[:, ::2, ::2]
    generator = torch.Generator().manual_seed(0)
    embedding = 0.05 * torch.randn(4, 32, 48, generator=generator)
    embedding[0] += 6 * of_cells[0]
    embedding[1] += 6 * of_cells[1]
    logits = torch.full((2, 3, 32, 48), -4.0)  # two thresholds, background and two classes
    logits[:, 0] = 4.0
    for index, cells in enumerate(of_cells):
        logits[0, 0, cells] = -4.0
        logits[0, 1 + index, cells] = 4.0
    maps = ImageMaps(embedding, torch.ones(32, 48), logits, 2, 1.0, (64, 96))
    return masks, torch.tensor([0, 1]), Predicted(maps, (64, 96))

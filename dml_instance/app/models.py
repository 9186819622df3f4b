"""Models as the page needs them: by name, what they see in an image, and how they learn.

This is the one file of the page that knows how models are loaded and trained.
"""

import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode

from ..data import build_test_mapper
from ..data.forms.results import found_objects
from ..data.images import ReadingRules
from ..engine import load_trained, min_score_of
from ..files import write_text
from ..keys.classes import classes_of
from ..model_zoo import PREFIX, shipped_models
from ..modeling import DMLInstance
from ..modeling.grouping import RULES, PointGround, explain
from ..rle import encoded_part
from .project import Marked

CONFIG, WEIGHTS = "config.yaml", "model_final.pth"

# Of the learning rate that a training from scratch has.
_RATE = 0.2
_BATCH = 4


@dataclass(frozen=True)
class Sight:
    """What a model sees in an image.

    Attributes:
        size: (H, W) of the image.
        objects: best first.
        ground: that masks grow in.
        accounts: of every seed, in JSON's types; see ``SeedAccount``.
        nbytes: that are kept.
    """

    size: tuple[int, int]
    objects: list[Marked]
    ground: PointGround
    accounts: list[dict]

    @property
    def nbytes(self) -> int:
        """Bytes that are kept, about."""
        return self.ground.nbytes + 1000 * len(self.accounts)


class PageModel:
    """A trained ``DMLInstance`` at work.

    Attributes:
        name: that it was loaded by.
        classes: names and category ids.
        min_score: least score of an object.
    """

    def __init__(self, name: str, reading: ReadingRules, beside: str = ""):
        """
        Args:
            name: of a shipped model, or a folder with the ``config.yaml`` and ``model_final.pth``
                of a training.
            reading: of images.
            beside: the folder that a relative name is looked for in first.

        Raises:
            FileNotFoundError: for a name that is neither.
            ValueError: for a model of another kind, or files that do not fit each other.
        """
        config, weights = _files_of(name, beside)
        self.name = name
        self._model, self._cfg = load_trained(config, weights, needs_data=False)
        if not isinstance(self._model, DMLInstance):
            raise ValueError(
                f"{name} is a {type(self._model).__name__}; masks grow at a click in a DMLInstance "
                "alone: give the folder of such a training"
            )
        # The key bounds what is scored; who corrects wants all that is found.
        self._model.grouping.max_instances = None
        self._weights = weights
        self._mapper = build_test_mapper(self._cfg, reading)
        self.classes = classes_of(self._cfg)
        self.min_score = min_score_of(self._cfg, None)

    @torch.no_grad()
    def see(self, path: str) -> Sight:
        """An image as the model sees it.

        Args:
            path: of its file.

        Raises:
            ImageFileError: for a file that cannot be read.
        """
        record = self._mapper({"file_name": path})
        size = (record["height"], record["width"])
        (pyramid,) = self._model.pyramids([record])
        instances, accounts = explain(self._model.grouping, pyramid, size)
        seeds = {account.instance: account for account in accounts}
        objects = []
        for found in found_objects(instances, self.min_score):
            seed = seeds[found.label - 1]
            objects.append(
                Marked(
                    encoded_part(found.mask, found.corner, size),
                    self.classes.names[found.class_index],
                    round(found.score, 4),
                    (seed.row, seed.column),
                    seed.tau,
                )
            )
        told = [self._told(asdict(account)) for account in accounts]
        return Sight(size, objects, self._model.grouping.ground(pyramid, size), told)

    def _told(self, account: dict) -> dict:
        """An account with the name of its class, and the page's least score among its rules."""
        account["class"] = self.classes.names[account.pop("pred_class")]
        if not account["rule"] and account["score"] < self.min_score:
            account |= {"rule": "TEST.MIN_SCORE", "instance": None}
        account["reason"] = RULES.get(account["rule"], "its score is too low to be shown")
        return account

    def name_of(self, pred_class: int) -> str:
        """Of a class by its index."""
        return self.classes.names[pred_class]

    def write_training(self, folder: str, labelled_share: float) -> None:
        """Write the config of a training that goes on from this model into a folder that exists."""
        cfg: CfgNode = self._cfg.clone()
        cfg.defrost()
        batch = min(cfg.SOLVER.IMS_PER_BATCH, _BATCH)
        cfg.merge_from_list(
            [
                *("DATASETS.TRAIN", (), "DATASETS.TEST", ()),
                *("DATASETS.CLASS_NAMES", list(self.classes.names)),
                # The ids of the training data that the page writes.
                *("DATASETS.CATEGORY_IDS", list(range(1, len(self.classes.names) + 1))),
                *("MODEL.WEIGHTS", self._weights, "MODEL.DML.BACKBONE.PRETRAINED", False),
                *("MODEL.DML.SEED_LOSS.LABELLED_SHARE", labelled_share),
                # The model knows its seeds already.
                *("MODEL.DML.SEED_LOSS.RAMP_START", 0.0, "MODEL.DML.SEED_LOSS.RAMP_END", 0.0),
                *("SOLVER.IMS_PER_BATCH", batch, "DATALOADER.NUM_WORKERS", 0),
                *("SOLVER.BASE_LR", cfg.SOLVER.BASE_LR * _RATE),
                *("SOLVER.WARMUP_ITERS", 10, "INPUT.FIT_TO_OBJECTS", False),
                *("TEST.MIN_SCORE", self.min_score, "OUTPUT_DIR", folder),
            ]
        )
        if cfg.SOLVER.ADAMW.BASE_LR is not None:
            cfg.SOLVER.ADAMW.BASE_LR *= _RATE
        write_text(os.path.join(folder, CONFIG), cfg.dump())

    @staticmethod
    def training_command(folder: str, minutes: float) -> list[str]:
        """The command that trains on what lies in a folder, and leaves a model of its name."""
        return [sys.executable, "-m", "dml_instance.app.training", folder, str(minutes)]


def _files_of(name: str, beside: str) -> tuple[str, str]:
    """Config and weights of a model."""
    name = name.removeprefix(PREFIX)
    shipped = shipped_models()
    if name in shipped:
        config = Path(__file__).parents[2] / shipped[name]["config"]
        return str(config), f"{PREFIX}{name}"
    for folder in (os.path.join(beside, name), name):
        if os.path.isfile(os.path.join(folder, CONFIG)):
            return os.path.join(folder, CONFIG), os.path.join(folder, WEIGHTS)
    raise FileNotFoundError(
        f"there is no model {name}: give one of {', '.join(shipped)}, or the folder of a training "
        f"with its {CONFIG} and {WEIGHTS}"
    )


def similarity_picture(ground: PointGround, point: tuple[float, float]) -> np.ndarray:
    """How alike all is to a point, (h, w) uint8: 0 not at all, 255 the same."""
    return (ground.similarity(point) * 255).round().astype(np.uint8)

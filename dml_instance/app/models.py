"""Models as the page needs them: by name, what they see in an image, and how they learn."""

import os
import sys
from dataclasses import asdict, dataclass

import numpy as np
import torch

from ..data import build_test_mapper
from ..data.forms.results import found_objects
from ..files import write_json
from ..grouping import RULES, PointGround, shown
from ..images import ReadingRules
from ..modeling import DMLInstance
from ..modeling.grouping import explain
from ..rle import encoded_part
from ..segmenter import load
from .job import LESSON
from .project import Marked


@dataclass(frozen=True)
class Sight:
    """What a model sees in an image.

    Attributes:
        size: (H, W) of the image.
        objects: best first.
        ground: that masks grow in.
        accounts: of every seed, in JSON's types; see ``SeedAccount``.
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
            name: of a shipped model, the folder of a training, or a checkpoint.
            reading: of images.
            beside: the folder that a relative name is looked for in first.

        Raises:
            FileNotFoundError: for a name that is none of these.
            ValueError: for a model of another kind, or files that do not fit each other.
        """
        here = os.path.join(beside, name)
        self._source = os.path.abspath(here) if os.path.exists(here) else name
        segmenter = load(self._source)
        self._model = segmenter.model
        if not isinstance(self._model, DMLInstance):
            raise ValueError(
                f"{name} is a {type(self._model).__name__}; masks grow at a click in a DMLInstance "
                "alone: give the folder of such a training"
            )
        self.name = name
        self.classes, self.min_score = segmenter.classes, segmenter.min_score
        self._mapper = build_test_mapper(segmenter.cfg, reading)

    @torch.no_grad()
    def see(self, path: str) -> Sight:
        """An image as the model sees it.

        Args:
            path: of its file.

        Raises:
            FileError: for a file that cannot be read.
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
        told = [self._told(asdict(shown(account, self.min_score))) for account in accounts]
        return Sight(size, objects, self._model.grouping.ground(pyramid, size), told)

    def _told(self, account: dict) -> dict:
        """An account with the name of its class, and its rule in words."""
        account["class"] = self.classes.names[account.pop("pred_class")]
        account["reason"] = RULES[account["rule"]]
        return account

    def name_of(self, pred_class: int) -> str:
        """Of a class by its index."""
        return self.classes.names[pred_class]

    def write_training(self, folder: str, labelled_share: float) -> None:
        """Write into a folder that exists what a training from this model on has to know."""
        lesson = {"model": self._source, "labelled_share": labelled_share}
        write_json(os.path.join(folder, LESSON), lesson)

    @staticmethod
    def training_command(folder: str, minutes: float) -> list[str]:
        """The command that trains on what lies in a folder, and leaves a model of its name."""
        return [sys.executable, "-m", "dml_instance.app.training", folder, str(minutes)]


def similarity_picture(ground: PointGround, point: tuple[float, float]) -> np.ndarray:
    """How alike all is to a point, (h, w) uint8: 0 not at all, 255 the same."""
    return (ground.similarity(point) * 255).round().astype(np.uint8)

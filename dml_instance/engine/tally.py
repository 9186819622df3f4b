"""What a run over images found, and what it left out, for its last lines."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..report import counted


@dataclass
class Tally:
    """Counts of the objects that a least score keeps and leaves out.

    Attributes:
        min_score: the least score.
        images: number of them.
        objects: number of those kept.
        weak: number of those left out.
        empty: number of those whose masks have no pixel.
        best_of_none: of each image in which nothing was kept, its name and the best score there; 0
            where nothing was found at any score.
    """

    min_score: float
    images: int = 0
    objects: int = 0
    weak: int = 0
    empty: int = 0
    best_of_none: dict[str, float] = field(default_factory=dict)

    def count(self, name: str, scores: Tensor, kept: int) -> None:
        """Take an image into account.

        Args:
            name: of the image.
            scores: (N,) of all that the model found in it.
            kept: number of those that were written or drawn; others of the least score were empty.
        """
        strong = int((scores >= self.min_score).sum())
        self.images += 1
        self.objects += kept
        self.weak += len(scores) - strong
        self.empty += strong - kept
        if not kept:
            self.best_of_none[name] = float(torch.cat([scores, scores.new_zeros(1)]).max())

    @property
    def remarks(self) -> list[str]:
        """Lines on what was left out, for the user."""
        lines = []
        if self.weak:
            lines.append(
                f"{counted(self.weak, 'object')} with a score under {self.min_score:g} left out"
            )
        if self.empty:
            lines.append(f"{counted(self.empty, 'object')} without a pixel left out")
        if self.best_of_none:
            name, best = max(self.best_of_none.items(), key=lambda item: item[1])
            of_images = f"0 objects in {len(self.best_of_none)} of {counted(self.images, 'image')}"
            lines.append(
                f"{of_images}, best score {best:.2g} ({name}); try --min-score {_half(best):g}"
                if best
                else f"{of_images}, at any score: are their objects as large as in the training?"
            )
        return lines


def _half(score: float) -> float:
    """About half a score, and never more."""
    return math.floor(score / 2 * 20) / 20

"""Scenes of a few cells, with maps that are given cell by cell, whose losses can be told with a
pencil.

A digit is a cell of that object, a dot is background and x is ignored; a cell is one pixel unless
said otherwise.
"""

import math

import numpy as np
import torch

from dml_instance.modeling.criterion import (
    CriterionRules,
    DMLCriterion,
    MaskLossRules,
    PairLossRules,
    SeedLossRules,
)
from dml_instance.modeling.ground_truth import GroundTruth
from dml_instance.modeling.structures import ImageMaps
from dml_instance.object_masks import ObjectMasks


def distance_of(sigma):
    """The squared distance at which the similarity is this."""
    return math.log(2 / sigma - 1)


class Drawing:
    """A drawn scene, and maps of it that are given cell by cell."""

    def __init__(self, *rows, classes=None, stride=1):
        letters = np.array([list(row) for row in rows])
        pixels = letters.repeat(stride, 0).repeat(stride, 1)
        count = max(int(c) for c in "".join(rows).translate(str.maketrans(".x", "00")))
        masks = np.stack([pixels == str(g + 1) for g in range(count)])
        classes = torch.tensor(list(classes or [0] * count))
        self.truth = GroundTruth(
            ObjectMasks.of(torch.from_numpy(masks)), classes, torch.from_numpy(pixels == "x")
        )
        self.letters, self.stride = letters, stride
        self.embedding = torch.zeros(1, *letters.shape)
        self.distance_scale = torch.ones(letters.shape)
        self.logits = torch.zeros(1, 3, *letters.shape)

    def place(self, **squared_distances):
        """The embedding of each letter, by its squared distance from 0; b is background."""
        for letter, d in squared_distances.items():
            chosen = self.letters == {"b": "."}.get(letter, letter.removeprefix("o"))
            self.embedding[:, torch.from_numpy(chosen)] = math.sqrt(d)
        return self

    def probability(self, letter, *p):
        """What the network says of the cells of a letter: background, and each class."""
        chosen = torch.from_numpy(self.letters == letter)
        self.logits[..., chosen] = torch.tensor(p).log()[:, None]
        return self

    def criterion(self, *, taus=(0.5,), context=-1, max_iter=1, **sections):
        """With pairs of weight 1 and without a ramp, unless the sections say otherwise."""
        rules = CriterionRules(
            PairLossRules(**{"weight": 1.0, **sections.get("pair", {})}),
            MaskLossRules(**sections.get("mask", {})),
            SeedLossRules(**{"ramp_end": 0.0, **sections.get("seed", {})}),
        )
        return DMLCriterion(rules, taus=taus, context=context, max_iter=max_iter)

    def maps(self, num_taus=1):
        """One threshold says what the other says."""
        return ImageMaps(
            self.embedding,
            self.distance_scale,
            self.logits.expand(num_taus, -1, -1, -1),
            self.stride,
            1.0,
            tuple(self.truth.ignored.shape),
        )

    def losses(self, *, iteration=0, **options):
        """All losses; what is logged beside them is left in ``statistics``."""
        criterion = self.criterion(**options)
        torch.manual_seed(0)
        maps = self.maps(len(criterion.taus))
        losses, self.statistics = criterion([[maps]], [self.truth], iteration)
        return {name: value.item() for name, value in losses.items()}

    def loss(self, name, **options):
        """One of them."""
        return self.losses(**options)[f"loss_{name}"]

"""Images of which only some objects are labelled.

What no label covers is then either background or an object that nobody has drawn. Close to a
labelled object it is background, but for a neighbour that touches it; farther away nobody knows.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch


class PartlyLabelled:
    """A mapper that ignores all of an image that lies farther than a margin from every label.

    Ignored pixels are neither object nor background in the losses.
    """

    def __init__(self, mapper: Callable[[dict], dict], margin: float):
        """
        Args:
            mapper: Detectron2 record to input dict, whose ``gt_masks`` are ``BitMasks``.
            margin: in pixels of the network's input, > 0: as far as what is beside a labelled
                object counts as background.

        Raises:
            ValueError: for a margin that is not positive.
        """
        if margin <= 0:
            raise ValueError(f"INPUT.LABELLED_MARGIN is positive, got {margin}")
        self.mapper = mapper
        self.margin = margin

    def __call__(self, record: dict) -> dict:
        """A Detectron2 record to the model's input dict, with ``ignored``."""
        x = self.mapper(record)
        is_far = torch.ones(x["image"].shape[-2:], dtype=torch.bool)
        if len(x["instances"]):
            is_labelled = x["instances"].gt_masks.tensor.any(dim=0).numpy()
            distance = cv2.distanceTransform((~is_labelled).view(np.uint8), cv2.DIST_L2, 5)
            is_far = torch.from_numpy(distance > self.margin)
        return {**x, "ignored": is_far | x["ignored"] if "ignored" in x else is_far}

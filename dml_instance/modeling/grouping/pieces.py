"""Which classes have objects that lie in pieces, as the training data says.

Shapes: K classes, G objects of an image, H x W pixels.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.distributed as dist
from detectron2.utils import comm
from torch import Tensor, nn


class PieceCounter(nn.Module):
    """Counts in training how much of the objects of each class lies apart from their largest piece.

    A bar is cut by the bars that cross it, and its pieces have to be found again; a cell in a crowd
    is not, and what looks like another piece of it is another cell. The counts are part of the
    checkpoint, as a norm's statistics are. Of several processes each has the counts of all.
    """

    # Objects of a class that are looked at: the mean of so many is known to a hundredth, and then
    # it costs nothing.
    ENOUGH = 1000
    # A class of which fewer were seen may be anything.
    FEW = 30

    def __init__(self, num_classes: int, min_share_apart: float):
        """
        Args:
            num_classes: K.
            min_share_apart: mean share of an object, in (0, 1], from which its class counts as one
                in pieces.

        """
        super().__init__()
        self.min_share_apart = min_share_apart
        self.register_buffer("num_objects", torch.zeros(num_classes, dtype=torch.int64))
        self.register_buffer("sum_apart", torch.zeros(num_classes))

    @torch.no_grad()
    def count(self, images: Sequence[tuple[Sequence[Tensor], Tensor]]) -> None:
        """Take the objects of a batch into account, until there are enough of their class.

        Several processes call it together, each with its own share of the batch.

        Args:
            images: of each G masks, (h, w) bool, at least the part of the image that holds the
                object, read on the CPU; and (G,) int64 classes.
        """
        # By class first: once there are enough of all, no pixel is looked at any more, and no
        # process waits for another. They agree on that, for their counts are the same.
        is_wanted = self.num_objects.cpu() < self.ENOUGH
        if not is_wanted.any():
            return
        seen = torch.zeros(2, len(is_wanted), dtype=torch.float64)  # objects, and their shares
        for masks, classes in images:
            classes = classes.cpu()
            shares = {
                index: _share_apart(mask.byte().numpy())
                for index in is_wanted[classes].nonzero()[:, 0].tolist()
                if (mask := masks[index].cpu()).any()
            }
            new = torch.stack([seen.new_ones(len(shares)), seen.new_tensor(list(shares.values()))])
            seen.index_add_(1, classes[list(shares)], new)
        seen = seen.to(self.num_objects.device)
        if comm.get_world_size() > 1:
            dist.all_reduce(seen)
        self.num_objects += seen[0].long()
        self.sum_apart += seen[1].float()

    def in_pieces(self) -> Tensor:
        """(K,) bool: the classes whose objects lie in pieces, and those of which it is unknown."""
        mean = self.sum_apart / self.num_objects.clamp(min=1)
        return (mean >= self.min_share_apart) | (self.num_objects < self.FEW)


def _share_apart(mask: np.ndarray) -> float:
    """The share of a mask (H, W) uint8, not empty, outside its largest piece; pieces do not touch,
    even at corners."""
    areas = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    return 1 - areas.max() / areas.sum()

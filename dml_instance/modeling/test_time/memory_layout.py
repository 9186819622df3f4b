"""Whether maps lie in memory cell by cell or channel by channel."""

import torch
from torch import Tensor


def memory_format_of(maps: Tensor) -> torch.memory_format:
    """``channels_last`` for (B, C, h, w) in that layout, else ``contiguous_format``."""
    is_channels_last = maps.dim() == 4 and maps.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_channels_last else torch.contiguous_format

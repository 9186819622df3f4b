"""Batch norms folded into the convolutions before them, for inference: fewer passes over memory."""

import copy
from itertools import chain
from types import SimpleNamespace

from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fold_norms(module: nn.Module) -> None:
    """Fold, in place, every batch norm that Detectron2's ``Conv2d`` carries into its weight and bias."""
    for conv in module.modules():
        if isinstance(conv, Conv2d) and isinstance(conv.norm, nn.BatchNorm2d | FrozenBatchNorm2d):
            norm = conv.norm
            conv.weight, conv.bias = fuse_conv_bn_weights(
                *(
                    conv.weight,
                    conv.bias,
                    norm.running_mean,
                    norm.running_var,
                    norm.eps,
                    norm.weight,
                    norm.bias,
                )
            )
            conv.norm = None


class FoldedCopy:
    """Copies of modules for inference with their norms folded, made anew whenever a weight has
    changed.

    Memory: that of the modules' weights once more, from the first use on.
    """

    def __init__(self, **modules: nn.Module | None):
        self._modules = modules
        self._weights: list[tuple[int, int]] | None = None
        self._copies: SimpleNamespace | None = None

    def get(self) -> SimpleNamespace:
        """The copies, under the names of the modules; no parameter of theirs takes a gradient."""
        weights = [(tensor.data_ptr(), tensor._version) for tensor in self._tensors()]
        if self._copies is None or weights != self._weights:
            self._copies = copy.deepcopy(SimpleNamespace(**self._modules))
            for module in filter(None, vars(self._copies).values()):
                fold_norms(module.requires_grad_(False))
            self._weights = weights
        return self._copies

    def _tensors(self) -> chain[Tensor]:
        modules = [module for module in self._modules.values() if module is not None]
        return chain.from_iterable(
            chain(module.parameters(), module.buffers()) for module in modules
        )

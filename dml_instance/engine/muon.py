"""Muon beside AdamW: kernels of convolutions learn by steps that are orthogonal matrices.

K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon/. A layer that starts at random first learns few
directions, along which the gradients of all images agree. A step whose singular values are all
about one teaches it the others at the same rate.
"""

import torch
from torch import Tensor

_MOMENTUM = 0.95

# Of the quintic x -> a x + b x^3 + c x^5, which takes every singular value in (0, 1] to about one
# in five steps. Jordan et al. chose them for the slope at 0.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_QUINTIC_STEPS = 5


def orthogonalized(matrix: Tensor) -> Tensor:
    """The singular vectors of a matrix, with singular values that are about one.

    Args:
        matrix: (m, n), floating point.

    Returns:
        (m, n) float32. Singular values lie in [0.68, 1.21], but for those under two thousandths of
        the matrix's Frobenius norm, which may be smaller; 0 for a matrix of zeros.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if is_tall else matrix).float()
    x = x / x.norm().clamp(min=torch.finfo(torch.float32).tiny)
    a, b, c = _QUINTIC
    for _ in range(_QUINTIC_STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if is_tall else x


class MuonAdamW(torch.optim.AdamW):
    """AdamW, but for the parameters of groups that say ``is_orthogonal``.

    These are matrices, or kernels (C', C, k, k), which are matrices of C' rows. A step goes along
    their momentum, with Nesterov's look ahead, orthogonalised: ``lr`` times its singular values of
    about one, and times sqrt(rows / columns) where it has more rows. Weight decay is AdamW's.
    """

    @torch.no_grad()
    def step(self, closure=None):
        """As ``torch.optim.AdamW.step``."""
        every = self.param_groups
        self.param_groups = [group for group in every if not group.get("is_orthogonal")]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = every
        for group in every:
            if group.get("is_orthogonal"):
                self._step_orthogonally(group)
        return loss

    def _step_orthogonally(self, group: dict) -> None:
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:
                # AdamW looks for "step" in every state that it loads.
                state.update(step=torch.zeros(()), momentum=torch.zeros_like(weight))
            state["momentum"].lerp_(weight.grad, 1 - _MOMENTUM)
            step = orthogonalized(weight.grad.lerp(state["momentum"], _MOMENTUM).flatten(1))
            rows, columns = step.shape
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(
                step.view_as(weight).to(weight.dtype),
                alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5,
            )

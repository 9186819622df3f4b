"""Weights of a model for other classes.

Shapes: T thresholds, K classes before and N after.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

# Of checkpoints: convolutions of the seed head, of which the last predicts, and the two of
# ``ClassContext``.
_SEED_LAYER = re.compile(r"seed_head\.layers\.(\d+)\.(weight|bias)$")
_CONTEXT = re.compile(r"class_context\.of_\w+\.(weight|bias)$")


def transfer_classes(
    state: dict[str, Tensor],
    before: Sequence[str],
    after: Sequence[str],
    num_taus: int,
    likest: Mapping[int, int] | None = None,
) -> dict[str, Tensor]:
    """The weights of a ``DMLInstance`` for other classes: what tells objects from background stays.

    A class that the model knows by name keeps its weights. A new one starts from those of its
    likest, and without one from the mean of all, which is sure of nothing. Counts of pieces are
    dropped, which are of the classes before.

    Args:
        state: of a checkpoint's "model"; stays as it is.
        before: (K,) names of its classes.
        after: (N,) names of the classes wanted.
        num_taus: T.
        likest: indices of classes before, by those of new ones; see ``engine.likest_classes``.
    """
    likest = likest or {}

    def source(index: int, name: str) -> Sequence[int]:
        if name in before:
            return [before.index(name)]
        return [likest[index]] if index in likest else range(len(before))

    sources = [source(index, name) for index, name in enumerate(after)]

    def chosen(logits: Tensor) -> Tensor:
        """(K, ...) to (N, ...)."""
        return torch.stack([logits[list(rows)].float().mean(dim=0) for rows in sources])

    last = max((int(m[1]) for m in map(_SEED_LAYER.match, state) if m), default=None)
    result = {}
    for key, value in state.items():
        layer = _SEED_LAYER.match(key)
        if layer and int(layer[1]) == last:
            background, classes = value.unflatten(0, (num_taus, -1)).split([1, len(before)], dim=1)
            classes = torch.stack([chosen(of_tau) for of_tau in classes])
            value = torch.cat([background.float(), classes], dim=1).flatten(0, 1).to(value.dtype)
        elif _CONTEXT.match(key):
            value = chosen(value).to(value.dtype)
        elif key.startswith("pieces."):
            continue
        result[key] = value
    return result

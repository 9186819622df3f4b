"""A training ends at the first loss or gradient that is not finite, before a step is taken."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from .checkpoints import advice

# File names that are told of a batch.
_NAMED = 8


@contextlib.contextmanager
def finite_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, iteration: int, folder: str
) -> Iterator[None]:
    """Inside the ``with`` block every loss that the model gives is looked at, and every gradient
    before the optimiser takes it.

    Detectron2 looks at the sum of the losses, in the first process alone. A gradient that is not
    finite spoils the weights while all losses still look well, and a checkpoint may be saved before
    the next loss tells. Under float16, Detectron2's scaler leaves out such steps, and only the
    losses are looked at.

    Args:
        model: in training mode.
        optimizer: of it.
        iteration: from 0.
        folder: of the checkpoints.

    Raises:
        FloatingPointError: in the process that has such a loss or gradient, with its name, the
            iteration, the images of the batch, and what to do; the same with what a model says of
            itself by such an error, as Detectron2's proposals do of their boxes.
    """
    step = _Step(model)
    # For the block alone: a model is copied between steps, and what hangs on it with it.
    with (
        _hung(model.register_forward_pre_hook(step.note_files)),
        _hung(model.register_forward_hook(step.look_at_losses)),
        _hung(optimizer.register_step_pre_hook(step.look_at_gradients)),
    ):
        try:
            yield
        except FloatingPointError as error:
            what = " ".join(str(error).split()).rstrip(".")
            raise FloatingPointError(
                f"{what} in iteration {iteration + 1}, whose images are "
                f"{_shortened(step.files, _NAMED)}; no step was taken with it. {advice(folder)}"
            ) from error


@contextlib.contextmanager
def _hung(handle: torch.utils.hooks.RemovableHandle) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


class _Step:
    """What is known of a step; its methods are hooks of torch."""

    def __init__(self, model: nn.Module):
        self.files: list[str] = []
        self._model = model
        self._losses: dict[str, float] = {}

    def note_files(self, _: nn.Module, inputs: tuple) -> None:
        self.files = [x.get("file_name", "an image in memory") for x in inputs[0]]

    def look_at_losses(
        self, _: nn.Module, inputs: tuple, losses: Mapping[str, Tensor] | Tensor
    ) -> None:
        if isinstance(losses, Tensor):
            losses = {"total_loss": losses}
        # A device is waited for once.
        values = torch.stack([loss.detach().float().sum() for loss in losses.values()]).tolist()
        self._losses = dict(zip(losses, values, strict=True))
        self._check(self._losses, "the loss")

    def look_at_gradients(self, optimizer: torch.optim.Optimizer, *_) -> None:
        groups = optimizer.param_groups
        weights = [w for group in groups for w in group["params"] if w.grad is not None]
        # Whatever is not finite in a sum makes it so.
        sums = torch.stack([w.grad.sum() for w in weights]) if weights else torch.zeros(1)
        if not sums.isfinite().all():
            names = {id(weight): name for name, weight in self._model.named_parameters()}
            of_names = zip((names[id(weight)] for weight in weights), sums.tolist(), strict=True)
            self._check(dict(of_names), "the gradient of")

    def _check(self, values: Mapping[str, float], kind: str) -> None:
        bad = [name for name, value in values.items() if not abs(value) < float("inf")]
        if bad:
            losses = ", ".join(f"{name} {value:.4g}" for name, value in self._losses.items())
            raise FloatingPointError(f"{kind} {_shortened(bad, 3)} is not finite ({losses})")


def _shortened(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

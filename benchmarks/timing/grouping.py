"""Images a second of the grouping alone, over the threads that share a batch."""

from collections.abc import Sequence

import numpy as np
import torch

from dml_instance.engine import load_trained

from .inference import model_inputs
from .measure import interleaved
from .predicted import check_model

# So many rounds of images for the most threads: the last one is seldom full.
_ROUNDS = 4


def images_needed(threads: Sequence[int]) -> int:
    """Images of the batch that is timed over some numbers of threads."""
    return _ROUNDS * max(threads)


@torch.no_grad()
def time_grouping(
    name: str,
    run: tuple,
    images: Sequence[np.ndarray],
    threads: Sequence[int],
    repeats: int,
) -> list[dict]:
    """From the maps of a batch, on the device of the model, to its instances.

    Args:
        name: of the run.
        run: the arguments of ``load_trained``, for a ``DMLInstance`` with one scale.
        images: (H, W, 3) uint8.
        threads: numbers of images that are grouped at once, >= 1.
        repeats: timed calls.

    Returns:
        For each number of threads a row: ``threads``, ``images``, the quartiles of ``interleaved``
        for all images, ``images_per_second`` at the median, and ``instances`` found an image.

    Raises:
        ValueError: see ``check_model``.
    """
    model, cfg = load_trained(*run)
    check_model(name, model)
    inputs = model_inputs(images, cfg)
    pyramids = [pyramid for x in inputs for pyramid in model.pyramids([x])]
    found = model.inference(pyramids, inputs)
    functions = {
        count: lambda count=count: model.inference(pyramids, inputs, threads=count)
        for count in threads
    }
    all_threads = torch.get_num_threads()
    if model.device.type == "cpu":
        # What is torch's part of the grouping is not on these cores with a GPU; here each thread
        # would start as many of torch's own.
        torch.set_num_threads(1)
    try:
        times = interleaved(functions, repeats)
    finally:
        torch.set_num_threads(all_threads)
    return [
        {
            "run": name,
            "threads": count,
            "images": len(images),
            **ms,
            "images_per_second": round(1e3 * len(images) / ms["ms"], 1),
            "instances": sum(len(result["instances"]) for result in found) / len(images),
        }
        for count, ms in times.items()
    ]

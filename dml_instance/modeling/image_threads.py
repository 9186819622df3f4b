"""The images of a batch one after the other, or several at once in threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TypeVar

import torch

Result = TypeVar("Result")


def of_each_image(
    function: Callable[..., Result],
    images: Sequence[tuple],
    names: Sequence[str],
    *,
    threads: int,
    device: torch.device,
) -> list[Result]:
    """What a function makes of each image.

    It is called without gradients, and with the CUDA stream of the caller, in which what it is
    given was made: both are a matter of each thread.

    Args:
        function: may be called by several threads at once.
        images: its arguments for each of B images.
        names: (B,), for errors.
        threads: at most so many images at once, >= 1.
        device: that the images are on.

    Returns:
        (B,) results in the order of the images, the same for any number of threads.

    Raises:
        RuntimeError: whatever the function raises, with the name of the first image at which it
            does.
    """
    stream = torch.cuda.current_stream(device) if device.type == "cuda" else None

    def of_image(arguments: tuple, name: str) -> Result:
        try:
            with torch.no_grad(), torch.cuda.stream(stream) if stream else nullcontext():
                return function(*arguments)
        except Exception as error:
            raise RuntimeError(f"{name}: {type(error).__name__}: {error}") from error

    if min(threads, len(images)) <= 1:
        return list(map(of_image, images, names))
    with ThreadPoolExecutor(min(threads, len(images))) as pool:
        return list(pool.map(of_image, images, names))

"""Random numbers that follow from a seed and from what they are drawn for.

Whatever draws at one place of a training so draws the same whenever it comes there: after an
interruption, in whichever process loads the data, and whether or not anything else has drawn.
"""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def seed_randomness(seed: int, *place: int) -> None:
    """Set the random numbers of Python, NumPy and torch on the CPU, and of GPUs in use.

    Args:
        seed: of the training, >= 0.
        place: numbers >= 0 that say what is drawn for; another place has other numbers.
    """
    numbers = _seed_on_the_cpu(seed, place)
    # Of a process that uses no GPU it starts none.
    torch.cuda.manual_seed_all(numbers)


@contextlib.contextmanager
def own_randomness(seed: int, *place: int) -> Iterator[None]:
    """Inside the ``with`` block random numbers on the CPU follow from the arguments, which are
    those of ``seed_randomness``; after it they go on as if nothing had been drawn."""
    with randomness_kept():
        _seed_on_the_cpu(seed, place)
        yield


@contextlib.contextmanager
def randomness_kept() -> Iterator[None]:
    """After the ``with`` block random numbers on the CPU go on as if nothing had been drawn."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _seed_on_the_cpu(seed: int, place: tuple[int, ...]) -> int:
    """Returns a seed for other devices."""
    sequence = np.random.SeedSequence(seed, spawn_key=place)
    words = sequence.generate_state(8)
    np.random.seed(words[:4])
    first, second = (int(word) for word in words[4:].view(np.uint64))
    random.seed(first)
    torch.default_generator.manual_seed(second)
    return second

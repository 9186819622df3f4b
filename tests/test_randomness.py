"""Random numbers that follow from a seed and a place, of all three libraries that draw some."""

import random

import numpy as np
import pytest
import torch

from dml_instance.randomness import own_randomness, randomness_kept, seed_randomness


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def drawn_at(*place):
    with own_randomness(7, *place):
        return draw()


def test_a_place_has_its_own_numbers_and_always_the_same():
    places = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0), (2**31,)]
    drawn = [drawn_at(*place) for place in places]
    assert drawn == [drawn_at(*place) for place in places]
    for of_library in zip(*drawn, strict=True):
        assert len(set(of_library)) == len(places)
    with own_randomness(8):
        assert draw() != drawn[0]


def test_both_ways_give_the_same_numbers():
    expected = drawn_at(3, 4)
    seed_randomness(7, 3, 4)
    assert draw() == expected
    assert draw() != expected


@pytest.mark.parametrize("manager", [lambda: own_randomness(7, 1), randomness_kept])
def test_what_is_drawn_inside_a_block_changes_nothing_after_it(manager):
    seed_randomness(5)
    expected = draw()
    seed_randomness(5)
    with manager():
        draw()
    assert draw() == expected

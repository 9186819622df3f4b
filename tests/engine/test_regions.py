"""Objects of the regions of an image, against those of the image as they were drawn."""

import numpy as np
import pytest

from dml_instance.data.forms.results import FoundObject
from dml_instance.engine.regions import merged, moved
from dml_instance.tiling import tiles_of

SIZE = (300, 420)


def discs(count, largest, seed=0, smallest=2):
    """(rows, columns, radii): discs that do not touch, wherever they fit."""
    generator = np.random.default_rng(seed)
    kept = np.zeros((0, 3))
    for row, column, radius in generator.uniform(
        (0, 0, smallest), (*SIZE, largest), (20 * count, 3)
    ):
        apart = np.hypot(kept[:, 0] - row, kept[:, 1] - column) > kept[:, 2] + radius + 1
        if apart.all() and len(kept) < count:
            kept = np.vstack([kept, (row, column, radius)])
    return kept


def found_in(window, centres, jitter=0.0, seed=0):
    """What is found in a window, in its own pixels: discs cut by its sides; the scores fall with
    the number of the disc, and a little by chance."""
    (top, bottom), (left, right) = ((part.start, part.stop) for part in window)
    rows, columns = np.mgrid[top:bottom, left:right]
    generator = np.random.default_rng([seed, top, left])
    objects = []
    for number, (row, column, radius) in enumerate(centres):
        move = generator.uniform(-jitter, jitter, 2)
        mask = np.hypot(rows - row - move[0], columns - column - move[1]) <= radius
        if mask.any():
            places = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
            filled = tuple(slice(int(p[0]), int(p[-1]) + 1) for p in places)
            score = 1 - number / 1000 - generator.uniform(0, 0.0004) * (jitter > 0)
            objects.append(FoundObject(number + 1, number, score, filled, mask[filled]))
    return objects


def in_regions(centres, side, overlap, **chance):
    tiles = tiles_of(SIZE, size=side, overlap=overlap, unit=1)
    return [(t, [moved(o, t) for o in found_in(t.pixels, centres, **chance)]) for t in tiles]


WHOLE = tuple(slice(0, side) for side in SIZE)


@pytest.mark.parametrize(("side", "overlap"), [(120, 40), (100, 50), (500, 10), (300, 40)])
def test_objects_smaller_than_what_regions_share_are_those_of_the_image(side, overlap):
    centres = discs(150, overlap / 2 - 1)
    result = merged(in_regions(centres, side, overlap), SIZE)
    expected = found_in(WHOLE, centres)
    assert len(result.objects) == len(expected) and result.cut == 0
    for found, true in zip(result.objects, expected, strict=True):
        assert (found.class_index, found.score) == (true.class_index, true.score)
        assert found.window == true.window and (found.mask == true.mask).all()
    assert [found.label for found in result.objects] == list(range(1, len(expected) + 1))


@pytest.mark.parametrize("seed", range(5))
def test_none_is_lost_or_doubled_where_regions_disagree_by_some_pixels(seed):
    centres = discs(80, 19, seed, smallest=8)
    result = merged(in_regions(centres, 120, 48, jitter=1.5, seed=seed), SIZE)
    numbers = [found.class_index for found in result.objects]
    assert sorted(numbers) == list(range(len(centres)))
    scores = [found.score for found in result.objects]
    assert scores == sorted(scores, reverse=True)


def test_of_two_that_are_one_the_one_that_lies_in_its_region_is_kept_else_the_better():
    left, right = tiles_of((50, 150), size=100, overlap=50, unit=1)
    assert [tile.columns.last for tile in (left, right)] == [75, 150]

    def disc(column, score, label):
        mask = np.hypot(*np.mgrid[-8:9, -8:9]) <= 8
        window = slice(10, 27), slice(column - 8, column + 9)
        return FoundObject(label, label, score, window, mask)

    def kept(*pairs):
        regions = [(tile, [o for t, o in pairs if t is tile]) for tile in (left, right)]
        return [found.class_index for found in merged(regions, (50, 150)).objects]

    assert kept((left, disc(73, 0.5, 1)), (right, disc(73, 0.9, 2))) == [1]
    assert kept((left, disc(76, 0.5, 1)), (right, disc(74, 0.9, 2))) == [2]
    assert kept((left, disc(74, 0.9, 1)), (right, disc(76, 0.5, 2))) == [1]
    assert kept((left, disc(60, 0.9, 1)), (right, disc(90, 0.5, 2))) == [1, 2]
    # Two of one region may overlap: its own grouping allowed it.
    assert kept((left, disc(60, 0.9, 1)), (left, disc(62, 0.5, 2))) == [1, 2]
    # Far in the neighbour it is the neighbour's to find.
    assert kept((left, disc(90, 0.9, 1))) == []


def test_an_object_larger_than_what_regions_share_is_counted():
    centres = np.array([[150.0, 210.0, 60.0], [30.0, 30.0, 5.0]])
    result = merged(in_regions(centres, 160, 40), SIZE)
    assert result.cut == len(result.objects) - 1 > 0
    assert merged([], SIZE).objects == []

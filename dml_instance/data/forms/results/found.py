"""The objects found in an image, as the writers of all forms see them: one mask at a time."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from detectron2.structures import Instances
from shapely import affinity

from ....grouping import FoundInstances
from ....mask_classes import is_likeliest


@dataclass(frozen=True, eq=False)
class FoundObject:
    """One object.

    Attributes:
        label: its number in the image, from 1 on, the best score first.
        class_index: in [0, K).
        score: in [0, 1].
        window: rows and columns of the image that its mask just fills.
        mask: (h, w) bool in ``window``.
    """

    label: int
    class_index: int
    score: float
    window: tuple[slice, slice]
    mask: np.ndarray

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the first pixel of ``window``."""
        return self.window[0].start, self.window[1].start

    @cached_property
    def outline(self) -> shapely.Polygon | shapely.MultiPolygon:
        """The mask as polygons with holes along the edges of pixels.

        The first pixel of the image covers the square from (0, 0) to (1, 1), x before y. Pixels
        that touch at a corner alone are apart. Outer rings run counterclockwise where y points up,
        holes clockwise.
        """
        mask, (top, left) = self.mask, self.corner
        y, starts, ends = _edges(mask)
        x, tops, bottoms = _edges(mask.T)
        across, down = (starts, y, ends, y), (x, tops, x, bottoms)
        lines = np.concatenate([np.stack(line, axis=1) for line in (across, down)])
        faces = shapely.get_parts(shapely.polygonize(shapely.linestrings(lines.reshape(-1, 2, 2))))
        # What the lines enclose is of the mask, or is one of its holes.
        column, row = shapely.get_coordinates(shapely.point_on_surface(faces)).astype(int).T
        faces = faces[mask[row, column]]
        outline = faces[0] if len(faces) == 1 else shapely.multipolygons(faces)
        return shapely.orient_polygons(affinity.translate(outline, left, top))


def _edges(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The straight pieces of a mask's border along its rows, from corner to corner.

    Returns:
        (n,) int each: under how many rows the piece lies, and the columns where it begins and ends.
    """
    step = np.diff(np.pad(mask.astype(np.int8), 1), axis=0)
    line, place = np.nonzero(np.diff(step, axis=1))
    begins = step[line, place + 1] != 0
    # The next change in a row is where the piece ends.
    return line[begins], place[begins], place[1:][begins[:-1]]


def objects_of(found: FoundInstances, min_score: float = 0.0) -> list[FoundObject]:
    """The objects of an image by descending score, their masks views of those found.

    Args:
        found: by descending score.
        min_score: instances under it are left out.
    """
    facts = zip(
        found.classes.tolist(), found.scores.tolist(), found.masks.boxes.tolist(), strict=True
    )
    return [
        FoundObject(label, pred_class, score, (slice(top, bottom), slice(left, right)), mask)
        for label, ((pred_class, score, (left, top, right, bottom)), mask) in enumerate(
            zip(facts, found.masks, strict=True), start=1
        )
        if score >= min_score
    ]


def found_objects(instances: Instances, min_score: float = 0.0) -> list[FoundObject]:
    """The objects of an image by descending score, those without a pixel left out, and each mask as
    its likeliest class alone.

    Masks are copied: memory is that of the objects' windows, and not of objects times pixels.
    With ``pred_boxes`` a mask is read in its box alone: 0.6 ms an object of 70 pixels on an image
    of 4096 x 4096, and 0.2 s without.

    Args:
        instances: with ``pred_masks`` (N, H, W) bool, ``scores`` (N,) and ``pred_classes`` (N,) in
            [0, K), on any device. ``pred_boxes``, where there are some, enclose the masks but for
            a border of less than a pixel.
        min_score: instances under it are left out.
    """
    objects: list[FoundObject] = []
    order = instances.scores.argsort(descending=True, stable=True)
    is_wanted = (instances.scores >= min_score) & is_likeliest(instances)
    for index in order[is_wanted[order]].tolist():
        window = _window(instances, index)
        mask = instances.pred_masks[index][window].cpu().numpy()
        filled = _filled(mask)
        if filled is not None:
            facts = int(instances.pred_classes[index]), float(instances.scores[index])
            whole = tuple(
                slice(outer.start + inner.start, outer.start + inner.stop)
                for outer, inner in zip(window, filled, strict=True)
            )
            objects.append(FoundObject(len(objects) + 1, *facts, whole, mask[filled].copy()))
    return objects


def _filled(mask: np.ndarray) -> tuple[slice, slice] | None:
    """The rows and columns that a mask just fills; None where it has no pixel."""
    places = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    if not len(places[0]):
        return None
    rows, columns = (slice(int(place[0]), int(place[-1]) + 1) for place in places)
    return rows, columns


def _window(instances: Instances, index: int) -> tuple[slice, slice]:
    """Rows and columns that hold a mask: its box and a pixel round it; without boxes the image."""
    height, width = instances.image_size
    if not instances.has("pred_boxes"):
        return slice(0, height), slice(0, width)
    left, top, right, bottom = instances.pred_boxes.tensor[index].tolist()
    rows, columns = (
        slice(min(max(math.floor(first) - 1, 0), length), max(math.ceil(last) + 1, 0))
        for first, last, length in ((top, bottom, height), (left, right, width))
    )
    return rows, columns

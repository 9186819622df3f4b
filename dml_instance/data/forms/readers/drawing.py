"""Shapes that people draw on an image, gathered into its objects.

Polygons are filled by pycocotools, as all tools for COCO's format do: where a polygon crosses
itself by the even-odd rule, so that a hole that is joined to the outline by a line there and back
stays a hole. That, and that parts and masks are kept, is why these readers exist: of the converters
on PyPI datumaro 1.13 reads no LabelMe JSON and wants an OpenCV below 5, supervision 0.31 skips
LabelMe's masks, and label-studio-sdk 2.1 pins an OpenCV of its own.
"""

import math
import os
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from ....errors import FileError
from ....images import image_header
from ....rle import as_rle, encoded_inside, union
from ...annotated import AnnotatedImage, AnnotatedObject
from ...coco.check.masks import MaskError, check_mask
from .rules import DEFAULT_CLASS, SourceRules

# Corners of the polygon that stands for an ellipse: within 0.02 pixels of one of 40 pixels.
_CORNERS = 64
# Points that people set may lie so far outside, as a share of the image's sides: rounding, and
# slips of the hand. Farther out the image is not the one that was drawn on. What is made of few
# numbers, a circle at the border, reaches as far as the check of COCO files lets any polygon.
_SLACK = 0.01

BOX = "box without a mask"
NO_AREA = "point or line"
NO_PIXEL = "shape that covers no pixel"

# What is said in place of a class that a region has not.
_BARE = "region"
# A kind of doubt.
UNNAMED = "unnamed"


class Drawing:
    """The shapes of one image; those of one class and group are the parts of one object."""

    def __init__(self, file: str, source: str, declared: Sequence | None, rules: SourceRules):
        """
        Args:
            file: of the image.
            source: file of the annotations, for messages.
            declared: (H, W) that the annotations say the image has; None: they do not say.
            rules: whether boxes are objects, and how the image is read.

        Raises:
            FileError: for an image of another size, and for what is no image.
        """
        header = image_header(file, rules.reading)
        self.file, self.size = file, header.size
        self._may_lie_turned = header.hides_turn or (declared is None and header.orientation != 1)
        self._source, self._rules = source, rules
        self._doubts: dict[str, str] = {}
        self._parts: dict[Hashable, list[dict]] = {}
        self._left_out: Counter[str] = Counter()
        if declared is not None and tuple(map(int, declared)) != self.size:
            raise FileError(
                f"{source} was drawn on an image of {_text(declared)} pixels (height x width), but "
                f"{file} is {_text(self.size)}: give the image that it was drawn on"
            )

    def polygon(
        self,
        points: Sequence,
        class_name: str | None,
        group: Hashable = None,
        *,
        may_stick_out=False,
    ) -> None:
        """A filled polygon.

        Args:
            points: (N, 2) x and y of its corners in pixels; the image's first pixel is from 0 to 1.
            class_name: of the object; None: the form lets it have none, and it has none.
            group: of shapes that are one object; None: the shape is one.
            may_stick_out: what lies outside of the image is cut off, as far out as COCO files may
                have it, see ``check_mask``.

        Raises:
            FileError: for numbers that are none, or a point outside of the image.
        """
        points = np.asarray(points, dtype=float).reshape(-1, 2)
        if len(points) < 3:
            self.leave_out("polygon of fewer than 3 points")
            return
        if not may_stick_out:
            self._check_inside(points, class_name)
        try:
            polygons = check_mask([points.ravel().tolist()], *self.size).segmentation
        except MaskError as error:
            name = os.path.basename(self.file)
            raise FileError(f"{self._source}: a {class_name or _BARE} of {name} {error}") from error
        self._add(as_rle(polygons, *self.size), class_name, group)

    def _check_inside(self, points: np.ndarray, class_name: str | None) -> None:
        """FileError for (N, 2) points of which one lies outside of the image."""
        sides = np.array(self.size[::-1])
        slack = 1 + _SLACK * sides
        is_outside = ~((points >= -slack) & (points <= sides + slack)).all(axis=1)
        if is_outside.any():
            x, y = points[is_outside][0]
            raise FileError(
                f"{self._source}: a {class_name or _BARE} has a point at x {x:g}, y {y:g}, outside "
                f"of its image {os.path.basename(self.file)} of {_text(self.size)} pixels (height "
                "x width): mend it, or give the image that it was drawn on"
            )

    def ellipse(
        self,
        center: tuple[float, float],
        radii: tuple[float, float],
        class_name: str | None,
        group: Hashable = None,
        *,
        degrees: float = 0.0,
    ) -> None:
        """A filled ellipse, turned clockwise; arguments else as ``polygon``.

        Raises:
            ValueError: for a radius below 0.
        """
        if min(radii) < 0:
            raise ValueError(f"a radius is {min(radii):g}")
        angles = np.arange(_CORNERS) * (2 * math.pi / _CORNERS)
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii
        self.polygon(points @ _turn(degrees) + center, class_name, group, may_stick_out=True)

    def box(
        self,
        corner: tuple[float, float],
        sides: tuple[float, float],
        class_name: str | None,
        group: Hashable = None,
        *,
        degrees: float = 0.0,
        about: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """A rectangle: an object where boxes are kept.

        Args:
            corner: x and y of the left upper one.
            sides: width and height.
            class_name, group: see ``polygon``.
            degrees: that it is turned clockwise by.
            about: the point that stays, in shares of the sides from the corner.
        """
        if not self._rules.keep_boxes:
            self.leave_out(BOX)
            return
        places = (np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) - about) * sides
        center = np.add(corner, np.multiply(about, sides))
        self.polygon(places @ _turn(degrees) + center, class_name, group, may_stick_out=True)

    def mask(
        self,
        part: np.ndarray,
        corner: tuple[int, int],
        class_name: str | None,
        group: Hashable = None,
    ) -> None:
        """Pixels.

        Args:
            part: (h, w) bool.
            corner: row and column of its first pixel in the image; what sticks out is cut off.
            class_name, group: see ``polygon``.

        Raises:
            FileError: for one that sticks out farther than a polygon may.
        """
        ends = np.array([corner, np.add(corner, part.shape)], dtype=float)
        self._check_inside(ends[:, ::-1], class_name)
        self._add(encoded_inside(part, corner, self.size), class_name, group)

    def leave_out(self, what: str) -> None:
        """Count something that is no object."""
        self._left_out[what] += 1

    def annotated(self, split: str = "") -> AnnotatedImage:
        """The image with what was drawn on it."""
        masks = [(class_name, union(parts)) for (class_name, _), parts in self._parts.items()]
        objects = [AnnotatedObject(mask, name) for name, mask in masks if coco_mask.area(mask)]
        left_out = dict(self._left_out)
        if len(objects) < len(masks):
            left_out[NO_PIXEL] = len(masks) - len(objects)
        return AnnotatedImage(
            self.file,
            self.size,
            tuple(objects),
            split,
            left_out,
            self._doubts,
            may_lie_turned=self._may_lie_turned,
        )

    def _default_class(self) -> str:
        """That of objects without a class; where the user has not said it, that there are some is
        noted."""
        if self._rules.class_names[0] == DEFAULT_CLASS:
            self._doubts[UNNAMED] = (
                f"{self._source}: objects of {os.path.basename(self.file)} have no class, and are "
                f"taken for {DEFAULT_CLASS}: give them one there, or say by --class-name what they "
                "are"
            )
        return self._rules.class_names[0]

    def _add(self, rle: dict, class_name: str | None, group: Hashable) -> None:
        if class_name is None:
            class_name = self._default_class()
        if not isinstance(class_name, str) or not class_name.strip():
            raise FileError(
                f"{self._source}: an object of {os.path.basename(self.file)} is of class "
                f"{class_name!r}, which is no name: give it one"
            )
        # Blanks at its ends, which nobody sees, make no other class.
        key = (class_name.strip(), object() if group is None else group)
        self._parts.setdefault(key, []).append(rle)


def _turn(degrees: float) -> np.ndarray:
    """(2, 2) matrix that turns rows of x and y clockwise, y pointing down."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cos, sin], [-sin, cos]])


def _text(size: Sequence) -> str:
    return f"{size[0]} x {size[1]}"

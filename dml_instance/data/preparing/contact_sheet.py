"""A page of small pictures that shows whether masks lie on their objects."""

from collections.abc import Sequence

import cv2
import numpy as np
from detectron2.data import Metadata
from detectron2.utils.visualizer import Visualizer
from pycocotools import mask as coco_mask

from ...images import write_image
from ...rle import decoded_part
from ..annotated import AnnotatedObject

# On a sheet.
PICTURES = 12

_COLUMNS = 4
_SIDE, _TITLE, _GAP = 360, 22, 6
# Large images are shown in part: so many objects across that outlines can be told apart.
_OBJECTS_ACROSS, _LEAST_SIDE = 16, 128


def write_contact_sheet(path: str, pictures: Sequence[np.ndarray]) -> None:
    """Some of ``small_picture``, at least one, as a PNG."""
    rows = -(-len(pictures) // _COLUMNS)
    height, width = max(map(len, pictures)) + _GAP, _SIDE + _GAP
    sheet = np.full((rows * height, min(len(pictures), _COLUMNS) * width, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // _COLUMNS * height, place % _COLUMNS * width
        sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    write_image(path, sheet[..., ::-1])


def small_picture(
    image: np.ndarray, name: str, objects: Sequence[AnnotatedObject], diameter: float
) -> np.ndarray:
    """An image, or its part, with the outlines of its objects by Detectron2's ``Visualizer``.

    Args:
        image: (H, W, 3) uint8, RGB.
        name: that stands above it, with the number of objects.
        objects: of the image.
        diameter: of usual objects in pixels, by which large images are shown in part.

    Returns:
        The same kind of array, of about 360 pixels a side.
    """
    corner, side = _part(image.shape[:2], objects, diameter)
    image = image[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
    scale = _SIDE / max(image.shape[:2])
    size = [max(round(length * scale), 1) for length in image.shape[1::-1]]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    visualizer = Visualizer(cv2.resize(image, size, interpolation=how), Metadata())
    colors = np.random.default_rng(0)
    for item in objects:
        color = tuple(colors.uniform(0.3, 1.0, 3))
        left, top, width, height = coco_mask.toBbox(item.mask)
        is_inside = (
            corner[1] - width < left < corner[1] + side
            and corner[0] - height < top < corner[0] + side
        )
        for outline in _outlines(item.mask) if is_inside else ():
            points = (outline - corner[::-1]) * scale
            visualizer.draw_polygon(points, color, edge_color=color, alpha=0)
    title = np.full((_TITLE, size[0], 3), 255, np.uint8)
    text = f"{name}: {len(objects)}"[-_SIDE // 7 :]
    cv2.putText(title, text, (2, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([title, visualizer.output.get_image()])


def _part(
    size: tuple[int, int], objects: Sequence[AnnotatedObject], diameter: float
) -> tuple[tuple[int, int], int]:
    """First row and column of the part that is shown, round an object, and its side."""
    side = round(max(_OBJECTS_ACROSS * diameter, _LEAST_SIDE))
    if max(size) <= side or not objects:
        return (0, 0), max(size)
    left, top, width, height = coco_mask.toBbox(objects[len(objects) // 2].mask)
    middle = (top + height / 2, left + width / 2)
    row, column = (
        int(min(max(place - side / 2, 0), max(length - side, 0)))
        for place, length in zip(middle, size, strict=True)
    )
    return (row, column), side


def _outlines(mask: dict) -> list[np.ndarray]:
    """(N, 2) x and y along the border of each piece and each hole of a mask."""
    part, (row, column) = decoded_part(mask)
    # Twice as large, so that a piece of one pixel has an outline.
    doubled = part.repeat(2, axis=0).repeat(2, axis=1).astype(np.uint8)
    contours, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [contour[:, 0] / 2 + (column + 0.25, row + 0.25) for contour in contours]

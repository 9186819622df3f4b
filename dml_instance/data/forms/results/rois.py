"""Regions of interest of ImageJ and Fiji."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import roifile
import shapely

from .form import ResultForm, ResultImage
from .found import FoundObject

# Of a path: go to a point, draw a line to a point, close.
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0
# Groups are stored in a byte; 0 is none.
_LARGEST_GROUP = 255


class Rois(ResultForm):
    """``rois/NAME.zip``, which the ROI Manager opens: one region for each object.

    Outlines run along the edges of pixels; an object with holes or parts is a composite region. The
    class is in the name and the group (1, 2, 3 ... in the order of the classes), and with the score
    among the properties, for ``Roi.getProperty``.
    """

    target = "rois"
    endings = (".zip",)

    @contextmanager
    def adding(self, image: ResultImage, objects: Sequence[FoundObject]) -> Iterator[None]:
        with self.replaced(image, ".zip") as part:
            roifile.roiwrite(part, map(self._roi, objects), mode="w")
            yield

    def _roi(self, found: FoundObject) -> roifile.ImagejRoi:
        outline = found.outline
        is_simple = outline.geom_type == "Polygon" and not outline.interiors
        roi = _traced(outline.exterior) if is_simple else _composite(outline)
        name = self.classes.names[found.class_index]
        # The name is that of an entry of the archive, too.
        roi.name = f"{found.label:05}-{name}".replace("/", "_")
        roi.props = f"class: {' '.join(name.split())}\nscore: {found.score:.4f}\n"
        if found.class_index < _LARGEST_GROUP:
            roi.group = found.class_index + 1
        return roi


def _traced(ring: shapely.LinearRing) -> roifile.ImagejRoi:
    # Whole numbers, which the library stores as floats beyond the 16 bits that ImageJ has for them.
    points = shapely.get_coordinates(ring)[:-1].astype(np.int64)
    roi = roifile.ImagejRoi.frompoints(points)
    roi.roitype = roifile.ROI_TYPE.TRACED
    return roi


def _composite(outline: shapely.Polygon | shapely.MultiPolygon) -> roifile.ImagejRoi:
    rings = [
        ring
        for polygon in shapely.get_parts(outline)
        for ring in (polygon.exterior, *polygon.interiors)
    ]
    path: list[float] = []
    for ring in rings:
        (x, y), *points = shapely.get_coordinates(ring)[:-1].tolist()
        path += [_MOVE, x, y]
        path += [value for x, y in points for value in (_LINE, x, y)]
        path.append(_CLOSE)
    left, top, right, bottom = map(int, outline.bounds)
    return roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        shape_roi_size=len(path),
        multi_coordinates=np.array(path, dtype=np.float32),
    )

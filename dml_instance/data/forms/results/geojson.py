"""GeoJSON, as QuPath imports and exports it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import shapely

from .form import ResultForm, ResultImage
from .found import FoundObject


class GeoJson(ResultForm):
    """``geojson/NAME.geojson``: a feature for each object, a detection of QuPath.

    Outlines run along the edges of pixels, with holes and parts, in pixels of the image; the class
    is QuPath's classification, the label its name, the score a measurement.
    """

    target = "geojson"
    endings = (".geojson",)

    @contextmanager
    def adding(self, image: ResultImage, objects: Sequence[FoundObject]) -> Iterator[None]:
        with self.replaced(image, ".geojson") as part:
            with open(part, "w", encoding="utf-8", newline="\n") as file:
                file.write('{"type": "FeatureCollection", "features": [')
                for number, found in enumerate(objects):
                    file.write(f"{',' if number else ''}\n{json.dumps(self._feature(found))}")
                file.write("\n]}\n")
            yield

    def _feature(self, found: FoundObject) -> dict:
        return {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(found.outline),
            "properties": {
                "objectType": "detection",
                "name": str(found.label),
                "classification": {"name": self.classes.names[found.class_index]},
                "measurements": {"score": round(found.score, 4)},
            },
        }

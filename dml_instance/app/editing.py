"""What people do to the objects of an image; each act is one edit, which can be undone.

Answers are in JSON's types: which objects are gone, which are new.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..rle import encoded_part
from . import shaping
from .gallery import Gallery, PageError
from .models import PageModel, Sight
from .project import IGNORED, SEGMENT, Edit, ImageState, Marked, Project

_MOST_POINTS, _LARGEST_RADIUS = 20_000, 512


class Editor:
    """The acts. Threads may call at once; points are (row, column) in pixels.

    Attributes:
        lock: held while the project changes.
    """

    def __init__(
        self,
        project: Project,
        gallery: Gallery,
        model: Callable[[], PageModel],
        sight: Callable[[int], Sight],
        class_names: Callable[[], Sequence[str]],
    ):
        """
        Args:
            project, gallery: of the page.
            model: gives that in use.
            sight: gives what it sees in an image.
            class_names: gives those that objects may have, beside IGNORED.
        """
        self._project, self._gallery = project, gallery
        self._model, self._sight, self._class_names = model, sight, class_names
        self.lock = threading.RLock()

    def size(self, index: int) -> tuple[int, int]:
        """(H, W) of an image.

        Raises:
            PageError: where its objects were drawn on one of another size.
            FileError, OSError: for a file that cannot be read.
        """
        image, size = self._gallery[index], self._gallery.size(index)
        drawn = self._project.state(image.key).size
        if drawn not in (None, size):
            raise PageError(
                f"{image.key} is {size[0]} x {size[1]} pixels now, and its objects were drawn on "
                f"{drawn[0]} x {drawn[1]}; they are kept: put the image back that they were drawn "
                "on, and give this one another name"
            )
        return size

    def segment(self, index: int) -> dict:
        """Put what the model finds in the place of all objects."""
        sight = self._sight(index)
        return self._edit(index, SEGMENT, None, sight.objects, self._model().name)

    def grow(self, index: int, point: tuple[float, float], class_name: str | None = None) -> dict:
        """A new object from a point, of a class, or of that which the model finds likeliest."""
        return self._edit(index, "grow", (), [self._grown(index, point, None, class_name)])

    def regrow(self, index: int, number: int, tau: float, *, keep: bool) -> dict:
        """Another threshold for an object that grew; without ``keep`` it is only shown."""
        self.size(index)
        old = self._object(index, number)
        if old.point is None:
            raise PageError(f"object {number} did not grow from a point: click where it is to grow")
        new = self._grown(index, old.point, tau, old.class_name)
        if not keep:
            return {"preview": told(number, new)}
        return self._edit(index, "threshold", [number], [new])

    def paint(
        self,
        index: int,
        number: int | None,
        points: Sequence[tuple[float, float]],
        radius: float,
        *,
        erase: bool,
        class_name: str,
    ) -> dict:
        """A brush stroke on an object, or one that begins a new object."""
        if not 1 <= len(points) <= _MOST_POINTS or not 0 < radius <= _LARGEST_RADIUS:
            raise PageError(
                f"a stroke has 1 to {_MOST_POINTS} points and a radius up to {_LARGEST_RADIUS}"
            )
        size = self.size(index)
        points = _near(points, size, radius)
        old = None if number is None else self._object(index, number)
        mask = shaping.painted(None if old is None else old.mask, size, points, radius, erase)
        removed = [] if number is None else [number]
        if mask is None and old is None:
            raise PageError("nothing was painted: paint inside of the image")
        added = []
        if mask is not None:
            self._check_class(class_name)
            base = Marked({}, class_name) if old is None else old
            # What grew and was painted cannot grow anew without losing the paint.
            added = [replace(base, mask=mask, score=None, point=None, tau=None)]
        return self._edit(index, "erase" if erase else "paint", removed, added)

    def merge(self, index: int, numbers: Sequence[int]) -> dict:
        """Several objects become one, of the class of the first."""
        if len(set(numbers)) < 2:
            raise PageError("choose two objects or more to merge: hold Ctrl and click")
        numbers = list(dict.fromkeys(numbers))
        objects = [self._object(index, number) for number in numbers]
        mask = shaping.union([dict(item.mask) for item in objects])
        return self._edit(index, "merge", numbers, [Marked(mask, objects[0].class_name)])

    def cut(self, index: int, number: int, points: Sequence[tuple[float, float]]) -> dict:
        """An object becomes several along a line."""
        if not 2 <= len(points) <= _MOST_POINTS:
            raise PageError(f"a line has 2 to {_MOST_POINTS} points")
        old = self._object(index, number)
        parts = shaping.cut(old.mask, _near(points, self.size(index), 1))
        if len(parts) < 2:
            raise PageError("the line does not divide the object: draw it from side to side")
        return self._edit(index, "cut", [number], [Marked(p, old.class_name) for p in parts])

    def delete(self, index: int, numbers: Sequence[int]) -> dict:
        """Objects that are none."""
        return self._edit(index, "delete", list(dict.fromkeys(numbers)), [])

    def set_class(self, index: int, numbers: Sequence[int], class_name: str) -> dict:
        """Another class for some objects."""
        self._check_class(class_name)
        numbers = list(dict.fromkeys(numbers))
        added = [replace(self._object(index, n), class_name=class_name) for n in numbers]
        return self._edit(index, "class", numbers, added)

    def take(self, index: int, objects: Sequence[Marked], name: str) -> dict:
        """Put objects that were imported in the place of all there are."""
        for item in objects:
            self._check_class(item.class_name)
        return self._edit(index, name, None, objects)

    def undo(self, index: int) -> dict:
        """Take the last edit back."""
        key = self._key(index)
        with self.lock:
            edit = self._project.undo(key)
            if edit is None:
                raise PageError("there is nothing to undo in this image")
            return self._changed(key, edit.added, edit.removed)

    def redo(self, index: int) -> dict:
        """Do again what was undone last."""
        key = self._key(index)
        with self.lock:
            edit = self._project.redo(key)
            if edit is None:
                raise PageError("there is nothing to do again in this image")
            return self._changed(key, edit.removed, edit.added)

    def set_complete(self, index: int, value: bool) -> dict:
        """Say whether every object of an image is marked."""
        key = self._key(index)
        with self.lock:
            self._project.set_complete(key, value)
            return self._changed(key, {}, {})

    def _key(self, index: int) -> str:
        """Of an image whose objects fit it."""
        self.size(index)
        return self._gallery[index].key

    def _grown(
        self, index: int, point: tuple[float, float], tau: float | None, class_name: str | None
    ) -> Marked:
        sight = self._sight(index)
        try:
            mask = sight.ground.grow(point, tau)
        except ValueError as error:
            raise PageError(str(error)) from error
        if mask is None:
            raise PageError("nothing grows here: choose another point, or paint with Shift")
        if class_name is None:
            class_name = self._model().name_of(mask.pred_class)
        self._check_class(class_name)
        rle = encoded_part(mask.pixels, mask.corner, sight.size)
        return Marked(rle, class_name, round(mask.score, 4), tuple(point), mask.tau)

    def _check_class(self, class_name: str) -> None:
        known = [*self._class_names(), IGNORED]
        if class_name not in known:
            raise PageError(f"there is no class {class_name!r}; there are {', '.join(known)}")

    def _object(self, index: int, number: int) -> Marked:
        objects = self._project.state(self._gallery[index].key).objects
        if number not in objects:
            raise PageError(f"there is no object {number} any more")
        return objects[number]

    def _edit(
        self,
        index: int,
        name: str,
        removed: Sequence[int] | None,
        added: Sequence[Marked],
        model: str | None = None,
    ) -> dict:
        """Put objects in the place of others, ``removed`` None: of all."""
        key = self._key(index)
        with self.lock:
            state = self._project.state(key)
            removed = list(state.objects) if removed is None else list(removed)
            gone = {number: state.objects.get(number) for number in removed}
            if None in gone.values():
                raise PageError("an object is not there any more; it may have been undone")
            return self._changed(key, gone, self._project.edit(key, name, removed, added, model))

    def _changed(
        self, key: str, removed: Mapping[int, Marked], added: Mapping[int, Marked]
    ) -> dict:
        """What an edit has changed, for the page."""
        return {
            "removed": list(removed),
            "added": [told(number, item) for number, item in added.items()],
            **standing(self._project.state(key)),
        }


def _near(
    points: Sequence[tuple[float, float]], size: tuple[int, int], margin: float
) -> list[tuple[float, float]]:
    """Points moved into the image and a margin round it."""
    height, width = size
    return [
        (min(max(row, -margin), height + margin), min(max(column, -margin), width + margin))
        for row, column in points
    ]


def standing(state: ImageState) -> dict:
    """What can be undone and done again in an image, and how far people are with it."""

    def last(edits: list[Edit]) -> str | None:
        return edits[-1].name if edits else None

    return {
        "undo": last(state.done),
        "redo": last(state.undone),
        "complete": state.is_complete,
        "corrected": state.is_corrected,
    }


def told(number: int, item: Marked) -> dict:
    """An object for the page."""
    return {
        "id": number,
        "class": item.class_name,
        "score": item.score,
        "tau": item.tau,
        "point": item.point,
        "area": shaping.area_of(item.mask),
        "box": shaping.box_of(item.mask),
        "outline": shaping.outline(item.mask),
    }

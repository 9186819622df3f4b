"""Drawing Shapes: outlines of single objects, their textures, and scenes in which boxes say little
about objects.

Lengths are fractions of the image side unless a name says pixels; images are square, ``size``
pixels a side.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

CLASS_NAMES = ("ring", "bar", "wire", "comb", "chair", "blob")
SCENE_KINDS = ("rings", "bars", "wires", "combs", "crowds")

# Hard enough that colour alone tells neither class nor instance, easy enough to be learnt in
# minutes on a CPU.
DEFAULT_DIFFICULTY = 0.3

# Strokes and noise are given for this size and scale with the image.
_REFERENCE_SIZE = 160

# What stays visible of an object must be worth an annotation; otherwise it is taken out of the
# drawing too.
_MIN_VISIBLE_PIXELS = 30
_MIN_VISIBLE_SHARE = 0.15


@dataclass(frozen=True)
class Difficulty:
    """What the one number in [0, 1] means; each quantity is linear in it.

    Attributes:
        count: factor on the number of objects, 0.7 to 1.3.
        stroke: width of strokes in pixels of a 160-pixel image, 7 to 3.
        color_spread: standard deviation of colours around the image's own mean colour, 60 to 15
            grey levels; the same for objects of every class and for the background.
        texture: contrast of the stripes, speckles and gradients of one surface, as a share of the
            difference of two such colours, 0.2 to 0.8.
        rim: grey levels by which an object's rim is darker or brighter than its inside, 70 to 20.
        noise: standard deviation of the pixel noise, 4 to 24 grey levels.
    """

    count: float
    stroke: float
    color_spread: float
    texture: float
    rim: float
    noise: float

    @classmethod
    def of(cls, level: float) -> "Difficulty":
        """Quantities of a level; raises ValueError outside [0, 1]."""
        if not 0 <= level <= 1:
            raise ValueError(f"difficulty lies between 0 and 1, got {level}")

        def between(easy: float, hard: float) -> float:
            return easy + level * (hard - easy)

        return cls(
            between(0.7, 1.3),
            between(7, 3),
            between(60, 15),
            between(0.2, 0.8),
            between(70, 20),
            between(4, 24),
        )


@dataclass(frozen=True)
class Scene:
    """One drawn image.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        masks: (N, H, W) bool, the visible part of each instance; no two share a pixel.
        classes: (N,) int64 indices into CLASS_NAMES.
    """

    image: np.ndarray
    masks: np.ndarray
    classes: np.ndarray


class _Pen:
    """Draws outlines of single objects as (size, size) bool masks, at random."""

    def __init__(self, rng: np.random.Generator, size: int, difficulty: Difficulty):
        self.rng = rng
        self.size = size
        self.difficulty = difficulty

    def stroke(self) -> int:
        """A stroke width in pixels, about that of the difficulty, never under 2."""
        width = self.difficulty.stroke * self.size / _REFERENCE_SIZE
        return max(2, round(width * self.rng.uniform(0.85, 1.3)))

    def _filled(self, polygons: list[np.ndarray]) -> np.ndarray:
        canvas = np.zeros((self.size, self.size), np.uint8)
        for polygon in polygons:
            cv2.fillPoly(canvas, [np.round(np.asarray(polygon) * self.size).astype(np.int32)], 1)
        return canvas.astype(bool)

    def _stroked(self, lines: list[np.ndarray]) -> np.ndarray:
        canvas = np.zeros((self.size, self.size), np.uint8)
        points = [np.round(np.asarray(line) * self.size).astype(np.int32) for line in lines]
        cv2.polylines(canvas, points, False, 1, self.stroke())
        return canvas.astype(bool)

    def angle(self) -> float:
        return self.rng.uniform(0, 2 * math.pi)

    def _placed(
        self, lines: list, center: np.ndarray, scale: float, angle: float | None = None
    ) -> list[np.ndarray]:
        """Lines in a unit square round the origin, turned (at random without an angle), scaled and moved."""
        angle = self.angle() if angle is None else angle
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        return [np.asarray(line) @ turn.T * scale + center for line in lines]

    def ring(self, center: np.ndarray, radius: float) -> np.ndarray:
        canvas = np.zeros((self.size, self.size), np.uint8)
        axes = np.round(
            np.array([radius, radius * self.rng.uniform(0.75, 1.0)]) * self.size
        ).astype(int)
        place = np.round(center * self.size).astype(int)
        cv2.ellipse(
            canvas,
            place.tolist(),
            axes.tolist(),
            self.rng.uniform(0, 180),
            0,
            360,
            1,
            self.stroke() + 1,
        )
        return canvas.astype(bool)

    def bar(self, center: np.ndarray, length: float, angle: float | None = None) -> np.ndarray:
        half = 0.5 * self.stroke() * 1.4 / self.size / length
        corners = [(-0.5, -half), (0.5, -half), (0.5, half), (-0.5, half)]
        return self._filled(self._placed([corners], center, length, angle))

    def wire(self, center: np.ndarray, length: float) -> np.ndarray:
        steps = 40
        turns = cv2.GaussianBlur(self.rng.normal(0, 0.75, (steps, 1)), (1, 9), 2.5)[:, 0]
        # A bend tighter than the stroke is wide fills up, and a short wire looks like a blob.
        sharpest = length / steps * _REFERENCE_SIZE / (1.6 * self.difficulty.stroke)
        heading = self.angle() + np.cumsum(np.clip(turns, -sharpest, sharpest))
        path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), 0) * length / steps
        return self._stroked([path - path.mean(0) + center])

    def comb(self, center: np.ndarray, length: float) -> np.ndarray:
        teeth = int(self.rng.integers(4, 7))
        depth = self.rng.uniform(0.4, 0.65)
        lines = [[(-0.5, 0), (0.5, 0)]]
        lines += [[(x, 0), (x, depth)] for x in np.linspace(-0.5, 0.5, teeth)]
        return self._stroked(self._placed(lines, center, length))

    def chair(self, center: np.ndarray, length: float) -> np.ndarray:
        seat = self.rng.uniform(-0.05, 0.1)
        lines = [
            [(-0.3, -0.5), (-0.3, 0.5)],
            [(-0.3, seat), (0.3, seat)],
            [(0.3, seat), (0.3, 0.5)],
        ]
        if self.rng.random() < 0.5:
            lines.append([(-0.3, 0.3), (0.3, 0.3)])
        return self._stroked(self._placed(lines, center, length))

    def blob(self, center: np.ndarray, radius: float) -> np.ndarray:
        angle = np.linspace(0, 2 * math.pi, 48, endpoint=False)
        wobble = sum(
            self.rng.uniform(0, 0.16) * np.cos(k * angle + self.rng.uniform(0, 2 * math.pi))
            for k in (2, 3, 4)
        )
        reach = 1 + wobble * (self.rng.random() < 0.7)
        outline = reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        if self.rng.random() < 0.4:
            # A bean: neighbours lie in its bend and in its box.
            outline = outline * (1.4, 0.7)
            outline[:, 1] += 0.3 * outline[:, 0] ** 2 - 0.2
        return self._filled(self._placed([outline], center, radius))

    def count(self, low: float, high: float) -> int:
        """A number of objects between low and high at difficulty 0.5."""
        return max(1, round(self.rng.uniform(low, high) * self.difficulty.count))

    def spread(self, number: int, low: float, high: float) -> np.ndarray:
        """(number, 2) centres in [low, high]^2, each the furthest from the others out of a few tries."""
        centers = [self.rng.uniform(low, high, 2)]
        while len(centers) < number:
            tries = self.rng.uniform(low, high, (6, 2))
            nearest = np.linalg.norm(tries[:, None] - np.array(centers)[None], axis=2).min(1)
            centers.append(tries[nearest.argmax()])
        return np.array(centers)


Drawn = list[tuple[str, np.ndarray]]


def _rings_scene(pen: _Pen) -> Drawn:
    """Rings round other objects; some hold a ring that holds something again."""
    drawn = []
    for center in pen.spread(pen.count(2, 4), 0.2, 0.8):
        radius = pen.rng.uniform(0.14, 0.22)
        drawn.append(("ring", pen.ring(center, radius)))
        inner = center + pen.rng.uniform(-0.02, 0.02, 2)
        if radius > 0.18 and pen.rng.random() < 0.5:
            drawn.append(("ring", pen.ring(inner, radius * pen.rng.uniform(0.55, 0.68))))
            drawn.append(("blob", pen.blob(inner, radius * 0.25)))
        elif pen.rng.random() < 0.3:
            drawn.append(("bar", pen.bar(inner, radius * 1.2)))
        else:
            drawn.append(("blob", pen.blob(inner, radius * pen.rng.uniform(0.4, 0.55))))
    return drawn


def _bars_scene(pen: _Pen) -> Drawn:
    """Long bars that cross, every other one as the mirror image of the one before: two objects in one box."""
    drawn = []
    for number, center in enumerate(pen.spread(pen.count(4, 7), 0.3, 0.7)):
        if number % 2 == 0:
            place, length, angle = center, pen.rng.uniform(0.5, 0.95), pen.angle()
        else:
            place, length, angle = (
                place + pen.rng.uniform(-0.06, 0.06, 2),
                length * pen.rng.uniform(0.8, 1.1),
                -angle,
            )
        drawn.append(("bar", pen.bar(place, length, angle)))
    return drawn


def _wires_scene(pen: _Pen) -> Drawn:
    """Curved wires that cross each other and themselves."""
    centers = pen.spread(pen.count(2, 5), 0.3, 0.7)
    return [("wire", pen.wire(center, pen.rng.uniform(0.8, 1.5))) for center in centers]


def _combs_scene(pen: _Pen) -> Drawn:
    """Combs and chairs, near each other and interlocked."""
    drawn = []
    for center in pen.spread(pen.count(3, 5), 0.25, 0.75):
        kind = pen.rng.choice(["comb", "chair"])
        draw = pen.comb if kind == "comb" else pen.chair
        drawn.append((str(kind), draw(center, pen.rng.uniform(0.3, 0.48))))
    return drawn


def _crowds_scene(pen: _Pen) -> Drawn:
    """Many blobs that touch and overlap inside what would be one box."""
    number = pen.count(10, 24)
    # The crowd grows with its number, so that few blobs are as close to each other as many.
    reach = 0.058 * math.sqrt(number)
    centers = pen.rng.uniform(0.4, 0.6, 2) + pen.spread(number, -reach, reach)
    return [("blob", pen.blob(place, pen.rng.uniform(0.05, 0.085))) for place in centers]


_DRAW_SCENE: dict[str, Callable[[_Pen], Drawn]] = {
    "rings": _rings_scene,
    "bars": _bars_scene,
    "wires": _wires_scene,
    "combs": _combs_scene,
    "crowds": _crowds_scene,
}


def _distractor(pen: _Pen) -> tuple[str, np.ndarray]:
    """A smaller object of any class, so that the scene does not tell the class."""
    name = str(pen.rng.choice(CLASS_NAMES))
    extent = {"ring": 0.07, "blob": 0.06, "bar": 0.3, "wire": 0.35, "comb": 0.25, "chair": 0.25}[
        name
    ]
    return name, getattr(pen, name)(pen.rng.uniform(0.12, 0.88, 2), extent)


def _visible(drawn: Drawn) -> tuple[Drawn, list[np.ndarray]]:
    """Objects that stay visible enough, and their visible parts, lowest first.

    Taking one out uncovers others, so the worst goes first and the rest is looked at anew.
    """
    while True:
        covered = np.zeros_like(drawn[0][1])
        parts = []
        for _, mask in reversed(drawn):
            parts.append(mask & ~covered)
            covered |= mask
        parts.reverse()
        area = np.array([part.sum() for part in parts])
        share = area / np.array([max(mask.sum(), 1) for _, mask in drawn])
        hidden = (area < _MIN_VISIBLE_PIXELS) | (share < _MIN_VISIBLE_SHARE)
        if not hidden.any() or len(drawn) == 1:
            return drawn, parts
        worst = int(np.where(hidden, share, np.inf).argmin())
        drawn = drawn[:worst] + drawn[worst + 1 :]


def _texture(
    rng: np.random.Generator, size: int, mean: np.ndarray, levels: Difficulty
) -> np.ndarray:
    """(size, size, 3) float: flat, striped, shaded or speckled, in two colours round the image's mean colour."""
    colors = mean + rng.normal(0, levels.color_spread, (2, 3))
    kind = rng.choice(["flat", "stripes", "gradient", "speckle"])
    rows, columns = np.mgrid[:size, :size] / size
    angle = rng.uniform(0, 2 * math.pi)
    along = rows * math.sin(angle) + columns * math.cos(angle)
    if kind == "flat":
        mix = np.zeros((size, size))
    elif kind == "stripes":
        mix = 0.5 + 0.5 * np.sign(np.sin(along * rng.uniform(60, 110)))
    elif kind == "gradient":
        mix = (along - along.min()) / np.ptp(along)
    else:
        mix = (cv2.GaussianBlur(rng.normal(0, 1, (size, size)), (0, 0), 1.2) > 0).astype(float)
    return colors[0] + mix[..., None] * (colors[1] - colors[0]) * levels.texture


def draw_scene(
    rng: np.random.Generator,
    kind: str,
    size: int = _REFERENCE_SIZE,
    difficulty: float = DEFAULT_DIFFICULTY,
) -> Scene:
    """Draw one scene; the same generator state gives the same scene.

    Args:
        rng: source of all randomness.
        kind: of SCENE_KINDS.
        size: pixels a side, >= 64.
        difficulty: in [0, 1], see ``Difficulty``.

    Raises:
        ValueError: for an unknown kind, a size under 64, or a difficulty outside [0, 1].
    """
    if kind not in _DRAW_SCENE:
        raise ValueError(f"scene kind is one of {SCENE_KINDS}, got {kind!r}")
    if size < 64:
        raise ValueError(f"a scene needs at least 64 pixels a side, got {size}")
    levels = Difficulty.of(difficulty)
    pen = _Pen(rng, size, levels)
    drawn = _DRAW_SCENE[kind](pen)
    if rng.random() < 0.5:
        drawn.insert(0, _distractor(pen))
    drawn, parts = _visible(drawn)

    mean = rng.uniform(80, 175, 3)
    rim_shade = levels.rim * (1 if rng.random() < 0.5 else -1)
    image = _texture(rng, size, mean, levels)
    for (_, mask), part in zip(drawn, parts, strict=True):
        inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1).astype(
            bool
        )
        texture = _texture(rng, size, mean, levels)
        texture[~inside] += rim_shade
        image[part] = texture[part]
    image = cv2.GaussianBlur(image, (3, 3), 0.6) + rng.normal(0, levels.noise, image.shape)
    return Scene(
        image=np.clip(image, 0, 255).astype(np.uint8),
        masks=np.stack(parts),
        classes=np.array([CLASS_NAMES.index(name) for name, _ in drawn], dtype=np.int64),
    )

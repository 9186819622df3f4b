"""The objects of Shapes one by one: how hard they are to see, and their outlines.

Lengths are fractions of the image side unless a name says pixels; images are square, ``size``
pixels a side.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

# Strokes and noise are given for this size and scale with the image.
REFERENCE_SIZE = 160


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


class Pen:
    """Draws outlines of single objects as (size, size) bool masks, at random.

    Every method of an object takes its centre, (2,) column and row, and its extent: the radius of
    a ring or blob, the length of a bar, wire, comb or chair.
    """

    def __init__(self, rng: np.random.Generator, size: int, difficulty: Difficulty):
        """
        Args:
            rng: source of all randomness.
            size: pixels a side of the image.
            difficulty: gives the width of strokes and the number of objects.
        """
        self.rng = rng
        self.size = size
        self.difficulty = difficulty

    def stroke(self) -> int:
        """A stroke width in pixels, about that of the difficulty, never under 2."""
        width = self.difficulty.stroke * self.size / REFERENCE_SIZE
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
        """A direction in radians, in [0, 2 pi)."""
        return self.rng.uniform(0, 2 * math.pi)

    def _placed(
        self, lines: list, center: np.ndarray, scale: float, angle: float | None = None
    ) -> list[np.ndarray]:
        """Lines in a unit square round the origin, turned, scaled and moved.

        Args:
            lines: (P, 2) points each, columns and rows.
            center: (2,) where the origin goes.
            scale: of the unit square.
            angle: in radians; None: drawn at random.
        """
        angle = self.angle() if angle is None else angle
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        return [np.asarray(line) @ turn.T * scale + center for line in lines]

    def ring(self, center: np.ndarray, radius: float) -> np.ndarray:
        """A ring, nearly round."""
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
        """A straight bar; without an angle turned at random."""
        half = 0.5 * self.stroke() * 1.4 / self.size / length
        corners = [(-0.5, -half), (0.5, -half), (0.5, half), (-0.5, half)]
        return self._filled(self._placed([corners], center, length, angle))

    def wire(self, center: np.ndarray, length: float) -> np.ndarray:
        """A curved line that may cross itself."""
        steps = 40
        turns = cv2.GaussianBlur(self.rng.normal(0, 0.75, (steps, 1)), (1, 9), 2.5)[:, 0]
        # A bend tighter than the stroke is wide fills up, and a short wire looks like a blob.
        sharpest = length / steps * REFERENCE_SIZE / (1.6 * self.difficulty.stroke)
        heading = self.angle() + np.cumsum(np.clip(turns, -sharpest, sharpest))
        path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), 0) * length / steps
        return self._stroked([path - path.mean(0) + center])

    def comb(self, center: np.ndarray, length: float) -> np.ndarray:
        """A back with four to six teeth on one side."""
        teeth = int(self.rng.integers(4, 7))
        depth = self.rng.uniform(0.4, 0.65)
        lines = [[(-0.5, 0), (0.5, 0)]]
        lines += [[(x, 0), (x, depth)] for x in np.linspace(-0.5, 0.5, teeth)]
        return self._stroked(self._placed(lines, center, length))

    def chair(self, center: np.ndarray, length: float) -> np.ndarray:
        """A chair seen from the side."""
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
        """A filled outline without corners, round or bent like a bean."""
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
        """(number, 2) centres in [low, high]^2, far from each other.

        Each is the furthest from those before it out of a few tries.
        """
        centers = [self.rng.uniform(low, high, 2)]
        while len(centers) < number:
            tries = self.rng.uniform(low, high, (6, 2))
            nearest = np.linalg.norm(tries[:, None] - np.array(centers)[None], axis=2).min(1)
            centers.append(tries[nearest.argmax()])
        return np.array(centers)

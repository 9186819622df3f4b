"""Scenes of Shapes, in which boxes say little about objects, and the textures of their surfaces.

Lengths are fractions of the image side unless a name says pixels; images are square, ``size``
pixels a side.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .shapes_outlines import REFERENCE_SIZE, Difficulty, Pen

CLASS_NAMES = ("ring", "bar", "wire", "comb", "chair", "blob")
SCENE_KINDS = ("rings", "bars", "wires", "combs", "crowds")

# Hard enough that colour alone tells neither class nor instance, easy enough to be learnt in
# minutes on a CPU.
DEFAULT_DIFFICULTY = 0.3

# What stays visible of an object must be worth an annotation; otherwise it is taken out of the
# drawing too.
_MIN_VISIBLE_PIXELS = 30
_MIN_VISIBLE_SHARE = 0.15


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


# (class name, (H, W) bool outline) of each object, lowest first.
Drawn = list[tuple[str, np.ndarray]]


def _rings_scene(pen: Pen) -> Drawn:
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


def _bars_scene(pen: Pen) -> Drawn:
    """Long bars that cross, every other one the mirror image of the one before.

    The two of such a pair have the same box.
    """
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


def _wires_scene(pen: Pen) -> Drawn:
    """Curved wires that cross each other and themselves."""
    centers = pen.spread(pen.count(2, 5), 0.3, 0.7)
    return [("wire", pen.wire(center, pen.rng.uniform(0.8, 1.5))) for center in centers]


def _combs_scene(pen: Pen) -> Drawn:
    """Combs and chairs, near each other and interlocked."""
    drawn = []
    for center in pen.spread(pen.count(3, 5), 0.25, 0.75):
        kind = pen.rng.choice(["comb", "chair"])
        draw = pen.comb if kind == "comb" else pen.chair
        drawn.append((str(kind), draw(center, pen.rng.uniform(0.3, 0.48))))
    return drawn


def _crowds_scene(pen: Pen) -> Drawn:
    """Many blobs that touch and overlap inside what would be one box."""
    number = pen.count(10, 24)
    # The crowd grows with its number, so that few blobs are as close to each other as many.
    reach = 0.058 * math.sqrt(number)
    centers = pen.rng.uniform(0.4, 0.6, 2) + pen.spread(number, -reach, reach)
    return [("blob", pen.blob(place, pen.rng.uniform(0.05, 0.085))) for place in centers]


_DRAW_SCENE: dict[str, Callable[[Pen], Drawn]] = {
    "rings": _rings_scene,
    "bars": _bars_scene,
    "wires": _wires_scene,
    "combs": _combs_scene,
    "crowds": _crowds_scene,
}


def _distractor(pen: Pen) -> tuple[str, np.ndarray]:
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
    """(size, size, 3) float grey levels of a surface that is flat, striped, shaded or speckled.

    It has two colours, drawn round ``mean``, the (3,) mean colour of the image.
    """
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
    size: int = REFERENCE_SIZE,
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
    pen = Pen(rng, size, levels)
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

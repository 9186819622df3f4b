#!/usr/bin/env python
"""Draw the pictures of docs/tuning.md: drawn images, what is there, and what a model finds.

    python docs/draw_symptoms.py

The models are those that come with the package. Where a picture has a last column, one key or
option differs in it. Above a column stands how many objects are found: by a mask of their class
with an IoU of at least 0.5.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from dml_instance import Segmentation, Segmenter
from dml_instance.data.datasets.shapes import CLASS_NAMES, DEFAULT_DIFFICULTY, draw_split
from dml_instance.engine import NO_DATA, load_config, load_model
from dml_instance.model_zoo import PREFIX
from dml_instance.stored_config import config_of
from dml_instance.visualization import draw_masks, panel

FOLDER = Path(__file__).parent / "images" / "symptoms"
GROUPING = "MODEL.DML.GROUPING"
# Of a column, and of what is drawn before it is shrunk to that: names are smaller then.
SIDE, DRAWN_SIDE = 240, 320


@dataclass(frozen=True)
class Scene:
    """A drawn image.

    Attributes:
        image: (H, W, 3) uint8.
        masks: (G, H, W) bool, what is there.
        names: (G,) of the classes.
    """

    image: np.ndarray
    masks: np.ndarray
    names: Sequence[str]


@dataclass(frozen=True)
class Try:
    """How a model is asked.

    Attributes:
        title: of its column.
        keys: ``KEY, value`` pairs.
        min_score: None: the model's.
    """

    title: str
    keys: Sequence[str] = ()
    min_score: float | None = None


@dataclass(frozen=True)
class Symptom:
    """What a picture shows: the first try is the symptom, the second what helps."""

    model: str
    scene: Scene
    tries: Sequence[Try] = (Try("found"),)
    with_names: bool = False


def shapes(index: int) -> Scene:
    """A scene of the data set Shapes that the model has not been trained on."""
    drawn = draw_split("test", index + 1, seed=0, size=160, difficulty=DEFAULT_DIFFICULTY)
    *_, (_, scene) = drawn
    return Scene(scene.image, scene.masks, [CLASS_NAMES[index] for index in scene.classes])


def cells(step: int, radius: int, contrast: tuple[float, float], blur: float) -> Scene:
    """Discs in rows on a dark ground of 160 x 160 pixels, with noise.

    Args:
        step: pixels from one to the next.
        radius: at most, in pixels, and at least half of it.
        contrast: least and largest difference from the ground.
        blur: standard deviation in pixels; the masks are of the discs before it.
    """
    rng = np.random.default_rng(0)
    image, masks = np.full((160, 160), 40, np.float32), []
    for place in np.ndindex(160 // step, 160 // step):
        centre = [step * p + step // 2 + int(rng.integers(-1, 2)) for p in place]
        mask = np.zeros((160, 160), np.uint8)
        cv2.circle(mask, centre, int(rng.integers((radius + 1) // 2, radius + 1)), 1, -1)
        image += mask * np.float32(rng.uniform(*contrast))
        masks.append(mask.astype(bool))
    image = cv2.GaussianBlur(image, (0, 0), blur) + rng.normal(0, 4, image.shape)
    grey = image.clip(0, 255).astype(np.uint8)
    return Scene(np.stack([grey] * 3, axis=2), np.array(masks), ["nucleus"] * len(masks))


def symptoms() -> dict[str, Symptom]:
    """All pictures, by the name of their file."""
    whole, none = Try("CONNECT_GAP 16"), Try("CONNECT_GAP 0", (f"{GROUPING}.CONNECT_GAP", "0"))
    everywhere = Try(
        "all gaps bridged",
        (f"{GROUPING}.MIN_SHARE_APART", "0.0", f"{GROUPING}.BRIDGE_PROBABILITY", "0.0"),
    )
    magnified = Try("TEST_SCALES [2.5]", ("MODEL.DML.TEST_SCALES", "[2.5]"))
    return {
        "merged": Symptom("shapes", shapes(4), (everywhere, Try("as shipped"))),
        "split": Symptom("shapes", shapes(11), (none, whole)),
        "leaking": Symptom("nuclei", cells(40, 9, (100, 200), 5)),
        "missed": Symptom(
            "nuclei", cells(32, 10, (3, 20), 2), (Try("score 0.55"), Try("score 0.1", (), 0.1))
        ),
        "small": Symptom(
            "nuclei", cells(12, 2, (60, 160), 0.5), (Try("TEST_SCALES [1.25]"), magnified)
        ),
        "thin": Symptom("shapes", shapes(7), (none, whole)),
        "wrong_class": Symptom("shapes", shapes(8), with_names=True),
    }


@cache
def asked(model: str, keys: Sequence[str]) -> Segmenter:
    """A model that comes with the package, with other keys."""
    weights = f"{PREFIX}{model}"
    cfg = load_config(config_of(weights), ["MODEL.DEVICE", "cpu", *keys], needs=NO_DATA)
    return Segmenter(load_model(cfg, weights), cfg, weights)


def number_found(result: Segmentation, scene: Scene) -> int:
    """Of the true objects those of which a mask of their class has an IoU of at least 0.5."""
    masks = list(zip(result.masks, result.classes, strict=True))
    return sum(
        any(n == name and (m & true).sum() >= 0.5 * (m | true).sum() for m, n in masks)
        for true, name in zip(scene.masks, scene.names, strict=True)
    )


def drawn(image: np.ndarray, masks: np.ndarray, names: Sequence[str] | None) -> np.ndarray:
    """Masks on the enlarged image, with their names where there are some."""
    size = (DRAWN_SIDE, DRAWN_SIDE)
    large = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    enlarged = (cv2.resize(m.astype(np.uint8), size, interpolation=0) > 0 for m in masks)
    return draw_masks(large, enlarged, texts=names)


def picture(symptom: Symptom) -> tuple[np.ndarray, list[int]]:
    """The columns beside each other, and the numbers of objects found in the tries."""
    scene, counts = symptom.scene, []
    names = scene.names if symptom.with_names else None
    columns = [("image", scene.image), ("true", drawn(scene.image, scene.masks, names))]
    for one in symptom.tries:
        result = asked(symptom.model, one.keys)(scene.image, min_score=one.min_score)
        counts.append(number_found(result, scene))
        title = f"{one.title}: {counts[-1]} of {len(scene.masks)}"
        names = result.classes if symptom.with_names else None
        columns.append((title, drawn(scene.image, result.masks, names)))
    return panel(columns, SIDE), counts


def main(args: argparse.Namespace) -> None:
    os.makedirs(args.output, exist_ok=True)
    for name, symptom in symptoms().items():
        columns, counts = picture(symptom)
        path = os.path.join(args.output, f"{name}.jpg")
        cv2.imwrite(path, columns[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
        print(f"{path}: {' and '.join(map(str, counts))} of {len(symptom.scene.masks)} found")


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", default=str(FOLDER), metavar="DIR", help="folder (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

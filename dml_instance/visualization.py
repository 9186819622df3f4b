"""What the model sees, as pictures: embedding, seediness and seeds, instances, side by side.

Pictures are RGB uint8 (H, W, 3) arrays throughout.
"""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from detectron2.data import Metadata
from detectron2.structures import Instances
from detectron2.utils.visualizer import ColorMode, Visualizer
from torch import Tensor

from .mask_classes import is_likeliest

_TITLE_HEIGHT = 26
_GAP = 6


def embedding_colors(embedding: Tensor, size: tuple[int, int]) -> np.ndarray:
    """The three directions in which embeddings differ most, as red, green and blue.

    Args:
        embedding: (D, h, w), D >= 3; cells that are not finite are drawn black.
        size: (H, W) of the picture.

    Returns:
        Picture; pixels of one object have one colour where the embedding is good. Colours do not
        compare between images, since the directions are each image's own.
    """
    height, width = embedding.shape[-2:]
    pixels = embedding.detach().float().cpu().flatten(1).T
    is_finite = pixels.isfinite().all(dim=1, keepdim=True)
    pixels = torch.where(is_finite, pixels, 0.0)
    centred = pixels - pixels.mean(dim=0)
    # Principal directions from the D x D covariance: exact, and as cheap for a large image as for a
    # small one.
    directions = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -3:].flip(1)
    components = centred @ directions
    low, high = (
        torch.quantile(components[:: max(len(components) // 100_000, 1)], q, dim=0)
        for q in (0.02, 0.98)
    )
    colors = ((components - low) / (high - low).clamp(min=1e-6)).clamp(0, 1) * is_finite
    picture = (colors * 255).to(torch.uint8).view(height, width, 3).numpy()
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_NEAREST)


def seediness_heat(seediness: Tensor, seeds: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Seediness from dark (0) to bright (1), with a mark on every seed.

    Args:
        seediness: (h, w) in [0, 1].
        seeds: (N, 2) row and column of each seed in pixels of the picture.
        size: (H, W) of the picture.
    """
    grey = (F.interpolate(seediness[None, None].detach().float().cpu(), size=size)[0, 0] * 255).to(
        torch.uint8
    )
    heat = cv2.cvtColor(cv2.applyColorMap(grey.numpy(), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    radius = max(2, round(min(size) / 120))
    for row, column in seeds:
        center = (round(float(column)), round(float(row)))
        cv2.circle(heat, center, radius, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(heat, center, max(radius - 1, 1), (80, 255, 120), -1, cv2.LINE_AA)
    return heat


def draw_instances(
    image: np.ndarray, instances: Instances, metadata: Metadata, min_score: float = 0.0
) -> np.ndarray:
    """Predicted instances on the image, by Detectron2's ``Visualizer``: masks alone, each once.

    Args:
        image: picture.
        instances: with ``pred_masks`` and ``scores``, on any device.
        metadata: of the data set, for class names.
        min_score: instances under it are not drawn.
    """
    # One at a time: a copy of all masks of a large image fills the memory.
    is_wanted = (instances.scores >= min_score) & is_likeliest(instances)
    kept = is_wanted.nonzero().flatten().tolist()
    return draw_masks(image, (instances.pred_masks[i].cpu().numpy() for i in kept), metadata)


def draw_ground_truth(image: np.ndarray, masks: Tensor, metadata: Metadata) -> np.ndarray:
    """Annotated instances on the image, drawn in the same way; masks (G, H, W) bool."""
    return draw_masks(image, (mask.cpu().numpy() for mask in masks), metadata)


def draw_masks(
    image: np.ndarray,
    masks: Iterable[np.ndarray],
    metadata: Metadata | None = None,
    texts: Sequence[str] | None = None,
) -> np.ndarray:
    """Masks on the image, each in a colour of its own, the same in every run.

    Args:
        image: picture.
        masks: (H, W) bool each.
        metadata: of the data set.
        texts: what stands at each mask; None: nothing.
    """
    visualizer = Visualizer(image, metadata or Metadata(), instance_mode=ColorMode.IMAGE)
    # Neighbours must differ, and runs must compare.
    colors = np.random.default_rng(0)
    for index, mask in enumerate(masks):
        # Mask by mask: overlay_instances would fill the holes of rings.
        visualizer.draw_binary_mask(
            mask,
            color=tuple(colors.uniform(0.15, 1.0, 3)),
            text=None if texts is None else texts[index],
            alpha=0.55,
            area_threshold=0,
        )
    return visualizer.output.get_image()


def panel(pictures: Sequence[tuple[str, np.ndarray]], side: int = 320) -> np.ndarray:
    """Titled pictures in a row.

    Args:
        pictures: (title, picture) pairs of one aspect ratio.
        side: each picture is scaled so that its longer side has this many pixels.
    """
    columns = []
    for title, picture in pictures:
        scale = side / max(picture.shape[:2])
        size = (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1))
        shrinks = scale < 1
        picture = cv2.resize(
            picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
        )
        column = np.full(
            (picture.shape[0] + _TITLE_HEIGHT, picture.shape[1] + _GAP, 3), 255, np.uint8
        )
        column[_TITLE_HEIGHT:, : picture.shape[1]] = picture
        cv2.putText(
            column, title, (2, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA
        )
        columns.append(column)
    return np.concatenate(columns, axis=1)[:, :-_GAP]

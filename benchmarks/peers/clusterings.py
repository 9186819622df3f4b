"""Other ways from an embedding to instances: clusterings, and the paper's loop over seeds.

Shapes: D embedding channels, T thresholds, K classes, h x w grid cells, N clusters, H x W output
    pixels.
"""

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch
from detectron2.structures import Instances
from torch import Tensor

from dml_instance.modeling.grouping import InstanceGrouping, class_probability
from dml_instance.modeling.similarity import distance_threshold, similarity

from ..timing.predicted import Predicted

# A cell is clustered if its best seediness, over thresholds and classes, is at least this.
FOREGROUND = 0.5

# Mean shift from every cell, scikit-learn's default, takes minutes an image beyond so many.
MOST_CELLS_UNBINNED = 5000

# HDBSCAN's smallest cluster, in cells: at stride 2 an object of 9 x 9 pixels.
MIN_CLUSTER_CELLS = 20

# The loop over seeds drops a mask of which better ones own more than this share.
_MAX_OVERLAP = 0.5


def sklearn_cluster() -> ModuleType:
    """``sklearn.cluster``; raises ImportError that says how to install it."""
    try:
        from sklearn import cluster
    except ImportError as error:
        raise ImportError(
            "scikit-learn, whose clusterings are compared with, is not installed: "
            "pip install scikit-learn"
        ) from error
    return cluster


def foreground(class_logits: Tensor) -> tuple[Tensor, Tensor]:
    """Which cells are clustered.

    Args:
        class_logits: (T, K + 1, h, w).

    Returns:
        (h, w) bool, and (K, h, w) float32: the best probability of each class over the thresholds.
    """
    probability = class_probability(class_logits).amax(dim=0)
    return probability.amax(dim=0) >= FOREGROUND, probability


def mean_shift(image: Predicted, binned: bool) -> Instances:
    """``MeanShift`` on the embeddings of the foreground, started from bins of it, or from every
    cell (the default).

    The bandwidth is the distance at which the model itself holds two pixels for one object, sigma =
    0.5. Where the network scales its distances, pixel by pixel, which no bandwidth can follow, the
    median over the foreground counts.
    """

    def labels(embedding: np.ndarray, distance_scale: np.ndarray) -> np.ndarray:
        bandwidth = float(np.sqrt(distance_threshold(0.5) / np.median(distance_scale)))
        return (
            sklearn_cluster()
            .MeanShift(bandwidth=bandwidth, bin_seeding=binned)
            .fit_predict(embedding)
        )

    return _clustered(image, labels, fewest=1)


def hdbscan(image: Predicted) -> Instances:
    """``HDBSCAN`` on the same cells; it needs no bandwidth, and leaves out what it calls noise."""

    def labels(embedding: np.ndarray, distance_scale: np.ndarray) -> np.ndarray:
        return (
            sklearn_cluster()
            .HDBSCAN(min_cluster_size=MIN_CLUSTER_CELLS, copy=True)
            .fit_predict(embedding)
        )

    return _clustered(image, labels, fewest=MIN_CLUSTER_CELLS)


def _clustered(image: Predicted, cluster, fewest: int) -> Instances:
    """Foreground cells in clusters, as instances.

    Args:
        cluster: function of the embeddings (P, D) and distance scales (P,) of the foreground to
            labels (P,), the clusters from 0 on and -1 for none.
        fewest: cells that it needs; fewer are no instance.
    """
    embedding, distance_scale = image.maps.embedding, image.maps.distance_scale
    is_foreground, probability = foreground(image.maps.class_logits)
    is_foreground &= embedding.isfinite().all(dim=0) & distance_scale.isfinite()
    labels = torch.zeros(is_foreground.shape, dtype=torch.int64)
    if is_foreground.sum() >= fewest:
        cells = embedding[:, is_foreground].T.float().cpu().numpy()
        scales = distance_scale[is_foreground].float().cpu().numpy()
        labels[is_foreground.cpu()] = torch.from_numpy(cluster(cells, scales).astype(np.int64)) + 1
    return instances_of_labels(labels, probability.cpu(), image.cell_size, image.output_size)


def instances_of_labels(
    labels: Tensor,
    probability: Tensor,
    cell_size: tuple[float, float],
    output_size: tuple[int, int],
) -> Instances:
    """A label map as instances: every pixel follows the cell that it lies in.

    Args:
        labels: (h, w) int64, the clusters from 1 on, 0 for none.
        probability: (K, h, w), of each class.
        cell_size: output pixels a cell, (vertical, horizontal).
        output_size: (H, W).

    Returns:
        Instances with ``pred_masks`` (N, H, W) bool; ``pred_classes`` (N,), the class with the most
        probability in the cluster; and ``scores`` (N,), the mean over the cluster of the best
        class's probability.
    """
    count, flat = int(labels.max()), labels.flatten()
    columns = torch.cat(
        [probability, probability.amax(dim=0, keepdim=True), torch.ones(1, *labels.shape)]
    )
    sums = torch.zeros(count + 1, len(columns)).index_add_(0, flat, columns.flatten(1).T)[1:]
    full = _at_output_size(labels, cell_size, output_size).numpy()
    masks = np.zeros((count, *output_size), dtype=bool)
    rows, places = full.nonzero()
    masks[full[rows, places] - 1, rows, places] = True
    return Instances(
        output_size,
        pred_masks=torch.from_numpy(masks),
        scores=sums[:, -2] / sums[:, -1].clamp(min=1),
        pred_classes=sums[:, :-2].argmax(dim=1),
    )


def _at_output_size(
    maps: Tensor, cell_size: tuple[float, float], output_size: tuple[int, int]
) -> Tensor:
    """(..., h, w) as (..., H, W), each pixel with the value of its cell."""
    rows, columns = (
        ((torch.arange(wanted) + 0.5) / size).long().clamp(max=side - 1)
        for wanted, size, side in zip(output_size, cell_size, maps.shape[-2:], strict=True)
    )
    return maps[..., rows, :][..., columns]


def loop_over_seeds(
    image: Predicted, grouping: InstanceGrouping, taus: Sequence[float]
) -> Instances:
    """The paper's algorithm: one seed after the other against all pixels of the grid.

    Every mask is { q : sigma(p, q) >= tau }, wherever its pixels lie; one that is owned by more
    than half by better masks is dropped. Seeds, and with them scores and classes, are those of the
    model.

    Args:
        grouping: chooses the seeds.
        taus: the thresholds that the seeds count.
    """
    embedding = image.maps.embedding
    pixels, scales = embedding.flatten(1).T.float(), image.maps.distance_scale.flatten().float()
    seeds = grouping.seeds([image.maps])
    is_owned = torch.zeros(len(pixels), dtype=torch.bool, device=pixels.device)
    masks, kept = [], []
    for index in np.argsort(-seeds.score, kind="stable").tolist():
        row, column = seeds.position[index].tolist()
        cell = row * embedding.shape[2] + column
        distance = (pixels - pixels[cell]).square().sum(dim=1) * scales[cell]
        mask = similarity(distance) >= taus[int(seeds.tau_index[index])]
        if (mask & is_owned).sum() <= _MAX_OVERLAP * mask.sum():
            is_owned |= mask
            masks.append(mask)
            kept.append(index)
    of_cells = torch.stack([*masks, is_owned])[:-1].view(len(masks), *embedding.shape[1:]).cpu()
    return Instances(
        image.output_size,
        pred_masks=_at_output_size(of_cells, image.cell_size, image.output_size),
        scores=torch.from_numpy(seeds.score[kept]),
        pred_classes=torch.from_numpy(seeds.pred_class[kept]),
    )

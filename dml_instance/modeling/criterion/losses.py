"""The three losses, and the distances that the first is about, as pure functions of tensors.

Shapes: S sampled pixels, V seed pixels, T thresholds, K classes, h x w grid cells.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..similarity import log_dissimilarity, log_similarity, pairwise_squared_distance, similarity
from .targets import chosen_pairs


def pair_loss(
    embedding: Tensor,
    group: Tensor,
    size: Tensor,
    *,
    distance_scale: Tensor | None = None,
    chosen: tuple[Tensor, Tensor] | None = None,
    normalization: str = "joint",
) -> Tensor:
    """The embedding loss L_e (paper, embedding): equal groups pull together, different groups push
    apart.

        L_e = - 1/|S| sum_{p,q} w_pq [   1(y_p = y_q)  log sigma(p,q)
                                       + 1(y_p != y_q) log(1 - sigma(p,q)) ]

    with w_pq proportional to 1 / (size_p * size_q).

    Args:
        embedding: (S, D).
        group: (S,) int64, the instance (or background) of each pixel.
        size: (S,) > 0, the size of each pixel's group.
        distance_scale: (S,) > 0, factors of the distances from each pixel; 1 if None.
        chosen: the pairs of one group and those of two that take part, from ``chosen_pairs``; all
            of them if None.
        normalization: "joint": the weights sum to 1 over all pairs, then 1/|S| as in the formula.
            "apart": over pairs p != q of one group and over pairs of two groups the weights sum to
            1 each, without 1/|S|; the loss is half the sum of both. With "joint", the many pairs of
            two groups outweigh the others.

    Returns:
        float32 scalar >= 0; 0, still attached to the graph, where no pair is left.
    """
    if normalization not in ("joint", "apart"):
        raise ValueError(f'normalization is "joint" or "apart", got {normalization!r}')
    distance = pairwise_squared_distance(embedding, embedding, distance_scale).flatten()
    weight = (1 / (size.float()[:, None] * size.float()[None])).flatten()
    # Logarithms are dear: each of the two is taken of the pairs that it is for.
    alike, apart = chosen_pairs(group) if chosen is None else chosen
    costs = -log_similarity(distance[alike]), -log_dissimilarity(distance[apart])
    weights = weight[alike], weight[apart]
    if normalization == "joint":
        return _weighted_mean(torch.cat(costs), torch.cat(weights)) / max(len(embedding), 1)
    is_other = alike % (len(group) + 1) != 0
    return (
        _weighted_mean(costs[0], weights[0] * is_other) + _weighted_mean(costs[1], weights[1])
    ) / 2


@torch.no_grad()
def pair_distances(
    embedding: Tensor,
    group: Tensor,
    *,
    distance_scale: Tensor | None = None,
    is_compared: Tensor | None = None,
    step: int = 1,
) -> dict[str, Tensor]:
    """How far apart the pixels of the pair loss are, to look at: no loss, and nothing waits for the
    device.

    Args:
        embedding, group, distance_scale: as of ``pair_loss``; group 0 is background.
        is_compared: (S, S) bool, pairs that take part; all of them if None.
        step: distances are those from every so manyth pixel, which is enough to look at.

    Returns:
        ``within``, pairs p != q of one object, and ``apart``, of an object and anything else: (2,)
        float32 each, the sum of their squared distances and the number of pairs.
    """
    pixel = torch.arange(len(group), device=group.device)
    chosen = pixel[::step]
    scale = None if distance_scale is None else distance_scale[chosen]
    distance = pairwise_squared_distance(embedding[chosen], embedding, scale)
    own = group[chosen][:, None]
    same = own == group[None]
    pairs = {"within": same & (own > 0) & (chosen[:, None] != pixel[None]), "apart": ~same}
    if is_compared is not None:
        pairs = {name: is_pair & is_compared[chosen] for name, is_pair in pairs.items()}
    return {
        name: torch.stack([(distance * is_pair).sum(), is_pair.sum().float()])
        for name, is_pair in pairs.items()
    }


def _weighted_mean(value: Tensor, weight: Tensor) -> Tensor:
    """Sum of value * weight / sum of weight; 0 where all weights are 0."""
    return (value * weight).sum() / weight.sum().clamp(min=torch.finfo(torch.float32).tiny)


def mask_loss(squared_distance: Tensor, coverage: Tensor, region: Tensor) -> Tensor:
    """Soft Dice loss between the similarity to each seed pixel and the mask of its object.

    Both are fractions: what two fuzzy sets share of a cell is the smaller one, so that the loss is
    least where the similarity to the seed *is* the part of the cell that the object covers. Cut at
    one half between the cells, that gives back a border finer than the grid. For a target of zeros
    and ones it is the usual soft Dice loss.

    Args:
        squared_distance: (V, h * w), of every cell to each seed pixel.
        coverage: (V, h * w) float32 in [0, 1], how much of each cell the seed's object covers.
        region: (V, h * w) bool, True where the loss looks. A pixel with an empty region takes no
            part.

    Returns:
        float32 scalar in [0, 1], the mean over the pixels that take part; 0, attached to the graph,
        without any.
    """
    sigma = similarity(squared_distance) * region
    target = coverage * region
    # One cell in numerator and denominator: an empty region then costs nothing.
    dice = (2 * torch.minimum(sigma, target).sum(1) + 1) / (sigma.sum(1) + target.sum(1) + 1)
    return (1 - dice).sum() / region.any(dim=1).sum().clamp(min=1)


def seed_loss(
    class_logits: Tensor,
    target_class: Tensor,
    target_probability: Tensor,
    labelled_share: Tensor | None = None,
) -> Tensor:
    """The mask-classification loss L_cls (paper, classification): cross-entropy summed over
    thresholds, mean over pixels.

    Args:
        class_logits: (V, T, K + 1), index 0 is background.
        target_class: (V, T) int64 in [0, K), the class of the instance that the grown mask meets
            best.
        target_probability: (V, T) in [0, 1], the probability of that class; the rest is
            background's.
        labelled_share: (V,) in (0, 1], as of ``iou_prediction_loss``; 1 if None.

    Returns:
        float32 scalar >= 0; 0, attached to the graph, for V = 0.
    """
    log_probability = F.log_softmax(class_logits.float(), dim=-1)
    of_class = log_probability.gather(-1, target_class[..., None] + 1)[..., 0]
    is_none = _log_without_label(log_probability[..., 0], labelled_share)
    cost = target_probability * of_class + (1 - target_probability) * is_none
    return -cost.sum() / max(len(class_logits), 1)


def iou_prediction_loss(
    class_logits: Tensor, target_probability: Tensor, labelled_share: Tensor | None = None
) -> Tensor:
    """The part of ``seed_loss`` that asks whether a grown mask is an object, whatever its class.

    The cross-entropy of K + 1 classes is that of object against background plus that of the class
    given an object. Apart, each can be had from the pixels that know its answer: this one needs a
    grown mask, ``class_loss`` does not.

    Args:
        class_logits: (V, T, K + 1), index 0 is background.
        target_probability: (V, T) in [0, 1], how good the grown mask is.
        labelled_share: (V,) in (0, 1], how likely an object at each pixel has a label; 1 if None.
            Where it is under 1, a target of 0 says no more than that there is no *labelled* object:
            it costs - log(1 - share * P(object)) for - log(1 - P(object)). P is then least costly
            at its true value, whatever the labels leave out at random (Elkan and Noto, Learning
            classifiers from only positive and unlabeled data, KDD 2008).

    Returns:
        float32 scalar >= 0, summed over thresholds, mean over pixels; 0, attached to the graph, for
        V = 0.
    """
    log_probability = F.log_softmax(class_logits.float(), dim=-1)
    is_object = torch.logsumexp(log_probability[..., 1:], dim=-1)
    is_none = _log_without_label(log_probability[..., 0], labelled_share)
    cost = target_probability * is_object + (1 - target_probability) * is_none
    return -cost.sum() / max(len(class_logits), 1)


def _log_without_label(log_background: Tensor, labelled_share: Tensor | None) -> Tensor:
    """(V, T) log(1 - share * P(object)), from log P(background)."""
    if labelled_share is None:
        return log_background
    share = labelled_share[:, None]
    # (1 - share) + share * P(background): exact also where the latter is nearly 0.
    return torch.logaddexp(torch.log1p(-share), share.log() + log_background)


def class_loss(class_logits: Tensor, target_class: Tensor, weight: Tensor) -> Tensor:
    """The part of ``seed_loss`` that asks for the class, given that there is an object.

    Args:
        class_logits: (T, K + 1, P) of P pixels, index 0 is background and takes no part.
        target_class: (P,) int64 in [0, K); anything in that range where the weight is 0.
        weight: (P,) >= 0.

    Returns:
        float32 scalar >= 0, summed over thresholds, weighted mean over pixels; 0, attached, for
        weights of 0.
    """
    log_class = F.log_softmax(class_logits[:, 1:].float(), dim=1)
    index = target_class.expand(len(class_logits), 1, -1)
    cost = -log_class.gather(1, index)[:, 0].sum(dim=0)
    return _weighted_mean(cost, weight)

"""The maps of an image to its instances: seeds are chosen, masks grown, scored and drawn.

Shapes: T thresholds, K classes, N seeds or instances, n masks, H x W output pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from .growing import (
    Grids,
    GrownMasks,
    Growth,
    GrowthRules,
    grow_shifted_masks,
    seeds_at,
)
from .limits import ReachedLimits
from .maps import GridMaps, cell_size
from .metric import distance_threshold
from .rendering import WindowMasks, draw_masks
from .rules import GroupingRules
from .scoring import classify
from .seeds import Seeds, find_all_candidates, select_seeds


@dataclass(frozen=True, eq=False)
class GroupingSettings:
    """The rules, and what else the instances of an image depend on.

    Attributes:
        rules: how it goes about it.
        taus: the T similarity thresholds, each in (0, 1).
        context: pixels of the image beyond which two seeds are not compared; negative: all are.
        max_instances: the best this many are returned; None: all.
        min_score: least score of an instance, in [0, 1].
        in_pieces: (K,) bool, the classes in whose objects gaps are bridged; None: all.

    Raises:
        ValueError: for a threshold or a least score out of its range.
    """

    rules: GroupingRules
    taus: tuple[float, ...]
    context: float
    max_instances: int | None = None
    min_score: float = 0.0
    in_pieces: np.ndarray | None = None

    def __post_init__(self):
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"MODEL.DML.SCORE_THRESH_TEST is in [0, 1], got {self.min_score}")
        for tau in self.taus:
            distance_threshold(tau)

    @property
    def thresholds(self) -> np.ndarray:
        """(T,) float64, the squared distances at which masks are cut."""
        return np.array([distance_threshold(tau) for tau in self.taus])


class FoundInstances(NamedTuple):
    """The instances of an image by descending score.

    Attributes:
        scores: (N,) float32 in [0, 1].
        classes: (N,) int64 in [0, K).
        masks: N, each with a pixel at least.
    """

    scores: np.ndarray
    classes: np.ndarray
    masks: WindowMasks


class Grown(NamedTuple):
    """What has grown in an image, before it is ranked and drawn.

    Attributes:
        seeds: N, by descending score, in which order they grow; those of one score in the order in
            which they were chosen.
        grids: that masks grew in.
        masks: n that stayed; their seeds count in that order.
        may_be: (n, k) int64 in [0, K), classes of each, the likeliest first; see ``classify``.
        scores_as: (n, k) float64 in [0, 1], its score as each of them.
    """

    seeds: Seeds
    grids: Grids
    masks: GrownMasks
    may_be: np.ndarray
    scores_as: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """(n,) int64, the likeliest of each."""
        return self.may_be[:, 0]

    @property
    def scores(self) -> np.ndarray:
        """(n,) float64, the score of each as the likeliest."""
        return self.scores_as[:, 0]


def group(
    pyramid: Sequence[GridMaps],
    output_size: tuple[int, int],
    settings: GroupingSettings,
    limits: ReachedLimits,
    image_name: str = "an image",
) -> FoundInstances:
    """The instances of an image.

    Args:
        pyramid: its maps, one a scale.
        output_size: (H, W) wanted.
        settings: rules, and what else they depend on.
        limits: gets those that the image reaches.
        image_name: for them.
    """
    found, *_ = _objects(pyramid, output_size, settings, limits, image_name)
    return found


def group_for_ranking(
    pyramid: Sequence[GridMaps],
    output_size: tuple[int, int],
    settings: GroupingSettings,
    limits: ReachedLimits,
    image_name: str = "an image",
) -> tuple[FoundInstances, np.ndarray]:
    """The instances of an image, each mask once for every class that it may be of.

    Which object is a better guess than which other one is what AP asks: where a mask is of its
    second likeliest class, it then still counts. Other classes never displace an object: they take
    the places that ``settings.max_instances`` leaves, the best scores first.

    Args:
        pyramid, output_size, settings, limits, image_name: as for ``group``.

    Returns:
        The instances by descending score; and (N,) bool, which are a mask's likeliest class: those
        that ``group`` finds.
    """
    found, drawn, grown = _objects(pyramid, output_size, settings, limits, image_name)
    scores, classes = grown.scores_as[drawn].astype(np.float32), grown.may_be[drawn]
    if classes.shape[1] == 1:
        return found, np.ones(len(drawn), dtype=bool)
    may_be = (scores > 0) & (scores >= settings.min_score)
    may_be[:, 0] = True  # whatever its score is, it was found
    mask, rank = np.nonzero(may_be)
    order = np.argsort(-scores[mask, rank], kind="stable")
    if settings.max_instances is not None:
        places, is_guess = settings.max_instances - len(found.masks), rank[order] > 0
        order = order[~is_guess | (np.cumsum(is_guess) <= places)]
    mask, rank = mask[order], rank[order]
    instances = FoundInstances(scores[mask, rank], classes[mask, rank], found.masks.take(mask))
    return instances, rank == 0


def _objects(
    pyramid: Sequence[GridMaps],
    output_size: tuple[int, int],
    settings: GroupingSettings,
    limits: ReachedLimits,
    image_name: str,
) -> tuple[FoundInstances, np.ndarray, Grown]:
    """The instances of an image, the mask that each of them is, and what has grown."""
    grown = grown_of(pyramid, settings, limits, image_name)
    found, drawn = drawn_of(grown, pyramid, output_size, settings)
    worthy = int((grown.scores.astype(np.float32) >= settings.min_score).sum())
    if len(drawn) == settings.max_instances < worthy:
        limits.add(
            "TEST.DETECTIONS_PER_IMAGE",
            image_name,
            f"the best {len(drawn)} of {worthy} instances are returned; raise "
            "TEST.DETECTIONS_PER_IMAGE, or MODEL.DML.SCORE_THRESH_TEST to leave out weak ones",
        )
    return found, drawn, grown


def grown_of(
    pyramid: Sequence[GridMaps],
    settings: GroupingSettings,
    limits: ReachedLimits,
    image_name: str | None = None,
    look: Callable[[Growth], None] | None = None,
) -> Grown:
    """Seeds, and the masks that stay, with class and score.

    Args:
        pyramid, settings, limits, image_name: as for ``seeds_of``.
        look: as for ``grow_shifted_masks``.
    """
    seeds = seeds_of(pyramid, settings, limits, image_name)
    seeds = seeds[np.argsort(-seeds.score, kind="stable")]
    grids = grids_of(pyramid, settings.rules)
    growing = seeds_at(
        grids,
        seeds.position,
        level=seeds.level,
        tau_index=seeds.tau_index,
        threshold=settings.thresholds[seeds.tau_index],
        gap=gaps_of(pyramid, settings)[seeds.level, seeds.pred_class],
    )
    masks = grow_shifted_masks(grids, growing, growth_rules(seeds, pyramid, settings), look)
    classes, scores = _classified(masks, seeds, pyramid, settings.rules)
    return Grown(seeds, grids, masks, classes, scores)


def growth_rules(
    seeds: Seeds, pyramid: Sequence[GridMaps], settings: GroupingSettings
) -> GrowthRules:
    """How masks of an image are grown from its seeds: they are worth their scores."""
    rules = settings.rules

    def worth(masks: GrownMasks) -> np.ndarray:
        return _classified(masks, seeds, pyramid, rules)[1][:, 0]

    fits = None
    if rules.handover_size > 0 and len(pyramid) > 1:
        fits = partial(_fits, pyramid, rules.handover_size)
    return GrowthRules(
        *(settings.thresholds, rules.mean_shifts, rules.seeds_per_mask, rules.max_overlap),
        *(worth, fits),
    )


def _fits(pyramid: Sequence[GridMaps], handover_size: float, masks: GrownMasks) -> np.ndarray:
    """(n,) bool, which masks are of a size that their scale is for, as ``handover_size`` has it."""
    scales = np.array([maps.scale for maps in pyramid])
    strides = np.array([maps.stride for maps in pyramid])
    # In pixels at scale 1. A scale ends where the next coarser one begins.
    ends = np.where(scales > scales.min(), handover_size / scales, np.inf)
    starts = np.array([ends[scales > scale].max(initial=0) for scale in scales])
    across = np.sqrt(masks.area) * (strides / scales)[masks.level]
    return (starts[masks.level] <= across) & (across < ends[masks.level])


def _classified(
    masks: GrownMasks, seeds: Seeds, pyramid: Sequence[GridMaps], rules: GroupingRules
) -> tuple[np.ndarray, np.ndarray]:
    """``classify`` of masks that were grown from some of the seeds."""
    probabilities = [maps.probability for maps in pyramid]
    return classify(masks, seeds[masks.seed], probabilities, rules)


def drawn_of(
    grown: Grown,
    pyramid: Sequence[GridMaps],
    output_size: tuple[int, int],
    settings: GroupingSettings,
) -> tuple[FoundInstances, np.ndarray]:
    """The instances of what has grown, and the mask that each of them is, (N,) int64; arguments are
    those of ``group``."""
    ranked = np.argsort(-grown.scores, kind="stable")
    scores = grown.scores.astype(np.float32)
    ranked = ranked[scores[ranked] >= settings.min_score]
    drawn, masks = draw_masks(
        grown.masks,
        ranked,
        grown.grids,
        cell_sizes=[cell_size(maps.stride, maps.image_size, output_size) for maps in pyramid],
        output_size=output_size,
        interpolate=settings.rules.mask_resolution == "output",
        limit=len(ranked) if settings.max_instances is None else settings.max_instances,
    )
    return FoundInstances(scores[drawn], grown.classes[drawn], masks), drawn


def seeds_of(
    pyramid: Sequence[GridMaps],
    settings: GroupingSettings,
    limits: ReachedLimits,
    image_name: str | None = None,
) -> Seeds:
    """The seeds of an image in the order of choice, see ``select_seeds``.

    Args:
        pyramid, settings, limits: as for ``group``.
        image_name: None: no limit counts as reached.
    """
    rules = settings.rules
    candidates = find_all_candidates(pyramid, rules)
    height, width = (side / pyramid[0].scale for side in pyramid[0].image_size)
    limit = rules.seed_limit((round(height), round(width)))
    # Of all pixels only a few are ever wanted; of peaks every one may be an object.
    is_told = image_name is not None
    if is_told and rules.candidates == "peaks" and len(candidates) > limit:
        limits.add(
            "MODEL.DML.GROUPING.MAX_SEEDS",
            image_name,
            f"{limit} of {len(candidates)} possible seeds are grown; raise "
            "MODEL.DML.GROUPING.MAX_SEEDS",
        )
    return select_seeds(candidates, rules, limit=limit, context=settings.context)


def grids_of(pyramid: Sequence[GridMaps], rules: GroupingRules) -> Grids:
    """What masks of an image grow in."""
    of_object = [_object_probability(maps.probability) for maps in pyramid]
    is_bridge = [
        probability.max(axis=0) >= rules.bridge_probability
        if _gap(maps, rules) > 0
        else np.zeros(maps.distance_scale.shape, dtype=bool)
        for maps, probability in zip(pyramid, of_object, strict=True)
    ]
    return Grids(
        tuple(maps.embedding for maps in pyramid),
        tuple(maps.distance_scale for maps in pyramid),
        tuple(is_bridge),
        tuple(of_object),
    )


def _object_probability(probability: np.ndarray) -> np.ndarray:
    """(T, h, w) contiguous float32, of an object of any class; of one class no copy where that is
    contiguous."""
    is_one = probability.shape[1] == 1
    return np.ascontiguousarray(probability[:, 0] if is_one else probability.sum(axis=1))


def _gap(maps: GridMaps, rules: GroupingRules) -> int:
    """Cells bridged within a mask at a scale; -1: masks are taken whole."""
    if rules.connect_gap < 0:
        return -1
    return round(rules.connect_gap * maps.scale / maps.stride)


def gaps_of(pyramid: Sequence[GridMaps], settings: GroupingSettings) -> np.ndarray:
    """(scales, K) int64, cells bridged within a mask of each class; see ``GrowingSeeds``."""
    gaps = np.array([[_gap(maps, settings.rules)] for maps in pyramid], dtype=np.int64)
    num_classes = pyramid[0].probability.shape[1]
    in_pieces = settings.in_pieces
    if in_pieces is None:
        in_pieces = np.ones(num_classes, dtype=bool)
    return np.where(in_pieces, gaps, gaps.clip(max=0))

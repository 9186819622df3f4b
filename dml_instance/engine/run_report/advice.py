"""What to try next, as rules on figures of a training.

Each rule says which figures it goes by. What it promises was measured, and stands at the place that
it names, or follows from the figures by arithmetic.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from detectron2.config import CfgNode

# What happens to fewer objects than this, or to a smaller share of them, is no reason to act.
_FEW, _SHARE = 3, 0.05
# Under so many iterations a training has only begun.
_SHORT = 300


@dataclass(frozen=True)
class Figures:
    """What is known of a training; None, or nothing, where it is not.

    Attributes:
        iterations: done.
        losses: total loss as it was written, over the whole training.
        waiting: share of the time of a step that the model waited for images, in [0, 1].
        fates: counts of the objects that were scored, see ``count_fates``.
        missed_by_size: of the smallest quarter of the objects and of the others, how many were
            missed, and of how many.
        most_objects: of an image that was scored.
        f1, train_f1: at IoU 0.5, in [0, 1], of what was scored and of images of the training set.
        train_images: of the training set that were compared.
        min_score: least score at which F1 is highest.
        from_imagenet: whether the backbone began with ImageNet weights, or the model with others.
    """

    iterations: int = 0
    losses: Sequence[float] = ()
    waiting: float | None = None
    fates: dict[str, int] = field(default_factory=dict)
    missed_by_size: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    most_objects: int = 0
    f1: float | None = None
    train_f1: float | None = None
    train_images: int = 0
    min_score: float | None = None
    from_imagenet: bool = False

    @property
    def objects(self) -> int:
        """That were scored."""
        kinds = ("found", "wrong class", "merged", "split", "poor mask", "missed")
        return sum(self.fates.get(kind, 0) for kind in kinds)

    def are_many(self, kind: str, share: float = _SHARE) -> bool:
        """Whether a fate is a reason to act."""
        count = self.fates.get(kind, 0)
        return count >= max(_FEW, share * self.objects)


@dataclass(frozen=True)
class Advice:
    """One thing to try.

    Attributes:
        title: in a few words.
        options: what to put behind the command, as on a command line; empty: nothing.
        reason: which figures say so, and what it is known to do.
        source: where that was measured, a page of this project; empty: it is arithmetic.
    """

    title: str
    options: str
    reason: str
    source: str = ""


def advise(figures: Figures, cfg: CfgNode) -> list[Advice]:
    """All that the figures of a training give reason for, what matters most first.

    What becomes of objects says little of a training that has only begun.
    """
    has_begun = _only_begun(figures, cfg) is not None
    rules = (*_OF_THE_RUN, *(() if has_begun else _OF_OBJECTS), *_OF_FIGURES)
    found = [rule(figures, cfg) for rule in rules]
    return [advice for advice in found if advice is not None]


def _is_ours(cfg: CfgNode) -> bool:
    return cfg.MODEL.META_ARCHITECTURE == "DMLInstance"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole if whole else 0:.0f} %"


def _limit_of_detections(figures: Figures, cfg: CfgNode) -> Advice | None:
    limit = cfg.TEST.DETECTIONS_PER_IMAGE
    if figures.most_objects <= limit:
        return None
    return Advice(
        "Let more objects an image count",
        f"TEST.DETECTIONS_PER_IMAGE {math.ceil(1.5 * figures.most_objects / 100) * 100}",
        f"An image has {figures.most_objects} objects, and AP counts the best {limit} predictions "
        "of an image: the others can only be missed. No training is needed: --eval-only.",
    )


def _few_to_score_on(figures: Figures, cfg: CfgNode) -> Advice | None:
    if not 0 < figures.objects < 50:
        return None
    return Advice(
        "Put more images aside to score on",
        "",
        f"There were {figures.objects} objects to score on. One object more or less that is found "
        f"moves recall by {100 / figures.objects:.1f} points: smaller differences between two "
        "trainings mean nothing.",
    )


def _only_begun(figures: Figures, cfg: CfgNode) -> Advice | None:
    if not 0 < figures.iterations < _SHORT or cfg.MODEL.WEIGHTS:
        return None
    return Advice(
        "Train longer",
        "SOLVER.MAX_ITER 1500",
        f"{figures.iterations} iterations are a beginning. On nuclei 300 iterations gave 40.6 AP "
        "(mean of three trainings), 600 gave 43.6.",
        "benchmarks/notebook/training.md",
    )


def _loss_still_falls(figures: Figures, cfg: CfgNode) -> Advice | None:
    if _only_begun(figures, cfg) is not None:
        return None
    fifth = len(figures.losses) // 5
    if fifth < 3:
        return None
    before, last = np.array(figures.losses[-2 * fifth :]).reshape(2, fifth)
    drop = before.mean() - last.mean()
    # Of the difference of the two means.
    error = math.sqrt((before.var(ddof=1) + last.var(ddof=1)) / fifth)
    if drop < 0.02 * before.mean() or drop < 2 * error:
        return None
    more = 2 * figures.iterations
    start = (
        ""
        if figures.from_imagenet or not _is_ours(cfg)
        else " Weights of ImageNet save time: 6 AP more after the same 190 iterations "
        "(configs/DSB2018/dml_efficientnet_lite0.yaml; benchmarks/notebook/backbones.md)."
    )
    return Advice(
        "Train longer",
        f"SOLVER.MAX_ITER {more}",
        f"The loss was still falling: {before.mean():.3g} on average in the fourth fifth of the "
        f"training, {last.mean():.3g} in the last, {_percent(drop, before.mean())} less. On "
        "nuclei 1,728 iterations gave 57.3 AP, 5,557 gave 62.0."
        f"{start}",
        "benchmarks/notebook/comparisons.md",
    )


def _behind_the_training_set(figures: Figures, cfg: CfgNode) -> Advice | None:
    if figures.f1 is None or figures.train_f1 is None or figures.train_images < 5:
        return None
    gap = figures.train_f1 - figures.f1
    if gap < 0.15:
        return None
    aug = cfg.INPUT.AUG
    off = {
        "INPUT.AUG.RIGHT_ANGLES True": not aug.RIGHT_ANGLES,
        "INPUT.AUG.COLOR_JITTER 0.25": aug.COLOR_JITTER == 0,
        'INPUT.AUG.SCALE_RANGE "[0.6, 1.7]"': list(aug.SCALE_RANGE) == [1.0, 1.0],
    }
    options = " ".join(option for option, is_off in off.items() if is_off)
    more = ", or vary those that there are by what may happen to a new one, too" if options else ""
    return Advice(
        "Label more images",
        options,
        f"F1 is {100 * figures.train_f1:.0f} on {figures.train_images} images of the training set, "
        f"and {100 * figures.f1:.0f} on those that the model has not seen: it knows its own images "
        f"better than the task. Add images like the worst ones above{more}.",
    )


def _merged(figures: Figures, cfg: CfgNode) -> Advice | None:
    if not figures.are_many("merged"):
        return None
    counted = f"{figures.fates['merged']} of {figures.objects} objects were merged with another."
    if _is_ours(cfg) and cfg.MODEL.DML.GROUPING.CONNECT_GAP > 0:
        return Advice(
            "Join no pieces over gaps",
            "MODEL.DML.GROUPING.CONNECT_GAP 0",
            f"{counted} Gaps of up to {cfg.MODEL.DML.GROUPING.CONNECT_GAP} pixels are bridged, "
            "which also joins look-alikes that lie side by side: in crowds of blobs 0 gave 30.8 AP "
            "and 16 gave 25.1. Where objects cross it is the other way round (bars: 9.4 and 20.8). "
            "No training is needed: --eval-only.",
            "benchmarks/notebook/inference.md",
        )
    if _is_ours(cfg) and cfg.INPUT.AUG.COPY_PASTE == 0:
        return Advice(
            "Show it more neighbours",
            "INPUT.AUG.COPY_PASTE 0.5",
            f"{counted} The key pastes objects beside each other: of 524 animals in photographs 36 "
            "were merged without it, and 11 with it.",
            "benchmarks/notebook/photographs.md",
        )
    return Advice(
        "Train longer",
        "",
        f"{counted} Where neighbours have one colour in the pictures of the embedding, it does not "
        "part them yet.",
        "docs/tuning.md",
    )


def _split(figures: Figures, cfg: CfgNode) -> Advice | None:
    is_off = _is_ours(cfg) and cfg.MODEL.DML.GROUPING.CONNECT_GAP == 0
    if not is_off or not figures.are_many("split"):
        return None
    return Advice(
        "Join pieces over gaps",
        "MODEL.DML.GROUPING.CONNECT_GAP 16",
        f"{figures.fates['split']} of {figures.objects} objects were found in pieces. Where others "
        "cross them, a gap of 16 pixels helps: bars 20.8 AP for 9.4. In crowds of look-alikes it "
        "does harm. No training is needed to try it: --eval-only.",
        "benchmarks/notebook/inference.md",
    )


def _small_ones_missed(figures: Figures, cfg: CfgNode) -> Advice | None:
    (missed, small), (others, large) = figures.missed_by_size
    if missed < _FEW or missed < 0.2 * small or missed * large < 2 * others * small:
        return None
    counted = (
        f"{_percent(missed, small)} of the smallest quarter of the objects were missed, and "
        f"{_percent(others, large)} of the others."
    )
    if cfg.INPUT.AUG.SCALE_RANGE[1] <= 1:
        return Advice(
            "Train at several sizes",
            'INPUT.AUG.SCALE_RANGE "[0.6, 1.7]"',
            f"{counted} Small objects are found more easily when they are magnified, but a model "
            "that was trained at one size, as this one, loses 8 to 12 AP by it. Trained so, it can "
            "be scored magnified.",
            "benchmarks/notebook/inference.md",
        )
    if _is_ours(cfg):
        scale = max(cfg.MODEL.DML.TEST_SCALES or cfg.MODEL.DML.PYRAMID_SCALES)
        option = f'MODEL.DML.TEST_SCALES "[{scale + 0.25:g}]"'
    else:
        scale = cfg.INPUT.SCALE_TEST
        option = f"INPUT.SCALE_TEST {scale + 0.25:g}"
    if scale > 1:
        return None  # half as large again was no better than a quarter
    return Advice(
        "Magnify the images that are segmented",
        option,
        f"{counted} On nuclei a quarter larger gave 1.3 AP, and 3.6 to Mask R-CNN, for 1.56 times "
        "the pixels. No training is needed: --eval-only.",
        "benchmarks/notebook/training.md",
    )


def _poor_masks(figures: Figures, cfg: CfgNode) -> Advice | None:
    is_coarse = _is_ours(cfg) and cfg.MODEL.DML.DECODER.STRIDE >= 4
    if not is_coarse or not figures.are_many("poor mask", 0.15):
        return None
    return Advice(
        "Draw finer masks",
        "MODEL.DML.DECODER.STRIDE 2 MODEL.DML.DECODER.SEED_STRIDE 4",
        f"{figures.fates['poor mask']} of {figures.objects} objects have a mask that fits badly, "
        f"and cells of the network are {cfg.MODEL.DML.DECODER.STRIDE} pixels wide. On nuclei 2 "
        "pixels gave 39.3 AP for 30.5, for half again the time.",
        "benchmarks/notebook/training.md",
    )


def _unsure(figures: Figures, cfg: CfgNode) -> Advice | None:
    if figures.min_score is None or figures.min_score > 0.1 or not figures.fates.get("found"):
        return None
    if not _is_ours(cfg):
        return None
    return Advice(
        "Train longer, on more images",
        "",
        f"F1 is highest when every object of score {figures.min_score:g} counts: the model finds "
        "objects, and is not sure of any. Its seed head learns more slowly than its embedding.",
        "docs/tuning.md",
    )


def _waiting(figures: Figures, cfg: CfgNode) -> Advice | None:
    if figures.waiting is None or figures.waiting < 0.3:
        return None
    return Advice(
        "Load images with more processes",
        f"DATALOADER.NUM_WORKERS {max(2 * cfg.DATALOADER.NUM_WORKERS, 2)}",
        f"{100 * figures.waiting:.0f} % of the time of a step went by waiting for images; without "
        f"it the training would have taken {1 - figures.waiting:.2g} times as long.",
    )


_Rules = tuple[Callable[[Figures, CfgNode], Advice | None], ...]
_OF_THE_RUN: _Rules = (_limit_of_detections, _only_begun, _loss_still_falls)
_OF_OBJECTS: _Rules = (
    _behind_the_training_set,
    _merged,
    _split,
    _small_ones_missed,
    _poor_masks,
    _unsure,
)
_OF_FIGURES: _Rules = (_waiting, _few_to_score_on)

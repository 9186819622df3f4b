"""What the criterion samples and how it weighs: one field for each key of ``MODEL.DML.*_LOSS``.

"Paper" is Fathi et al., arXiv:1703.10277; "measured" points to a row of docs/accuracy.md or of the
notebook of experiments.
"""

from dataclasses import dataclass, field

GROUP_SIZES = ("area", "count")
NORMALIZATIONS = ("joint", "apart")
TARGETS = ("class", "iou")


def _check_choice(section: str, name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"MODEL.DML.{section}.{name} is one of {choices}, got {value!r}")


def _check_range(section: str, name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"MODEL.DML.{section}.{name} is in [{low:g}, {high:g}], got {value!r}")


@dataclass(frozen=True)
class PairLossRules:
    """The embedding loss of the paper, over pairs of sampled pixels; keys of ``PAIR_LOSS``.

    Raises:
        ValueError: for a value out of its range, naming its key.
    """

    # Weight of this loss, >= 0. Paper: 1, without a mask loss beside it. Measured.
    weight: float = 0.1
    # Random cells of every instance; an instance with fewer gives all it has. Paper: 10 worked
    # best.
    pixels_per_instance: int = 10
    # Random background cells, as one more group; 0: background takes no part. Open in the paper.
    background_pixels: int = 96
    # Instances an image at most, drawn at random: bounds the pairs an image by
    # (MAX_INSTANCES * PIXELS_PER_INSTANCE + BACKGROUND_PIXELS)^2.
    max_instances: int = 48
    # A pair's weight is inverse to the product of its two groups' sizes. "area": of their cells in
    # the image (paper); "count": of their sampled cells, so that every pair of groups weighs the
    # same.
    group_size: str = "count"
    # "joint": all weights sum to 1 and the sum is divided by |S| (paper). "apart": pairs of one
    # object and pairs of two objects are averaged apart, and the two averages count alike.
    normalization: str = "apart"

    def __post_init__(self):
        _check_choice("PAIR_LOSS", "GROUP_SIZE", self.group_size, GROUP_SIZES)
        _check_choice("PAIR_LOSS", "NORMALIZATION", self.normalization, NORMALIZATIONS)
        for name in ("weight", "pixels_per_instance", "background_pixels", "max_instances"):
            _check_range("PAIR_LOSS", name.upper(), getattr(self, name), 0, float("inf"))


@dataclass(frozen=True)
class MaskLossRules:
    """The loss that looks at masks as a whole, which the paper has not; keys of ``MASK_LOSS``.

    Raises:
        ValueError: for a value out of its range, naming its key.
    """

    # Weight of the soft Dice loss between the similarity of cells to a seed pixel and how much of
    # each the seed's object covers; 0: off (paper). Measured.
    weight: float = 1.0

    def __post_init__(self):
        _check_range("MASK_LOSS", "WEIGHT", self.weight, 0, float("inf"))


@dataclass(frozen=True)
class SeedLossRules:
    """The loss of the seed head; keys of ``SEED_LOSS``.

    Raises:
        ValueError: for a value out of its range, naming its key.
    """

    # Pixels V an image that the seed loss and the mask loss look at. Open in the paper.
    pixels: int = 96
    # Share of them drawn from objects, every instance as often as any other; the rest is
    # background. In [0, 1].
    foreground_fraction: float = 0.5
    # What the head learns of the mask grown from a pixel. "class": the instance's class where their
    # IoU reaches TARGET_IOU, else background (paper). "iou": IoU prediction, their IoU as the
    # probability of an object, so that the score of a seed says how good its mask is; and, from
    # every object pixel, the class given an object. Measured.
    target: str = "iou"
    # IoU from which a grown mask counts as the instance, in (0, 1]; TARGET "class" only. Open in
    # the paper.
    target_iou: float = 0.5
    # About what share of the objects in the training images is labelled, in (0, 1]. Under 1, what
    # no label covers is background or an object without a label, and the head is not taught that it
    # is background for sure (Elkan and Noto 2008). Measured.
    labelled_share: float = 1.0
    # lambda, the weight of the seed loss: 0 until RAMP_START, then linear to WEIGHT at RAMP_END.
    # Paper: to 0.2.
    weight: float = 1.0
    # As a fraction of SOLVER.MAX_ITER, in [0, 1]. Paper: after the embedding has converged.
    ramp_start: float = 0.0
    # As a fraction of SOLVER.MAX_ITER, in [RAMP_START, 1].
    ramp_end: float = 0.2

    def __post_init__(self):
        _check_choice("SEED_LOSS", "TARGET", self.target, TARGETS)
        _check_range("SEED_LOSS", "PIXELS", self.pixels, 1, float("inf"))
        _check_range("SEED_LOSS", "WEIGHT", self.weight, 0, float("inf"))
        if not 0 < self.target_iou <= 1:
            raise ValueError(
                f"MODEL.DML.SEED_LOSS.TARGET_IOU is in (0, 1], got {self.target_iou!r}"
            )
        if not 0 < self.labelled_share <= 1:
            raise ValueError(
                f"MODEL.DML.SEED_LOSS.LABELLED_SHARE is in (0, 1], got {self.labelled_share!r}"
            )
        for name in ("foreground_fraction", "ramp_start"):
            _check_range("SEED_LOSS", name.upper(), getattr(self, name), 0, 1)
        _check_range("SEED_LOSS", "RAMP_END", self.ramp_end, self.ramp_start, 1)

    def weight_at(self, iteration: int, max_iter: int) -> float:
        """lambda at an iteration of a schedule of ``max_iter``.

        A function of the iteration alone, so that a resumed run goes on exactly.
        """
        start, end = int(self.ramp_start * max_iter), int(self.ramp_end * max_iter)
        if iteration < start:
            return 0.0
        return self.weight * min((iteration - start + 1) / max(end - start, 1), 1.0)


@dataclass(frozen=True)
class CriterionRules:
    """The rules of all three losses."""

    pair_loss: PairLossRules = field(default_factory=PairLossRules)
    mask_loss: MaskLossRules = field(default_factory=MaskLossRules)
    seed_loss: SeedLossRules = field(default_factory=SeedLossRules)

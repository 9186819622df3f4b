"""The rules by which seeds become instances: one field for each key of ``MODEL.DML.GROUPING``.

"Paper" is Fathi et al., arXiv:1703.10277; "measured" points to a row of docs/accuracy.md or of the
notebook of experiments. Lengths in pixels are pixels of the network's input image.
"""

from dataclasses import dataclass

CANDIDATES = ("all", "peaks")
DIVERSITIES = ("distance", "dissimilarity")
MASK_RESOLUTIONS = ("output", "grid")
CLASSES = ("seed", "vote")
SCORES = ("seediness", "seediness_similarity")

# Masks that hold a cell are counted up to so many, in 8 bits.
MOST_HOLDERS = 100


@dataclass(frozen=True)
class GroupingRules:
    """How seeds are chosen, and masks grown, joined, dropped, drawn and scored.

    Raises:
        ValueError: for a value out of its range, naming its key.
    """

    # Which pixels can be seeds: "all" (paper), or "peaks", the local maxima of smoothed seediness.
    # Measured.
    candidates: str = "peaks"
    # A peak is the maximum among all cells within so many pixels of it, in rows and in columns; at
    # least one cell, > 0.
    peak_radius: int = 2
    # Seediness under which a pixel is no candidate, in [0, 1).
    min_seediness: float = 0.05
    # Seeds an image at most, chosen by S and diversity in time with the square of their number. 0:
    # the best by S alone, one for each 4 x 4 pixels, which takes about all peaks; of CANDIDATES
    # "all" one for each 16 x 16, by S and diversity; at least 1,000. Paper: 100, enough for VOC;
    # nuclei, crowds and aerial images hold more.
    max_seeds: int = 0
    # Weight alpha of diversity against seediness, >= 0, where seeds are chosen by both. Paper: 0.1
    # to 0.6. Measured.
    alpha: float = 0.3
    # D in log S + alpha log D: "distance" in the embedding space, or "dissimilarity", 1 - sigma.
    # Open in the paper.
    diversity: str = "dissimilarity"
    # Keep only the part of a mask that hangs together with its seed, bridging gaps of at most this
    # many pixels of the image, whatever TEST_SCALES. -1: keep all of it, wherever it lies (paper).
    # Open in the paper; measured.
    connect_gap: int = 0
    # A gap is bridged, in a straight line, only over cells that are of an object with at least this
    # probability, in [0, 1]: what hides a part of an object is another object. 0: over any cell.
    # Measured.
    bridge_probability: float = 0.3
    # Gaps are bridged only in objects of classes of which, in training, at least this mean share of
    # an object lay apart from its largest piece, in [0, 1]: what nothing cuts has no other piece.
    # 0: of all classes. Measured.
    min_share_apart: float = 0.02
    # So often each mask is grown anew, from the mean of its cells' embeddings, each with its
    # similarity as weight, and with the one of TAUS for which these cells have the highest
    # probability of an object, >= 0. 0: off (paper). Measured.
    mean_shifts: int = 2
    # Where masks are grown anew, so many seeds of a place grow one, in [1, 100]: until the last
    # growth a seed is left out only if so many masks of better seeds hold it. In the last one masks
    # come in the order of the scores that they had before it. Measured.
    seeds_per_mask: int = 3
    # With several TEST_SCALES: of two neighbouring scales the finer one is for objects under so
    # many of its pixels across (the root of their area), the coarser one for others, > 0. An object
    # of another size stays where no such one is in its place. 0: all scales are for all (paper).
    # Measured.
    handover_size: int = 0
    # Mask NMS: a mask is dropped if more than this share of it belongs to better-scored ones, in
    # [0, 1]; under 1, so is a mask whose very seed does. 1: no mask is dropped for another. Open in
    # the paper; measured.
    max_overlap: float = 0.5
    # Where distances are cut at the threshold: "output", after bilinear interpolation to the
    # requested size, or "grid", at the head's stride. Open in the paper; measured.
    mask_resolution: str = "output"
    # Class of an instance: that of its "seed" (paper), or a "vote" of all cells of its mask, and
    # as score the seed's probability of an object times a power of the share of the votes.
    class_by: str = "vote"
    # That power, >= 0. Under 1, a mask whose cells are not of one mind still ranks by how sure it
    # is that there is an object. Measured.
    vote_exponent: float = 0.3
    # For AP, which ranks, a mask whose class is voted on is returned once for each class that it
    # may be of, so many at most, with the score of each, as Mask R-CNN returns a box; >= 1. 1: for
    # the likeliest (paper). Where SCORE_THRESH_TEST is over 0, and in all that tools write and
    # draw, it is returned once. Measured.
    classes_per_mask: int = 3
    # Score of an instance: "seediness" of its seed, or "seediness_similarity", times the mean
    # similarity inside its mask. Open in the paper; measured.
    score: str = "seediness_similarity"
    # A score is multiplied by A / (A + this) for a mask of A cells, >= 0: a border that is off by a
    # part of a cell costs a small mask more of its IoU than a large one. 0: off (paper). Measured.
    small_mask_cells: float = 2.0

    def __post_init__(self):
        for name, choices in (
            ("candidates", CANDIDATES),
            ("diversity", DIVERSITIES),
            ("mask_resolution", MASK_RESOLUTIONS),
            ("class_by", CLASSES),
            ("score", SCORES),
        ):
            if getattr(self, name) not in choices:
                self._refuse(name, f"one of {choices}")
        for name in ("bridge_probability", "min_share_apart", "max_overlap"):
            if not 0 <= getattr(self, name) <= 1:
                self._refuse(name, "in [0, 1]")
        if not 0 <= self.min_seediness < 1:
            self._refuse("min_seediness", "in [0, 1)")
        if not 1 <= self.seeds_per_mask <= MOST_HOLDERS:
            self._refuse("seeds_per_mask", f"in [1, {MOST_HOLDERS}]")
        if self.classes_per_mask < 1:
            self._refuse("classes_per_mask", "at least 1")
        for name in (
            "max_seeds",
            "alpha",
            "mean_shifts",
            "handover_size",
            "small_mask_cells",
            "vote_exponent",
        ):
            if getattr(self, name) < 0:
                self._refuse(name, "at least 0")
        if self.peak_radius <= 0:
            self._refuse("peak_radius", "positive")
        if self.connect_gap < 0 and self.connect_gap != -1:
            self._refuse("connect_gap", "at least 0, or -1")

    def _refuse(self, name: str, expected: str) -> None:
        raise ValueError(
            f"MODEL.DML.GROUPING.{name.upper()} is {expected}, got {getattr(self, name)!r}"
        )

    @property
    def bridges_by_class(self) -> bool:
        """Whether gaps are bridged, and only in classes that training saw in pieces."""
        return self.connect_gap > 0 and self.min_share_apart > 0

    def seed_limit(self, image_size: tuple[int, int]) -> int:
        """Seeds at most in an image of (height, width) pixels."""
        height, width = image_size
        side = 4 if self.candidates == "peaks" else 16
        return self.max_seeds or max(1000, height * width // side**2)

    @property
    def wants_diversity(self) -> bool:
        """Whether the choice of seeds balances score and diversity. It takes time with the square
        of their number, and of peaks enough are taken to need none."""
        return self.alpha > 0 and (self.max_seeds > 0 or self.candidates == "all")

"""How the network is asked at inference."""

from dataclasses import dataclass

from .augmentation import SYMMETRIES


@dataclass(frozen=True)
class InferenceRules:
    """Scales, symmetries and tiles in which images are seen at inference.

    Attributes:
        scales: relative sizes at which the network sees the image, > 0.
        augmentations: symmetries of the image that are averaged: 1, 2, 4 or 8.
        tile_size: in pixels; larger images are seen in tiles. 0: all images at once.
        tile_overlap: pixels that two neighbouring tiles share at least.

    Raises:
        ValueError: for a value out of its range, naming its key.
    """

    scales: tuple[float, ...] = (1.0,)
    augmentations: int = 1
    tile_size: int = 2048
    tile_overlap: int = 256

    def __post_init__(self):
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(
                "MODEL.DML.TEST_SCALES, and MODEL.DML.PYRAMID_SCALES where it is empty, needs "
                f"positive numbers, got {list(self.scales)}"
            )
        if self.augmentations not in SYMMETRIES:
            raise ValueError(
                f"MODEL.DML.TEST_AUGMENTATIONS is one of {list(SYMMETRIES)}, "
                f"got {self.augmentations}"
            )
        is_tiled = self.tile_size != 0
        if self.tile_size < 0 or (is_tiled and not 0 <= self.tile_overlap < self.tile_size):
            raise ValueError(
                "MODEL.DML.TILES.SIZE is 0 (off) or positive, and OVERLAP less than it, "
                f"got {self.tile_size} and {self.tile_overlap}"
            )

    @classmethod
    def from_config(cls, cfg) -> "InferenceRules":
        """From ``MODEL.DML``; without TEST_SCALES those of training."""
        dml = cfg.MODEL.DML
        return cls(
            tuple(dml.TEST_SCALES or dml.PYRAMID_SCALES),
            dml.TEST_AUGMENTATIONS,
            dml.TILES.SIZE,
            dml.TILES.OVERLAP,
        )

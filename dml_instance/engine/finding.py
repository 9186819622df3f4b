"""From image files to the objects in them: an image by itself, or a large one region by region.

file -> jobs -> found in each, in this process or in another -> the objects of the image
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from detectron2.config import CfgNode
from torch import Tensor, nn

from ..data import PixelMapper
from ..data.forms.results import FoundObject
from ..errors import FileError
from ..grouping import limits_of
from ..images import ImageWindows, ReadingRules, Stretch, read_image
from ..modeling import DMLInstance
from ..tiling import Tile
from .prediction import find_all, objects_in
from .regions import merged, moved

# Pixels of a side of a region at most.
_LARGEST_REGION = 4096
# And of the unit that regions begin at multiples of.
_LARGEST_UNIT = 256
# Diameters of a large object, the upper quartile of those of the training set, that a region shares
# with its neighbour beyond the border between them.
_DIAMETERS = 2


@dataclass(frozen=True, eq=False)
class Region:
    """A part of a large image, and what is known of all of it.

    Attributes:
        tile: what it covers, and which part of that no other region has.
        stretch: of the image's values; None for 8 bits.
        statistics: see ``DMLInstance.statistics_of``.
    """

    tile: Tile
    stretch: Stretch | None
    statistics: Sequence[tuple[Tensor, Tensor]] | None


@dataclass(frozen=True, eq=False)
class Job:
    """What is segmented at once: an image file, or a region of it.

    Attributes:
        file: its name.
        region: None: all of it.
    """

    file: str
    region: Region | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """What a job, or an image, has given.

    Attributes:
        size: (H, W) of the image.
        objects: with at least the least score, at their places in the image, best first.
        scores: (n,) float32, of all that the model found, those under the least score among them;
            where regions overlap, some of these are counted twice.
        limits: keys of the limits that were reached.
        cut: number of objects that reach a side of their region where the image goes on.
    """

    size: tuple[int, int]
    objects: list[FoundObject]
    scores: np.ndarray
    limits: frozenset[str] = frozenset()
    cut: int = 0


class Finder:
    """A model at work on image files."""

    def __init__(
        self,
        model: nn.Module,
        cfg: CfgNode,
        rules: ReadingRules,
        min_score: float,
        most: int | None = None,
    ):
        """
        Args:
            model: in evaluation mode; a ``DMLInstance`` returns all that it finds from now on,
                unless ``most`` bounds it.
            cfg: that built it.
            rules: of reading. Images that are larger, and can be read in windows, are segmented
                region by region.
            min_score: objects under it are left out.
            most: objects of an image, or a region, where the user asked for a bound.
        """
        self.min_score = min_score
        self._model, self._cfg, self._rules = model, cfg, rules
        self._mapper = PixelMapper(cfg)
        self._limits = limits_of(model)
        # A grouping watches its limit by itself.
        self._most = None if isinstance(model, DMLInstance) else cfg.TEST.DETECTIONS_PER_IMAGE
        if most is None:
            find_all(model)

    def jobs(self, file: str) -> list[Job]:
        """What an image file is segmented in.

        Of one in regions windows all over it are read, for what is to be known of the whole.

        Raises:
            FileError: as ``ImageWindows``; and for a large image where the model has all images
                resized to one size.
        """
        with ImageWindows(file, self._rules) as image:
            height, width = image.size
            if height * width <= self._rules.max_pixels:
                return [Job(file)]
            overlap = 2 * self._margin(file)
            side = min(_LARGEST_REGION, math.isqrt(self._rules.max_pixels))
            side = max(side, 2 * overlap)
            stretch, statistics = image.find_stretch(), None
            if isinstance(self._model, DMLInstance):
                parts = (image.read(*window) for window in image.sample())
                statistics = self._model.statistics_of(self._mapper(p)["image"] for p in parts)
            tiles = image.tiles(side, overlap, self._unit)
            return [Job(file, Region(tile, stretch, statistics)) for tile in tiles]

    def find(self, job: Job) -> Found:
        """The objects of a job.

        Raises:
            FileError: for a file that cannot be read.
        """
        region, statistics = job.region, None
        if region is None:
            pixels = read_image(job.file, self._rules)
            size = pixels.shape[:2]
        else:
            statistics = region.statistics
            with ImageWindows(job.file, self._rules, region.stretch) as image:
                pixels, size = image.read(*region.tile.pixels), image.size
        x = {**self._mapper(pixels), "file_name": job.file, "statistics": statistics}
        before = self._limits.images
        objects, scores = objects_in(self._model, x, self.min_score)
        if len(scores) == self._most:
            what = f"{self._most} objects, perhaps not all: raise TEST.DETECTIONS_PER_IMAGE"
            self._limits.add("TEST.DETECTIONS_PER_IMAGE", job.file, what)
        return Found(
            size,
            objects if region is None else [moved(found, region.tile) for found in objects],
            scores.float().cpu().numpy(),
            self._limits.reached_since(before),
        )

    @property
    def _unit(self) -> int:
        """Regions that begin at its multiples have their pixels where the network has those of the
        whole image in its cells; 1 where no such number is small."""
        if not isinstance(self._model, DMLInstance):
            return 1
        unit = self._model.network.size_divisibility
        scales = [self._cfg.INPUT.SCALE_TEST * s for s in self._model.inference_rules.scales]
        fits = (
            n for n in range(1, _LARGEST_UNIT + 1) if all((n * s / unit) % 1 == 0 for s in scales)
        )
        return next(fits, 1)

    def _margin(self, file: str) -> int:
        """Pixels round a region that are seen with it."""
        if self._cfg.INPUT.MIN_SIZE_TEST:
            raise FileError(
                f"{file} is larger than --max-pixels, and would be segmented in regions, but this "
                f"model has every image resized to a short side of {self._cfg.INPUT.MIN_SIZE_TEST} "
                "(INPUT.MIN_SIZE_TEST): raise --max-pixels, or shrink the image"
            )
        reach, scale = 0, 1.0
        if isinstance(self._model, DMLInstance):
            rules = self._model.inference_rules
            reach, scale = rules.tile_overlap, min(*rules.scales, 1.0)
        reach = math.ceil(reach / scale / min(self._cfg.INPUT.SCALE_TEST, 1.0))
        return max(reach, math.ceil(_DIAMETERS * max(self._cfg.INPUT.OBJECT_DIAMETERS, default=0)))


def found_here(finder: Finder, files: Iterable[str]) -> Iterator[Found | FileError]:
    """What this process finds in image files, one after the other.

    Returns:
        Of each file what was found, or why it is to be skipped.
    """
    for file in files:
        try:
            jobs = finder.jobs(file)
            parts = [finder.find(job) for job in jobs]
        except FileError as error:
            yield error
        else:
            yield put_together(jobs, parts, finder.min_score)


def put_together(jobs: Sequence[Job], parts: Sequence[Found], min_score: float) -> Found:
    """What an image has given, from what its jobs have.

    Args:
        jobs: of one image.
        parts: what each has given.
        min_score: of the objects in ``parts``.
    """
    if jobs[0].region is None:
        (found,) = parts
        return found
    regions = [(job.region.tile, part.objects) for job, part in zip(jobs, parts, strict=True)]
    whole = merged(regions, parts[0].size)
    return Found(
        parts[0].size,
        whole.objects,
        np.concatenate(
            [
                np.array([found.score for found in whole.objects], np.float32),
                *(part.scores[part.scores < min_score] for part in parts),
            ]
        ),
        frozenset().union(*(part.limits for part in parts)),
        whole.cut,
    )
